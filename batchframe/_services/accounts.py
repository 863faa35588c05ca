"""Comparison of the names under which one account is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from batchframe._base.errors import ServiceError
from batchframe._services.batch import Batch
from batchframe._services.protocol import REALTIME, Identity, Service

_NOT_SEEN: Final = {404, 405, 501}
_PORTS: Final = {"http": 80, "https": 443}
_THIS_MACHINE: Final = {"localhost", "127.0.0.1", "::1"}


def address(base_url: str, *, fold: bool = True) -> str:
    """Normalize an address: case, default port, names of this machine.

    Parameters
    ----------
    fold
        Whether the names of this machine count as one.

    Examples
    --------
    >>> address("HTTPS://API.OpenAI.com:443/v1/")
    'https://api.openai.com:443/v1'
    >>> address("http://[::1]:8000/v1") == address("http://localhost:8000/v1")
    True
    """
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return base_url
    if fold and host in _THIS_MACHINE:
        host = "localhost"
    return f"{parts.scheme}://{host}:{port}{parts.path}".rstrip("/")


@dataclass(frozen=True)
class Account:
    """Account of a client, compared with those of jobs.

    Attributes
    ----------
    connect
        Returns the client's service; None if nothing may be sent.
    """

    identity: Identity
    connect: Callable[[], Service] | None = None

    def may_own(self, other: Identity) -> bool:
        """Check whether an identity may be this account, by its address."""
        return address(other.base_url) == address(self.identity.base_url)

    def owns(self, other: Identity, batches: Sequence[Batch], uploads: Sequence[str] = ()) -> bool:
        """Check whether the owner of a job's batches is this account.

        Another name of the account has the same address, and this client sees the job's batch or,
        if none is known, its input file. Without a client, or for a pilot, two names are one
        account unless organization or project differ.

        Parameters
        ----------
        uploads
            Ids of the uploaded input files, the latest last.

        Raises
        ------
        ServiceError
            If the service cannot be reached.
        """
        if not self.may_own(other):
            return False
        own = self.identity
        pairs = ((own.organization, other.organization), (own.project, other.project))
        if all(one == another for one, another in pairs) and (
            address(own.base_url, fold=False) == address(other.base_url, fold=False)
        ):
            return True
        remote = [batch.id for batch in batches if batch.id != REALTIME]
        if self.connect is None or (batches and not remote):
            return all(one == another or None in (one, another) for one, another in pairs)
        service = self.connect()
        if remote:
            return _shows(service.retrieve_batch, remote[-1])
        return bool(uploads) and _shows(service.retrieve_file, uploads[-1])


def _shows(retrieve: Callable[[str], object], name: str) -> bool:
    try:
        retrieve(name)
    except ServiceError as reason:
        if reason.status not in _NOT_SEEN:
            raise
        return False
    return True
