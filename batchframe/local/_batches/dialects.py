"""How services differ from OpenAI's Batch API: in addresses, spellings, limits and shapes.

Limits, endpoints and windows come from the table of providers; here stands what only a server
does. docs/providers.md has the source of each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from batchframe._base.errors import LocalServerError
from batchframe._services.provider import Provider, hours_of
from batchframe._services.provider_table import OPENAI, provider
from batchframe.local._objects import ENDPOINTS, Batch
from batchframe.local._problems import guess, short_repr


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one batch may hold.

    The defaults are OpenAI's (Batch guide and SDK, 2026-11); smaller ones let a pipeline's
    splitting be rehearsed on little data.

    Parameters
    ----------
    requests
        Most requests in a batch.
    batch_bytes
        Most bytes in an input file.
    file_bytes
        Most bytes in any uploaded file.
    embedding_inputs
        Most embedding inputs in a batch.
    enqueued_tokens
        Most input tokens of a model's running batches together; `None` for no limit. OpenAI's
        depends on the organisation, so none is assumed.
    unsupported_models
        Patterns of model names that have no batch service.

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
        "chat-latest",
        "*-chat-latest",
        "*-search-preview*",
        "*codex*",
        "*deep-research*",
        "*-audio*",
        "*-realtime*",
        "computer-use-*",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What a server does in the way of one service.

    Attributes
    ----------
    service
        What the table of providers knows of the service.
    limits
        What a batch may hold.
    hours
        The fewest and most hours of a ``completion_window``.
    prefix
        What the base URL of its clients ends in.
    detours
        What may stand between the prefix and the rest of an address, as a regular expression.
    asks_version
        Whether an address outside ``/v1`` needs an ``api-version``.
    bare_endpoints
        Whether it writes endpoints without ``/v1``.
    reads_lines
        Whether the lines say which endpoint is meant, whatever the create said.
    min_lifetime
        The fewest seconds that a file may be kept.
    codes
        Its own codes for what is wrong with an input file.
    queue_full
        What it says when too many tokens wait: of the limit and the model.
    empty_error_file
        Whether a batch without errors has an error file, of 0 bytes.
    lists
        How its list of batches looks: "pages", one "array", or "nothing" of what there is.
    """

    name: str
    service: Provider
    limits: Limits
    hours: tuple[int, int]
    prefix: str = "/v1"
    detours: str = ""
    asks_version: bool = False
    bare_endpoints: bool = False
    reads_lines: bool = False
    min_lifetime: int = 3600
    codes: Mapping[str, str] = field(default_factory=dict)
    queue_full: str | None = None
    empty_error_file: bool = False
    lists: str = "pages"

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The endpoints that have batches."""
        return self.service.endpoints or ENDPOINTS

    def resolve_path(self, path: str, query: bytes) -> str:
        """Return the address that the server knows for one of this service.

        Examples
        --------
        >>> azure = find_dialect("azure")
        >>> azure.resolve_path("/openai/deployments/mine/responses", b"api-version=1")
        '/v1/responses'
        """
        found = re.fullmatch(f"{self.prefix}{self.detours}(/.*)", path)
        bare = self.asks_version and not path.startswith(f"{self.prefix}/v1/")
        if found is None or (bare and b"api-version=" not in query):
            return f"/-{path}"
        return f"/v1{found[1]}"

    def find_endpoint(self, word: str) -> str | None:
        """Return the endpoint that a word of this service's stands for; None for no endpoint."""
        spellings = {self.spell(endpoint): endpoint for endpoint in self.endpoints}
        return spellings.get(word, word if word in self.endpoints else None)

    def spell(self, endpoint: str) -> str:
        """Return how this service writes an endpoint."""
        return endpoint.removeprefix("/v1") if self.bare_endpoints else endpoint

    def accepts_window(self, window: str) -> bool:
        """Tell whether a completion window is one of this service's."""
        return self.hours[0] <= (hours_of(window) or 0) <= self.hours[1]

    def batch(self, batch: Batch) -> Any:
        """Return a batch as this service shows it."""
        if self.name == "azure":
            shown = msgspec.to_builtins(batch) | {"endpoint": self.spell(batch.endpoint)}
            if batch.status == "validating":
                shown |= {"endpoint": None, "request_counts": None, "usage": None}
            return shown
        if self.name == "together":
            return msgspec.to_builtins(batch) | {"status": batch.status.upper(), "metadata": None}
        return batch

    def created(self, batch: Batch) -> Any:
        """Return the answer to a create."""
        shown = self.batch(batch)
        return {"job": shown, "warning": None} if self.name == "together" else shown

    def line(self, line: dict[str, Any]) -> dict[str, Any]:
        """Return a line of a result file as this service writes it."""
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
    # Of "200 MB" a client takes the smaller meaning, and a server the larger.
    if service.max_bytes == OPENAI.max_bytes:
        return limits
    return replace(limits, batch_bytes=service.max_bytes)


def _dialect(name: str, service: Provider, **own: Any) -> Dialect:
    """Make a dialect of what the table of providers has, and of what only a server does."""
    low, high = (hours_of(window) or 0 for window in service.windows)
    table: dict[str, Any] = {"limits": _limits(service), "hours": (low, high)}
    return Dialect(name=name, service=service, **table | own)


_DAY: Final = 24 * 60 * 60
_AZURE: Final = provider("azure")
_DIALECTS: Final = {
    each.name: each
    for each in (
        _dialect("openai", OPENAI, limits=Limits()),
        _dialect(
            "azure",
            _AZURE,
            limits=replace(_limits(_AZURE), batch_bytes=_AZURE.max_bytes),
            prefix="/openai",
            detours="(?:/v1)?(?:/deployments/[^/]+)?",
            asks_version=True,
            bare_endpoints=True,
            reads_lines=True,
            min_lifetime=14 * _DAY,
            codes={"invalid_url": "url_mismatch", "mismatched_model": "model_mismatch"},
            queue_full=(
                "The number of enqueued tokens has surpassed the configured limit of {limit:,} for "
                "the deployment '{model}'."
            ),
            empty_error_file=True,
        ),
        _dialect("groq", provider("groq"), prefix="/openai/v1"),
        _dialect("together", provider("together"), lists="array"),
        _dialect("deepinfra", provider("deepinfra"), prefix="/v1/openai"),
        _dialect("gateway", provider("other"), lists="nothing"),
        # Where nobody states a limit the table is careful, and such a server takes anything.
        _dialect(
            "self-hosted",
            provider("self-hosted"),
            limits=Limits(
                requests=10**9, batch_bytes=10**12, file_bytes=10**12, unsupported_models=()
            ),
            hours=(1, 9999),
        ),
    )
}


def find_dialect(profile: object) -> Dialect:
    """Return the dialect of a profile.

    Raises
    ------
    LocalServerError
        The profile is unknown.

    Examples
    --------
    >>> find_dialect("groq").accepts_window("7d")
    True
    """
    found = _DIALECTS.get(str(profile))
    if found is None:
        raise LocalServerError(
            f"The local server does not know the habits of {short_repr(profile)}. "
            f"{guess(profile, _DIALECTS)}It imitates {', '.join(map(repr, _DIALECTS))}: "
            "`batchframe.local.serve(profile=...)`."
        )
    return found
