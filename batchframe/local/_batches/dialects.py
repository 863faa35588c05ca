"""Differences between services and OpenAI's Batch API, to imitate them.

Limits, endpoints and completion windows come from the table of providers; docs/providers.md cites
the sources.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from batchframe._base.clock import hours_of
from batchframe._base.errors import LocalServerError, format_list
from batchframe._services.provider import LOCAL, OPENAI, Provider, provider_table
from batchframe.local._objects import ENDPOINTS, Batch
from batchframe.local._problems import guess, short_repr


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of a file and of a batch.

    The defaults are OpenAI's (Batch guide and SDK, 2026-11). Lower them to test the splitting of
    a job with little data.

    Parameters
    ----------
    requests
        Maximum number of requests in a batch.
    batch_bytes
        Maximum size of an input file, in bytes.
    file_bytes
        Maximum size of any uploaded file, in bytes.
    embedding_inputs
        Maximum number of embedding inputs in a batch.
    enqueued_tokens
        Maximum number of input tokens in a model's running batches together; None for no limit,
        since OpenAI's limit depends on the organization.
    unsupported_models
        Patterns of model names that the Batch API does not support.

    Examples
    --------
    >>> from batchframe.local import Limits
    >>> Limits(requests=100).batch_bytes
    209715200
    """

    requests: int = 50_000
    batch_bytes: int = 200 * 1024 * 1024
    file_bytes: int = 512 * 1024 * 1024
    embedding_inputs: int = 50_000
    enqueued_tokens: int | None = None
    unsupported_models: tuple[str, ...] = (
        "chat-latest", "*-chat-latest", "*-search-preview*", "*codex*", "*deep-research*",
        "*-audio*", "*-realtime*", "computer-use-*",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Behavior of a service that the server imitates.

    Attributes
    ----------
    service
        Entry of the service in the table of providers.
    limits
        Limits of a file and of a batch.
    hours
        Minimum and maximum hours of a ``completion_window``.
    prefix
        Path of the base URL.
    detours
        Regular expression for the optional path between the prefix and the endpoint.
    requires_version
        Whether a path outside ``/v1`` requires an ``api-version``.
    bare_endpoints
        Whether the service writes endpoints without ``/v1``.
    reads_lines
        Whether the first line of the input file determines the endpoint, not the create request.
    min_lifetime
        Minimum lifetime of a file, in seconds.
    codes
        The service's error codes for an input file, by OpenAI's code.
    queue_full
        Message for too many enqueued tokens; a format string with ``limit`` and ``model``.
    empty_error_file
        Whether a batch without errors has an error file of 0 bytes.
    lists
        Format of the list of batches: "pages", an "array", or "nothing" for an empty list.
    """

    name: str
    service: Provider
    limits: Limits
    hours: tuple[int, int]
    prefix: str = "/v1"
    detours: str = ""
    requires_version: bool = False
    bare_endpoints: bool = False
    reads_lines: bool = False
    min_lifetime: int = 3600
    codes: Mapping[str, str] = field(default_factory=dict)
    queue_full: str | None = None
    empty_error_file: bool = False
    lists: str = "pages"

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Endpoints that support batches."""
        return self.service.endpoints or ENDPOINTS

    def resolve_path(self, path: str, query: bytes) -> str:
        """Translate a path of this service into the server's path.

        Examples
        --------
        >>> azure = find_dialect("azure")
        >>> azure.resolve_path("/openai/deployments/mine/responses", b"api-version=1")
        '/v1/responses'
        """
        match = re.fullmatch(f"{self.prefix}{self.detours}(/.*)", path)
        bare = self.requires_version and not path.startswith(f"{self.prefix}/v1/")
        if match is None or (bare and b"api-version=" not in query):
            return f"/-{path}"
        return f"/v1{match[1]}"

    def find_endpoint(self, word: str) -> str | None:
        """Return the endpoint for this service's spelling of it, or None."""
        spellings = {self.spell(endpoint): endpoint for endpoint in self.endpoints}
        return spellings.get(word, word if word in self.endpoints else None)

    def spell(self, endpoint: str) -> str:
        """Return this service's spelling of an endpoint."""
        return endpoint.removeprefix("/v1") if self.bare_endpoints else endpoint

    def accepts_window(self, window: str) -> bool:
        """Return whether the service accepts a completion window."""
        return self.hours[0] <= (hours_of(window) or 0) <= self.hours[1]

    def batch(self, batch: Batch) -> Any:
        """Return a batch in this service's format."""
        if self.name == "azure":
            fields = msgspec.to_builtins(batch) | {"endpoint": self.spell(batch.endpoint)}
            if batch.status == "validating":
                fields |= {"endpoint": None, "request_counts": None, "usage": None}
            return fields
        if self.name == "together":
            return msgspec.to_builtins(batch) | {"status": batch.status.upper(), "metadata": None}
        return batch

    def created(self, batch: Batch) -> Any:
        """Return the response to a create request."""
        response = self.batch(batch)
        return {"job": response, "warning": None} if self.name == "together" else response

    def line(self, line: dict[str, Any]) -> dict[str, Any]:
        """Return a result line in this service's format."""
        response = line["response"]
        if self.name == "azure":
            body = {} if response is None else response["body"]
            for choice in body.get("choices", ()):
                choice["content_filter_results"] = {}
            return {key: value for key, value in line.items() if key != "id"}
        if self.name == "self-hosted" and response is not None and "error" in response["body"]:
            error = response["body"]["error"]
            return {**line, "response": {**response, "body": None}, "error": error}
        return line


def _limits(service: Provider) -> Limits:
    limits = Limits(
        requests=service.max_requests,
        enqueued_tokens=service.max_enqueued_tokens,
        unsupported_models=(),
    )
    # "200 MB" is ambiguous: the client assumes 10**6, the server 2**20 bytes per MB.
    if service.max_bytes == OPENAI.max_bytes:
        return limits
    return replace(limits, batch_bytes=service.max_bytes)


def _dialect(service: Provider, server: Mapping[str, Any]) -> Dialect:
    """Create a dialect from a line of the table of providers."""
    own = dict(server)
    limits = Limits() if service == OPENAI else _limits(service)
    low, high = own.pop("hours", [hours_of(window) or 0 for window in service.windows])
    return Dialect(
        name=own.pop("name", service.key),
        service=service,
        limits=replace(limits, **own.pop("limits", {})),
        hours=(low, high),
        **own,
    )


_DIALECTS: Final = {
    dialect.name: dialect
    for facts in provider_table().values()
    if facts.takes_files and facts.profile != LOCAL
    for dialect in (_dialect(facts.profile, facts.server),)
}


def find_dialect(profile: object) -> Dialect:
    """Return the dialect of a profile.

    Raises
    ------
    LocalServerError
        If the profile is unknown.

    Examples
    --------
    >>> find_dialect("groq").accepts_window("7d")
    True
    """
    dialect = _DIALECTS.get(str(profile))
    if dialect is None:
        raise LocalServerError(
            f"profile: unknown ({short_repr(profile)}). {guess(profile, _DIALECTS)}"
            f"Profiles: {format_list(_DIALECTS)}."
        )
    return dialect
