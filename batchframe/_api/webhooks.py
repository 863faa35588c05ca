"""Take a service's signed word that a batch has ended, and refresh its job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from batchframe._api.job import Job
from batchframe._base.errors import ClientError, JobError, ServiceError
from batchframe._jobs.reconciliation import reconcile
from batchframe._jobs.running import working_on
from batchframe._services.connect import connect
from batchframe._services.protocol import Service
from batchframe._store.manifest import Record, records

if TYPE_CHECKING:
    from openai import OpenAI


def on_webhook(
    body: bytes | str,
    headers: Any,
    *,
    secret: str | None = None,
    client: OpenAI | Iterable[OpenAI] | None = None,
) -> Job | None:
    """Take what a service posts when a batch has ended: find its job, and bring the answers home.

    For those who run a web server and do not want to poll; docs/webhooks.md has one. The same
    event may come twice, and a job may be looked at beside it: neither does harm.

    Parameters
    ----------
    body
        The request's body, exactly as it came: its signature is of the bytes.
    headers
        The request's headers, as your framework gives them.
    secret
        The endpoint's signing secret, ``whsec_…``; by default ``OPENAI_WEBHOOK_SECRET``.
    client
        The client that the job was submitted with, or several for jobs of several accounts; by
        default one made from ``OPENAI_API_KEY``.

    Returns
    -------
    The job, after a look at its batches; None if the event is about none of this machine's jobs.

    Raises
    ------
    WebhookError
        If the signature is wrong, or more than five minutes old or ahead: answer with 400.
    ClientError
        If no client shows the account that the job belongs to.
    ServiceError
        If the service could not be reached now: answer with 500, and it posts again.

    Examples
    --------
    >>> import batchframe as bf
    >>> bf.on_webhook(b"{}", {}, secret="whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQ=")
    Traceback (most recent call last):
        ...
    batchframe.errors.WebhookError: This request is not signed ...
    """
    # Slow to import (openai, 0.5 s), and needed where events are read only.
    from batchframe._services.openai_webhooks import read_event  # noqa: PLC0415

    event = read_event(body, headers, secret)
    if event.batch_id is None:
        return None
    known = list(records())
    clients = _clients(client)
    for record in known:
        if any(shard.batch and shard.batch.id == event.batch_id for shard in record.state.shards):
            return _looked_at(record, _service_of(record, clients))
    for record in known:
        # It may end before the answer to its create was noted here.
        if any(shard.step == "creating" for shard in record.state.shards) and (
            found := _is_of(record, event.batch_id, clients)
        ):
            return _looked_at(record, found)
    return None


def _clients(given: Any) -> list[object]:
    is_one = isinstance(given, str | bytes) or not isinstance(given, Iterable)
    return [given] if is_one else list(given)


def _services(record: Record, clients: list[object]) -> Iterator[Service]:
    for client in clients:
        service = connect(client)
        if service.identity == record.manifest.identity:
            yield service


def _service_of(record: Record, clients: list[object]) -> Service:
    found = next(_services(record, clients), None)
    if found is None:
        identity = record.manifest.identity
        raise ClientError(
            f"Job {record.manifest.display_name} is at {identity.base_url}, and none of the "
            "clients speaks to its account. Pass the one that it was submitted with: "
            "on_webhook(..., client=[one, another])."
        )
    return found


def _is_of(record: Record, batch_id: str, clients: list[object]) -> Service | None:
    """Ask the service whether a batch that nobody here has noted is one of this job."""
    for service in _services(record, clients):
        try:
            batch = service.retrieve_batch(batch_id)
        except ServiceError as reason:
            if reason.status != 404:  # noqa: PLR2004 - HTTP's own number
                raise
            continue  # another account's
        if batch.metadata.get("bf_job") == record.manifest.id:
            return service
    return None


def _looked_at(record: Record, service: Service) -> Job:
    job = Job(record.folder, service)
    with working_on(record.folder, service) as run:
        if run is not None:
            reconcile(run)
    try:
        return job.refresh()
    except JobError:
        if job._record.sent:
            raise
        return job  # what its submission has not sent yet is not this batch's matter
