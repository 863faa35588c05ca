"""Webhook events, verified since anyone can post to the endpoint."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import openai

from batchframe._base.errors import WebhookError, shorten
from batchframe._base.safe_text import REFRESH
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
        # An invalid signature, a missing or malformed header, or a body that is not JSON.
        except (ValueError, TypeError, RecursionError) as reason:
            why = f"{type(reason).__name__}: {reason}"
        else:
            return _event(event)
    raise WebhookError(
        f"The request is not signed with your secret ({why}); nothing was done. Fix: pass the raw "
        "body, await request.body(), and the secret of this endpoint; check this machine's clock, "
        "since events are valid for five minutes."
    )


def _event(event: object) -> Event:
    kind: Any = getattr(event, "type", None)
    data: Any = getattr(event, "data", None)
    batch: Any = data.get("id") if isinstance(data, Mapping) else getattr(data, "id", None)
    if not isinstance(kind, str) or not kind.startswith("batch."):
        return Event(str(kind), None)
    if not is_id(batch):
        raise WebhookError(
            f"The event {shorten(repr(kind), 60)} has no batch id; nothing was done.",
            next_step="Fix: " + REFRESH + ".",
        )
    return Event(kind, batch)


def _raw(body: object) -> bytes | str:
    if isinstance(body, bytearray | memoryview):
        return bytes(body)
    if not isinstance(body, bytes | str):
        raise WebhookError(
            f"body: not the raw bytes of the request ({type(body).__name__}). Fix: "
            "on_webhook(await request.body(), request.headers)."
        )
    return body


def _plain(headers: object) -> dict[str, str]:
    """Normalize headers of any framework: a mapping or pairs of str or bytes."""
    items: Any = headers.items() if isinstance(headers, Mapping) else headers
    try:
        return {_text(name).lower(): _text(value) for name, value in items}
    except (TypeError, ValueError):
        raise WebhookError(
            f"headers: not a mapping or name-value pairs ({type(headers).__name__}). Fix: "
            "on_webhook(await request.body(), request.headers)."
        ) from None


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _usable(secret: str | None) -> str:
    """Reject a secret that can be guessed; the package accepts an empty one."""
    if secret is None:
        raise WebhookError(
            'secret: missing. Fix: on_webhook(body, headers, secret="whsec_..."), or set '
            f"{_VARIABLE}; the service shows it when you create the endpoint."
        )
    if len(_key_of(secret)) < _SHORTEST:
        raise WebhookError(
            "secret: invalid (value hidden): empty, too short, cut off or with whitespace around "
            f"it. Fix: copy it again from the service's settings; it begins with {_PREFIX}."
        )
    return secret


def _key_of(secret: object) -> bytes:
    """Decode the signing key of a secret; empty if it is malformed."""
    if not isinstance(secret, str) or secret != secret.strip():
        return b""
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except ValueError:
        return b""
