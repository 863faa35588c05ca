"""A client → the service behind it, if it shows the account that a job belongs to.

Must not know: job folders, requests.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Final

from batchframe._service import Identity, Service
from batchframe.errors import ClientError

_OPENAI: Final = "https://api.openai.com/v1"


def connect(client: object = None) -> Service:
    """Return the service behind a client, or behind the environment's key.

    Raises
    ------
    ClientError
        If there is no key, or the client is not one that can be used.
    """
    # Slow to import (openai, 0.5 s), and not needed to look at what is at home.
    from batchframe._openai import connect as to_openai  # noqa: PLC0415

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
        raise ClientError.job_needs_client(job, identity.base_url) from None
    if service.identity != identity:
        raise ClientError.other_identity(job, _words(identity), _words(service.identity))
    return service


def _words(identity: Identity) -> str:
    parts = [f"{name} {value}" for name, value in asdict(identity).items() if value]
    return ", ".join(parts).removeprefix("base_url ")
