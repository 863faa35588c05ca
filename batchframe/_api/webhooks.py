"""Webhook events: verify the signature and refresh the job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from batchframe._api.job import Job
from batchframe._base.errors import ClientError, JobError, ServiceError
from batchframe._jobs.reconciliation import reconcile
from batchframe._jobs.running import working_on
from batchframe._services.accounts import Account
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
    """Handle a webhook event: find the job of the batch and refresh it.

    Use it in a web server instead of polling; docs/webhooks.md has an example. Repeated events and
    polls at the same time are safe.

    Parameters
    ----------
    body
        The raw body of the request; the signature covers the bytes.
    headers
        The headers of the request, as your framework passes them.
    secret
        The signing secret of the webhook, ``whsec_…``; by default ``OPENAI_WEBHOOK_SECRET``.
    client
        The client that submitted the job, or several for jobs of several accounts; by default one
        made from ``OPENAI_API_KEY``.

    Returns
    -------
    The refreshed job; None if the event is not about a job on this machine.

    Raises
    ------
    WebhookError
        If the signature is invalid, or its time is off by more than five minutes: respond with
        400.
    ClientError
        If no client has access to the account of the job.
    ServiceError
        If the service cannot be reached: respond with 500, and the service retries.

    Examples
    --------
    >>> import batchframe as bf
    >>> bf.on_webhook(b"{}", {}, secret="whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQ=")
    Traceback (most recent call last):
        ...
    batchframe.errors.WebhookError: The request is not signed ...
    """
    # Importing openai takes 0.5 s, and only webhooks need it.
    from batchframe._services.openai_webhooks import read_event  # noqa: PLC0415

    event = read_event(body, headers, secret)
    if event.batch_id is None:
        return None
    jobs = list(records())
    clients = _clients(client)
    for record in jobs:
        if any(batch.id == event.batch_id for batch in record.state.batches):
            return _refreshed(record, _service_of(record, clients))
    for record in jobs:
        # A batch may end before the journal records the response to its create.
        if any(file.step == "creating" for file in record.state.inputs) and (
            service := _find_service(record, event.batch_id, clients)
        ):
            return _refreshed(record, service)
    return None


def _clients(client: Any) -> list[object]:
    is_one = isinstance(client, str | bytes) or not isinstance(client, Iterable)
    return [client] if is_one else list(client)


def _services(record: Record, clients: list[object]) -> Iterator[Service]:
    for client in clients:
        service = connect(client)
        if _account(service).may_own(record.manifest.identity):
            yield service


def _account(service: Service) -> Account:
    return Account(service.identity, lambda: service)


def _service_of(record: Record, clients: list[object]) -> Service:
    owner, state = record.manifest.identity, record.state
    services = _services(record, clients)
    service = next(
        (s for s in services if _account(s).owns(owner, state.batches, state.uploads)), None
    )
    if service is None:
        manifest = record.manifest
        raise ClientError(
            f"client: none of the clients belongs to the account of job {manifest.display_name!r} "
            f"({manifest.identity.base_url}). Fix: pass the client that submitted it, "
            "on_webhook(..., client=[first, second])."
        )
    return service


def _find_service(record: Record, batch_id: str, clients: list[object]) -> Service | None:
    """Return the service on which an unrecorded batch belongs to the job."""
    for service in _services(record, clients):
        try:
            batch = service.retrieve_batch(batch_id)
        except ServiceError as reason:
            if reason.status != 404:  # noqa: PLR2004 - HTTP's own number
                raise
            continue  # a batch of another account
        if batch.metadata.get("bf_job") == record.manifest.id:
            return service
    return None


def _refreshed(record: Record, service: Service) -> Job:
    job = Job(record.folder, service)
    with working_on(record.folder, service) as run:
        if run is not None:
            reconcile(run)
    try:
        return job.refresh()
    except JobError:
        if job._record.sent:
            raise
        return job  # the unsent rest of the job does not concern this batch
