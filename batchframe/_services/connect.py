"""Connect to the service of a client, and only if it shows the account that a job belongs to."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Final
from urllib.parse import urlsplit

from batchframe._base.errors import ClientError, RequestError
from batchframe._base.safe_text import ACCOUNT, NextStep
from batchframe._services.protocol import Identity, Service
from batchframe._services.provider_table import (
    Provider,
    is_loopback,
    profile_of,
    provider,
    rehearsed,
)

_OPENAI: Final = "https://api.openai.com/v1"


def connect(client: object = None) -> Service:
    """Return the service behind a client, or behind the environment's key.

    Raises
    ------
    ClientError
        If there is no key, or the client is not one that can be used.
    """
    # Slow to import (openai, 0.5 s), and not needed to look at what is at home.
    from batchframe._services.openai_client import connect as to_openai  # noqa: PLC0415

    return to_openai(client)


def expected_identity(client: object = None) -> Identity:
    """Return whose jobs they would be: the client's account, or the environment's.

    Raises
    ------
    ClientError
        If the client is not one that can be used.
    """
    if client is not None:
        return connect(client).identity
    # What openai.OpenAI() reads, without importing it.
    base_url = os.environ.get("OPENAI_BASE_URL") or _OPENAI
    return Identity.of(
        base_url, os.environ.get("OPENAI_ORG_ID"), os.environ.get("OPENAI_PROJECT_ID")
    )


def expected_profile(client: object = None, given: Provider | str | None = None) -> Provider:
    """Return the limits and habits of the client's service, or of the environment's.

    Parameters
    ----------
    given
        What the user says that it is.

    Raises
    ------
    ClientError
        If the client is not one that can be used.
    RequestError
        If `given` is no profile and no service's name.
    """
    if isinstance(given, Provider):
        return given
    if given is None:
        if client is not None:
            return connect(client).profile
        return profile_of(expected_identity().base_url)
    wanted: object = given
    if not isinstance(wanted, str):
        example = 'the name of a service, such as "groq", or bf.provider("groq", ...)'
        raise RequestError.not_a_word("provider", wanted, example)
    host = urlsplit(expected_identity(client).base_url).hostname or ""
    return rehearsed(provider(given)) if is_loopback(host) else provider(given)


def connect_to(identity: Identity, job: str, client: object = None) -> Service:
    """Return the service, if it shows the account that the job belongs to.

    Raises
    ------
    ClientError
        If it is another account: the job's batches cannot be seen from there.
    """
    try:
        service = connect(client)
    except ClientError:
        if client is not None:
            raise
        raise ClientError(
            f"Job {job} is at {identity.base_url}, and no client was given.",
            next_step=NextStep(
                f"Pass the one it was submitted with: bf.job({job!r}, client=...), or set "
                "OPENAI_API_KEY",
                ACCOUNT,
            )
            + " (and OPENAI_BASE_URL, for another server than OpenAI's).",
        ) from None
    if service.identity != identity:
        raise ClientError(
            f"Job {job} belongs to {_words(identity)}, but the client speaks to "
            f"{_words(service.identity)}. Its batches cannot be seen from there.",
            next_step=NextStep(
                f"Pass the client it was submitted with: bf.job({job!r}, client=...)", ACCOUNT
            )
            + ".",
        )
    return service


def _words(identity: Identity) -> str:
    parts = [f"{name} {value}" for name, value in asdict(identity).items() if value]
    return ", ".join(parts).removeprefix("base_url ")
