"""Input tokens of an image by its size and detail, and of a PDF's pages.

The rules are in ``images.toml``.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any, Final

import msgspec

from batchframe._models.names import base_model

_TILE: Final = 512
_PATCH: Final = 32
_SHORT_SIDE: Final = 768
_FIT: Final = 2048
# The size assumed for an image of unknown size; the range covers the others.
_TYPICAL: Final = (1024, 1024)
_LOW_SIDE: Final = 512
_FILE: Final = "images.toml"
_RECORDED: Final = "OpenAI's rule, confirmed by recorded requests"
_PUBLISHED: Final = "OpenAI's rule, not confirmed by a recorded request"
_PRESUMED: Final = "no published rule; that of the nearest model is assumed"
_END: Final = r"(?![a-z0-9.])"


class ImageTokens(msgspec.Struct, frozen=True):
    """The tokens of one image.

    Attributes
    ----------
    tokens
        The expected number.
    low, high
        The lower and upper bound.
    evidence
        The basis of the number.
    """

    tokens: int
    low: int
    high: int
    evidence: str


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tokens by tiles of 512 pixels (`each` not 0) or patches of 32 pixels.

    Attributes
    ----------
    models
        A pattern for the start of the model's name; for a part of the name if `open`.
    base, each
        Tokens for the entire image, and for each tile.
    factor, high_factor
        Tokens for each patch, and at most; a `high_factor` of 0 is `factor`.
    budget
        The name of the budgets of patches.
    doubt
        The relative error.
    evidence
        The basis of the rule, if it is not OpenAI's.
    """

    models: str
    recordings: int
    as_of: date
    open: bool = False
    base: int = 0
    each: int = 0
    factor: float = 0.0
    high_factor: float = 0.0
    budget: str = ""
    doubt: float = 0.0
    evidence: str = ""

    def matches(self, name: str) -> bool:
        """Return whether the rule is that of a model."""
        return re.match(self.models + ("" if self.open else _END), name) is not None

    @property
    def basis(self) -> str:
        """The evidence as text."""
        if self.evidence == "presumed":
            return _PRESUMED
        return self.evidence or (_RECORDED if self.recordings else _PUBLISHED)


class _Excess(msgspec.Struct, frozen=True):
    """Tokens above the product of patches."""

    more: int
    recordings: int
    as_of: date


class _Page(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fewest tokens recorded for a page of a PDF, by models and endpoint."""

    models: str
    endpoint: str
    low: int
    recordings: int
    as_of: date


class _Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Maximum patches and side length of each budget, by ``detail``."""

    budgets: dict[str, dict[str, tuple[int, int]]]
    patches: _Excess
    rule: tuple[Rule, ...]
    page: tuple[_Page, ...]


@cache
def _rules() -> _Rules:
    table = tomllib.loads((files(__package__) / _FILE).read_text(encoding="utf-8"))
    return msgspec.convert(table, _Rules)


def image_tokens(
    model: str, size: tuple[int, int] | None, detail: str | None = None
) -> ImageTokens:
    """Return the tokens of one image.

    Parameters
    ----------
    model
        The model's name, as in the request.
    size
        Width and height in pixels; None if unknown, as for an ``https:`` URL.
    detail
        ``"low"``, ``"high"``, ``"original"`` or ``"auto"``; None is ``"auto"``.

    Examples
    --------
    >>> image_tokens("gpt-4o", (2560, 1669), "high").tokens
    1105
    >>> image_tokens("gpt-4.1-nano", (540, 360)).tokens
    502
    >>> unseen = image_tokens("gpt-4o", None)
    >>> unseen.low, unseen.tokens, unseen.high
    (255, 765, 1445)
    """
    name, level = base_model(model), (detail or "auto").lower()
    rule = next(rule for rule in _rules().rule if rule.matches(name))
    sizes = [_TYPICAL, (1, 1), (100_000, 37_500), (30_000, 30_000)] if size is None else [size]
    counts = [_count(rule, *dimensions, level, rule.factor) for dimensions in sizes]
    high_factor = max(rule.factor, rule.high_factor)
    highest = [_count(rule, *dimensions, level, high_factor) for dimensions in sizes]
    low, high = min(counts), max(highest)
    if not rule.each:
        most, further = _rules().budgets[rule.budget]["original"][0], _rules().patches.more
        low = math.floor(low * (1 - rule.doubt)) - (rule.doubt == 0)
        high = min(math.ceil(high * (1 + rule.doubt)), math.ceil(most * high_factor)) + further
    return ImageTokens(counts[0], max(low, 0), high, rule.basis)


def file_source(part: Mapping[str, Any]) -> Any:
    """Return the ``data:`` URL or the URL of a file in a content part.

    Examples
    --------
    >>> file_source({"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0="}})
    'data:application/pdf;base64,JVBERi0='
    """
    inner = part.get("file")
    source = inner if isinstance(inner, Mapping) else part
    return source.get("file_data") or source.get("file_url")


def page_tokens(model: str, endpoint: str) -> tuple[int, str]:
    """Return the fewest tokens of a page of a PDF, with the evidence.

    Examples
    --------
    >>> page_tokens("gpt-4o", "/v1/chat/completions")[0], page_tokens("llama-4", "/v1/responses")[0]
    (216, 0)
    """
    name = base_model(model)
    rules = [page for page in _rules().page if re.match(page.models + _END, name)]
    own = [page for page in rules if page.endpoint == endpoint] or rules
    if not own:
        return 0, "none is recorded for this model"
    fewest = min(own, key=lambda page: page.low)
    return fewest.low, f"the fewest in {fewest.recordings} recorded requests, {fewest.as_of}"


def _count(rule: Rule, width: float, height: float, detail: str, factor: float) -> int:
    if rule.each:
        return rule.base + (0 if detail == "low" else rule.each * _tiles(width, height))
    if detail == "low":
        width, height = _fitted(width, height, _LOW_SIDE)
    budgets = _rules().budgets[rule.budget]
    budget, side = budgets.get(detail, budgets["auto"])
    return math.ceil(round(_patches(width, height, budget, side) * factor, 6))


def _tiles(width: float, height: float) -> int:
    """Count tiles after scaling an image to 2,048 pixels and a short side 768.

    Images are never enlarged.

    Recorded: 800 by 400 pixels take two tiles.
    """
    width, height = _fitted(width, height, _FIT)
    scale = min(1.0, _SHORT_SIDE / min(width, height))
    return _cover(width * scale, _TILE) * _cover(height * scale, _TILE)


def _patches(width: float, height: float, budget: int, side: int) -> int:
    """Count patches after fitting an image to the longest side and the budget."""
    width, height = _fitted(width, height, side)
    if _cover(width, _PATCH) * _cover(height, _PATCH) > budget:
        scale = math.sqrt(_PATCH**2 * budget / (width * height))
        across, down = width * scale / _PATCH, height * scale / _PATCH
        # The guide's second step: round down to full patches across or down.
        rounding = min(max(1, math.floor(across)) / across, max(1, math.floor(down)) / down, 1.0)
        width, height = width * scale * rounding, height * scale * rounding
    return min(budget, _cover(width, _PATCH) * _cover(height, _PATCH))


def _fitted(width: float, height: float, side: int) -> tuple[float, float]:
    scale = min(1.0, side / max(width, height))
    return max(1.0, width * scale), max(1.0, height * scale)


def _cover(length: float, step: int) -> int:
    # A scaled length of 767.9999999 pixels is 768.
    return math.ceil(round(length, 6) / step)
