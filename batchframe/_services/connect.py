"""Connections to a client's service, checked against the job's account."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any, Final
from urllib.parse import urlsplit

from batchframe._base.errors import BatchframeError, ClientError, RequestError
from batchframe._base.safe_text import ACCOUNT, NextStep
from batchframe._services.accounts import Account
from batchframe._services.batch import Batch
from batchframe._services.protocol import Identity, Service
from batchframe._services.provider import (
    Provider,
    is_loopback,
    local_run,
    profile_of,
    provider,
)

_OPENAI: Final = "https://api.openai.com/v1"
_PATIENCE: Final = 10.0
"""Seconds to wait for a list of models, which is only a second opinion."""


_UNCHANGED: Final = object()
_current: list[Any] = [None]
"""The client of this process; never stored."""


def use(client: Any = _UNCHANGED) -> Any:
    """Set, return or clear the client that this kernel uses by default.

    Everything that takes ``client=`` falls back to it. It is never stored: a new kernel begins
    without one, and uses ``OPENAI_API_KEY``.

    Parameters
    ----------
    client
        An ``openai.OpenAI`` or ``openai.AzureOpenAI``; None to clear it. Without an argument the
        current client is returned.

    Returns
    -------
    The current client, or None.

    Raises
    ------
    ClientError
        If the client is not supported.

    Examples
    --------
    >>> import pandas as pd, batchframe as bf, batchframe.local
    >>> plan = pd.DataFrame({"t": ["a"]}).bf.requests("{{ t }}", model="gpt-4.1")
    >>> with batchframe.local.serve(answer=lambda body: "yes") as server:
    ...     client = bf.use(server.client())
    ...     job = plan.submit("by default").wait()
    >>> bf.use() is client, job.counts
    (True, {'ok': 1})
    >>> bf.use(None)
    """
    if client is not _UNCHANGED:
        if client is not None:
            connect(client)  # an unsupported client fails now
        _current[0] = client
    return _current[0]


def connect(client: object = None) -> Service:
    """Return the service of a client, of the kernel's, or of the API key.

    Raises
    ------
    ClientError
        If there is no API key, or the client is not supported.
    """
    # Slow to import (openai, 0.5 s), and not needed to read local state.
    from batchframe._services.openai_client import connect as to_openai  # noqa: PLC0415

    return to_openai(_current[0] if client is None else client)


def expected_identity(client: object = None) -> Identity:
    """Return the account of the client, or of the environment.

    Raises
    ------
    ClientError
        If the client is not supported.
    """
    if client is not None or _current[0] is not None:
        return connect(client).identity
    # The variables that openai.OpenAI() reads, without importing openai.
    base_url = os.environ.get("OPENAI_BASE_URL") or _OPENAI
    return Identity.of(
        base_url, os.environ.get("OPENAI_ORG_ID"), os.environ.get("OPENAI_PROJECT_ID")
    )


def expected_profile(client: object = None, choice: Provider | str | None = None) -> Provider:
    """Return the provider profile of the client, or of the environment.

    Parameters
    ----------
    choice
        The provider that the user passed.

    Raises
    ------
    ClientError
        If the client is not supported.
    RequestError
        If `choice` is neither a profile nor the name of a service.
    """
    if isinstance(choice, Provider):
        return choice
    if choice is None:
        if client is not None or _current[0] is not None:
            return connect(client).profile
        return profile_of(expected_identity().base_url)
    name: object = choice
    if not isinstance(name, str):
        example = 'a provider, such as "groq" or bf.provider("groq", ...)'
        raise RequestError.invalid_argument("provider", name, example)
    host = urlsplit(expected_identity(client).base_url).hostname or ""
    return local_run(provider(choice)) if is_loopback(host) else provider(choice)


def connect_to(
    identity: Identity,
    job: str,
    client: object = None,
    batches: Sequence[Batch] = (),
    uploads: Sequence[str] = (),
) -> Service:
    """Return the service, if it belongs to the job's account.

    Parameters
    ----------
    batches, uploads
        Batches and uploaded files of the job, which every client of its account can see.

    Raises
    ------
    ClientError
        If the account differs: the job's batches are not visible from it.
    """
    try:
        service = connect(client)
    except ClientError:
        if client is not None:
            raise
        raise ClientError(
            f"client: missing for job {job!r} at {identity.base_url}.",
            next_step=NextStep(
                f"Fix: bf.use(client) or bf.job({job!r}, client=...) with the client that "
                "submitted it, or set OPENAI_API_KEY (and OPENAI_BASE_URL, if it is not OpenAI's).",
                ACCOUNT + ".",
            ),
        ) from None
    if not Account(service.identity, lambda: service).owns(identity, batches, uploads):
        raise ClientError(
            f"client: job {job!r} belongs to another account ({format_identity(identity)}; the "
            f"client connects to {format_identity(service.identity)}).",
            next_step=NextStep(
                f"Fix: bf.job({job!r}, client=...) with the client that submitted it.",
                ACCOUNT + ".",
            ),
        )
    return service


def format_identity(identity: Identity) -> str:
    """Format the fields of an identity that are set."""
    parts = [f"{name} {value}" for name, value in asdict(identity).items() if value]
    return ", ".join(parts).removeprefix("base_url ")


def listed_models(client: object = None) -> Mapping[str, date | None]:
    """Ask the service for its models; empty if it does not answer soon."""
    try:
        return connect(client).within(_PATIENCE).list_models()
    except BatchframeError:
        return {}
