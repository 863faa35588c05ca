"""Webhook events, verified since anyone can post to the endpoint."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import openai

from batchframe._base.errors import WebhookError, shorten
from batchframe._services.openai_values import is_id

_PREFIX: Final = "whsec_"
_VARIABLE: Final = "OPENAI_WEBHOOK_SECRET"
# Standard Webhooks requires secrets of at least 24 bytes; shorter ones can be guessed.
_SHORTEST: Final = 16


@dataclass(frozen=True)
class Event:
    """A webhook event: a `kind` such as "batch.completed", and the batch id.

    The id is None for events that do not concern a batch.
    """

    kind: str
    batch_id: str | None


def read_event(body: object, headers: object, secret: str | None = None) -> Event:
    """Parse a webhook request after checking its signature and timestamp.

    Raises
    ------
    WebhookError
        If either is invalid, or there is no secret to check it with.
    """
    raw, plain_headers = _raw(body), _plain(headers)
    secret = _usable(os.environ.get(_VARIABLE) if secret is None else secret)
    # The client only provides the package's check; nothing is sent, so no API key is needed.
    with openai.OpenAI(api_key="none is needed", base_url="http://127.0.0.1") as client:
        try:
            event: object = client.webhooks.unwrap(raw, plain_headers, secret=secret)
        except openai.InvalidWebhookSignatureError as reason:
            why = str(reason)
        # A missing or malformed header, or a body that is not JSON.
        except (ValueError, TypeError, RecursionError) as reason:
            why = f"{type(reason).__name__}: {reason}"
        else:
            return _event(event)
    raise WebhookError(
        f"This request is not signed with your secret ({why}). Whoever sent it, nothing was done. "
        "If it is the service's: pass the body as it came, await request.body(), and the secret of "
        "this endpoint; and see that this machine's clock is right, since an event counts for five "
        "minutes."
    )


def _event(event: object) -> Event:
    kind: Any = getattr(event, "type", None)
    data: Any = getattr(event, "data", None)
    batch: Any = data.get("id") if isinstance(data, Mapping) else getattr(data, "id", None)
    if not isinstance(kind, str) or not kind.startswith("batch."):
        return Event(str(kind), None)
    if not is_id(batch):
        raise WebhookError(
            f"A signed event {shorten(repr(kind), 60)} names no batch, so nothing was done. Look "
            "at the job itself with refresh()."
        )
    return Event(kind, batch)


def _raw(body: object) -> bytes | str:
    if isinstance(body, bytearray | memoryview):
        return bytes(body)
    if not isinstance(body, bytes | str):
        raise WebhookError(
            f"The body is of type {type(body).__name__}. A signature is of the bytes as they came: "
            "pass those, on_webhook(await request.body(), request.headers), not what was read from "
            "them."
        )
    return body


def _plain(headers: object) -> dict[str, str]:
    """Normalize headers of any framework: a mapping or pairs of str or bytes."""
    items: object = headers.items() if isinstance(headers, Mapping) else headers
    try:
        pairs = [(name, value) for name, value in items] if isinstance(items, Iterable) else None
    except (TypeError, ValueError):
        pairs = None
    if pairs is None:
        raise WebhookError(
            f"The headers are of type {type(headers).__name__}. Pass the request's own: "
            "on_webhook(await request.body(), request.headers)."
        )
    return {_text(name).lower(): _text(value) for name, value in pairs}


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _usable(secret: object) -> str:
    """Reject a secret that can be guessed; the package accepts an empty one."""
    if secret is None:
        raise WebhookError(
            "There is no secret to tell the service's requests by. Pass the endpoint's, which the "
            "service showed when the endpoint was made: on_webhook(body, headers, "
            'secret="whsec_..."), or set OPENAI_WEBHOOK_SECRET.'
        )
    if not isinstance(secret, str) or secret != secret.strip():
        raise _not_a_secret_error()
    key = secret.encode()
    if secret.startswith(_PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            raise _not_a_secret_error() from None
    if len(key) < _SHORTEST:
        raise _not_a_secret_error()
    return secret


def _not_a_secret_error() -> WebhookError:
    return WebhookError(
        "The webhook secret (it is not shown) is none that keeps others out: it is empty, "
        "short, cut off, or has a blank or line break around it. Copy it again from the "
        "service's settings; it begins with whsec_."
    )
