"""Tokens that the service adds to a request's text, from ``framing.toml``."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Final, Literal

import msgspec

from batchframe._models.names import base_model

Kind = Literal["text", "schema", "tools", "calls"]

_FILE: Final = "framing.toml"


class _Recorded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The evidence for an entry."""

    recordings: int
    source: str
    as_of: date


class Frame(_Recorded, frozen=True):
    """Framing tokens of a kind of content, by model family and endpoint.

    Attributes
    ----------
    constants
        Tokens by name.
    fewer, more
        The stated error in tokens, down and up.
    share
        The part of the rendered tokens that is added to both errors.
    headers
        How many headers with its name a schema has, besides those of earlier answers.
    required
        Whether the only function costs the same if the model must call any as if it is named.
    merged
        Whether several calls of one answer are written as one.
    recordings
        How many recorded requests the entry rests on; 0 if it is that of the nearest family.
    """

    kind: Kind
    families: tuple[str, ...]
    endpoints: tuple[str, ...]
    constants: dict[str, int]
    fewer: int = 0
    more: int = 0
    share: float = 0.0
    headers: int = 0
    required: bool = False
    merged: bool = False

    def __getitem__(self, name: str) -> int:
        return self.constants.get(name, 0)


class Family(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Models with the same framing."""

    name: str
    models: str


class State(_Recorded, frozen=True):
    """Additional tokens of a model's requests in another state of the service."""

    models: str
    endpoints: tuple[str, ...]
    text: int
    tools: int


class SchemaKeywords(_Recorded, frozen=True):
    """Schema keywords without tokens: recorded and presumed ones."""

    unbilled: frozenset[str]
    unrecorded: frozenset[str]


class Doubts(_Recorded, frozen=True):
    """Tokens that parts of functions may add."""

    around_comment: int
    nullable: int


class Hosted(_Recorded, frozen=True):
    """Tokens of tools that the service runs, by type."""

    tokens: dict[str, int]


class Embeddings(_Recorded, frozen=True):
    """Tokens of embedding inputs."""

    empty: int


class Margins(_Recorded, frozen=True):
    """Stated errors in tokens."""

    answer: int
    empty: int
    further_text: int
    lone_result: int
    result_characters: int
    unconfirmed_model: int
    unpublished_endpoint: int
    json_mode: int
    image_on_responses: int
    pro: int


class Framing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole table; of families and frames, the first that matches applies."""

    family: tuple[Family, ...]
    frame: tuple[Frame, ...]
    state: tuple[State, ...]
    schema: SchemaKeywords
    doubts: Doubts
    hosted: Hosted
    embeddings: Embeddings
    margins: Margins


@cache
def framing() -> Framing:
    """Read the table."""
    table = tomllib.loads((files(__package__) / _FILE).read_text(encoding="utf-8"))
    return msgspec.convert(table, Framing)


@cache
def family_of(model: str) -> str:
    """Return the model family whose framing applies to a model.

    Examples
    --------
    >>> [family_of(model) for model in ("gpt-4.1", "gpt-5.6-luna", "o3-mini", "gpt-5-chat-latest")]
    ['plain', 'gpt-5', 'o-series', 'plain']
    """
    name = base_model(model)
    return next(family.name for family in framing().family if re.match(family.models, name))


@cache
def frame(kind: Kind, model: str, endpoint: str) -> Frame:
    """Return the tokens around one kind of content.

    Examples
    --------
    >>> frame("text", "gpt-4.1", "/v1/chat/completions")["message"]
    3
    """
    family = family_of(model)
    return next(
        frame
        for frame in framing().frame
        if frame.kind == kind and family in frame.families and endpoint in frame.endpoints
    )


@cache
def other_state(model: str, endpoint: str) -> State | None:
    """Return the difference between recorded requests of a model, if any.

    Examples
    --------
    >>> other_state("gpt-4.1", "/v1/responses") is None
    True
    """
    name = base_model(model)
    states = framing().state
    matches = (
        state for state in states if re.match(state.models, name) and endpoint in state.endpoints
    )
    return next(matches, None)
