"""How other services differ from OpenAI's Batch API: their addresses, words, limits and shapes.

Comes in: the name of a service. Goes out: a frozen `Habits`, which the server asks wherever one of
them does otherwise. Must not know: HTTP, the store, or how a batch is worked off.

What each is known to do, and from where, stands in docs/providers.md.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from batchframe.errors import LocalServerError
from batchframe.local._objects import ENDPOINTS, Batch

_DAY: Final = 24 * 60 * 60
_CHAT: Final = "/v1/chat/completions"
_RESPONSES: Final = "/v1/responses"
_COMPLETIONS: Final = "/v1/completions"
_EMBEDDINGS: Final = "/v1/embeddings"
_HOURS: Final = {"h": 1, "d": 24}
_WINDOW: Final = re.compile(r"([1-9][0-9]{0,3})([hd])")
_MB: Final = 1_000_000


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
class Habits:
    """What a service does in its own way.

    Attributes
    ----------
    prefix
        What the base URL of its clients ends in.
    addresses
        What an address must look like; its only group is the rest behind ``/v1``.
    asks_version
        Whether an address outside ``/v1`` needs an ``api-version``.
    limits
        What a batch may hold.
    endpoints
        Those that have batches.
    spellings
        Its own words for endpoints, and what they mean.
    reads_lines
        Whether the lines say which endpoint is meant, whatever the create said.
    windows
        The fewest and most hours of a ``completion_window``.
    purpose
        What an input file is uploaded for.
    lifetimes
        The fewest and most seconds that a file may be kept.
    codes
        Its own codes for what is wrong with an input file.
    queue_full
        What it says when too many tokens wait: of the limit and the model.
    expires
        Whether a batch ends when its window is over.
    empty_error_file
        Whether a batch without errors has an error file, of 0 bytes.
    lists
        How its list of batches looks: "pages", one "array", or "nothing" of what there is.
    """

    name: str = "openai"
    prefix: str = "/v1"
    addresses: re.Pattern[str] = re.compile(r"/v1(/.*)")
    asks_version: bool = False
    limits: Limits = field(default_factory=Limits)
    endpoints: tuple[str, ...] = ENDPOINTS
    spellings: Mapping[str, str] = field(default_factory=dict)
    reads_lines: bool = False
    windows: tuple[int, int] = (24, 24)
    purpose: str = "batch"
    lifetimes: tuple[int, int] = (3600, 30 * _DAY)
    codes: Mapping[str, str] = field(default_factory=dict)
    queue_full: str | None = None
    expires: bool = True
    empty_error_file: bool = False
    lists: str = "pages"

    def inside(self, path: str, query: bytes) -> str:
        """Return the address that the server knows for one of this service.

        Examples
        --------
        >>> habits_of("azure").inside("/openai/deployments/mine/responses", b"api-version=1")
        '/v1/responses'
        """
        found = self.addresses.fullmatch(path)
        bare = self.asks_version and not path.startswith(f"{self.prefix}/v1/")
        if found is None or (bare and b"api-version=" not in query):
            return f"/-{path}"
        return f"/v1{found[1]}"

    def meant(self, word: str) -> str | None:
        """Return the endpoint that is meant by a word of this service's; None if none is."""
        endpoint = self.spellings.get(word, word)
        return endpoint if endpoint in self.endpoints else None

    def words(self) -> list[str]:
        """Return how this service writes the endpoints that have batches."""
        own = {endpoint: word for word, endpoint in self.spellings.items()}
        return [own.get(endpoint, endpoint) for endpoint in self.endpoints]

    def takes_window(self, window: str) -> bool:
        """Tell whether a completion window is one of this service's."""
        found = _WINDOW.fullmatch(window)
        hours = 0 if found is None else int(found[1]) * _HOURS[found[2]]
        return self.windows[0] <= hours <= self.windows[1]

    def batch(self, batch: Batch) -> Any:
        """Return a batch as this service shows it."""
        if self.name == "azure":
            own = {endpoint: word for word, endpoint in self.spellings.items()}
            told = msgspec.to_builtins(batch) | {"endpoint": own.get(batch.endpoint)}
            if batch.status == "validating":
                told |= {"endpoint": None, "request_counts": None, "usage": None}
            return told
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
        if self.name == "self-hosted" and response is not None and _ERROR in response["body"]:
            bare = {key: value for key, value in response.items() if key != "body"}
            return {**line, "response": {**bare, "body": None}, "error": response["body"][_ERROR]}
        return line


_ERROR: Final = "error"
_AZURE: Final = Habits(
    name="azure",
    prefix="/openai",
    addresses=re.compile(r"/openai(?:/v1)?(?:/deployments/[^/]+)?(/.*)"),
    asks_version=True,
    limits=Limits(requests=100_000, batch_bytes=200 * _MB, unsupported_models=()),
    endpoints=(_CHAT, _RESPONSES),
    spellings={"/chat/completions": _CHAT, "/responses": _RESPONSES},
    reads_lines=True,
    lifetimes=(14 * _DAY, 30 * _DAY),
    codes={"invalid_url": "url_mismatch", "mismatched_model": "model_mismatch"},
    queue_full=(
        "The number of enqueued tokens has surpassed the configured limit of {limit:,} for the "
        "deployment '{model}'."
    ),
    expires=False,
    empty_error_file=True,
)
_GROQ: Final = Habits(
    name="groq",
    prefix="/openai/v1",
    addresses=re.compile(r"/openai/v1(/.*)"),
    limits=Limits(batch_bytes=100 * _MB, unsupported_models=()),
    endpoints=(_CHAT,),
    windows=(24, 7 * 24),
)
_TOGETHER: Final = Habits(
    name="together",
    limits=Limits(batch_bytes=100 * _MB, enqueued_tokens=30_000_000_000, unsupported_models=()),
    purpose="batch-api",
    lists="array",
)
_DEEPINFRA: Final = Habits(
    name="deepinfra",
    prefix="/v1/openai",
    addresses=re.compile(r"/v1/openai(/.*)"),
    limits=Limits(unsupported_models=()),
    endpoints=(_CHAT, _COMPLETIONS, _EMBEDDINGS),
)
_GATEWAY: Final = Habits(name="gateway", limits=Limits(unsupported_models=()), lists="nothing")
_SELF_HOSTED: Final = Habits(
    name="self-hosted",
    limits=Limits(requests=10**9, batch_bytes=10**12, file_bytes=10**12, unsupported_models=()),
    windows=(1, 9999),
)
_KNOWN: Final = {
    each.name: each
    for each in (Habits(), _AZURE, _GROQ, _TOGETHER, _DEEPINFRA, _GATEWAY, _SELF_HOSTED)
}


def habits_of(profile: object) -> Habits:
    """Look a service up.

    Raises
    ------
    LocalServerError
        Nobody here knows its habits.

    Examples
    --------
    >>> habits_of("groq").takes_window("7d")
    True
    """
    found = _KNOWN.get(str(profile))
    if found is None:
        near = difflib.get_close_matches(str(profile), _KNOWN, n=1)
        raise LocalServerError.unknown_profile(profile, near, list(_KNOWN))
    return found
