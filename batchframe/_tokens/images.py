"""Input tokens of an image by its size, its detail and the model.

The rules are those of OpenAI's guide "Images and vision", 2026-11; requests recorded with the API's
own counts take precedence, and the evidence states it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from batchframe._models.names import base_model

_TILE: Final = 512
_PATCH: Final = 32
_SHORT_SIDE: Final = 768
_FIT: Final = 2048
# The size assumed for an image of unknown size; the range covers the others.
_TYPICAL: Final = (1024, 1024)
_LOW_SIDE: Final = 512
_RECORDED: Final = "OpenAI's rule, confirmed by recorded requests"
_PUBLISHED: Final = "OpenAI's rule, not confirmed by a recorded request"
_BOTH: Final = "1.2 tokens per patch in two recorded requests; OpenAI's guide says 1.62"
_PRESUMED: Final = "no published rule; that of the nearest model is assumed"
_SMALL: Final = {"high": (1536, _FIT), "auto": (1536, _FIT), "original": (1536, _FIT)}
_NEW_HIGH: Final = {"high": (2500, _FIT), "auto": (2500, _FIT), "original": (10_000, 6000)}
_NEW_ORIGINAL: Final = {**_NEW_HIGH, "auto": (10_000, 6000)}
_END: Final = r"(?![a-z0-9.])"


@dataclass(frozen=True)
class ImageTokens:
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


@dataclass(frozen=True)
class _Tiles:
    """Tokens for the entire image, and for each tile of 512 pixels."""

    base: int
    each: int
    evidence: str


@dataclass(frozen=True)
class _Patches:
    """Tokens for each patch of 32 pixels, within a budget of patches.

    `budgets` maps each ``detail`` to the maximum patches and the longest side.
    """

    factor: float
    high_factor: float
    budgets: dict[str, tuple[int, int]]
    evidence: str
    doubt: float = 0.0


# The first match applies.
_RULES: Final[tuple[tuple[str, _Tiles | _Patches], ...]] = (
    (r"gpt-4o-mini" + _END, _Tiles(2833, 5667, _PUBLISHED)),
    (r"gpt-4\.1-mini" + _END, _Patches(1.62, 1.62, _SMALL, _PUBLISHED)),
    (r"gpt-4\.1-nano" + _END, _Patches(2.46, 2.46, _SMALL, _RECORDED)),
    (r"(gpt-4o|chatgpt-4o|gpt-4)" + _END, _Tiles(85, 170, _RECORDED)),
    (r"(gpt-4\.1|gpt-4\.5)" + _END, _Tiles(85, 170, _PUBLISHED)),
    (r"o4-mini" + _END, _Patches(1.72, 1.72, _SMALL, _PUBLISHED)),
    (r"(o1|o3)" + _END, _Tiles(75, 150, _PUBLISHED)),
    (r"computer-use-preview" + _END, _Tiles(65, 129, _PUBLISHED)),
    (r"gpt-5-mini" + _END, _Patches(1.2, 1.62, _SMALL, _BOTH)),
    (r"gpt-5-nano" + _END, _Patches(2.46, 2.46, _SMALL, _PUBLISHED)),
    (r"gpt-5\.4-mini" + _END, _Patches(1.62, 1.62, _SMALL, _PUBLISHED)),
    (r"gpt-5\.4-nano" + _END, _Patches(2.46, 2.46, _SMALL, _PUBLISHED)),
    (r"(gpt-5(\.\d+)?-codex|codex|gpt-5\.2)", _Patches(1.0, 1.0, _SMALL, _PUBLISHED)),
    (r"gpt-5" + _END, _Tiles(70, 140, _PUBLISHED)),
    (r"gpt-5\.1" + _END, _Tiles(70, 140, _PRESUMED)),
    (r"gpt-5\.3" + _END, _Patches(1.0, 1.0, _SMALL, _PRESUMED)),
    (r"gpt-5\.4" + _END, _Patches(1.0, 1.0, _NEW_HIGH, _PUBLISHED)),
    (r"gpt-5\.5" + _END, _Patches(1.0, 1.0, _NEW_ORIGINAL, _PUBLISHED)),
    (r"gpt-[56]", _Patches(1.0, 1.0, _NEW_ORIGINAL, _PRESUMED, doubt=0.5)),
)
_UNKNOWN: Final = _Patches(1.0, 1.0, _NEW_ORIGINAL, _PRESUMED, doubt=1.0)


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
    rule = next((rule for pattern, rule in _RULES if re.match(pattern, name)), _UNKNOWN)
    sizes = [_TYPICAL, (1, 1), (100_000, 37_500), (30_000, 30_000)] if size is None else [size]
    counts = [_count(rule, *dimensions, level) for dimensions in sizes]
    highest = [_count(rule, *dimensions, level, highest=True) for dimensions in sizes]
    low, high = min(counts), max(highest)
    if isinstance(rule, _Patches):
        # A recorded request was one token above the product; the range of an uncertain rule is
        # widened.
        most = math.ceil(rule.budgets["original"][0] * rule.high_factor)
        low = math.floor(low * (1 - rule.doubt)) - (rule.doubt == 0)
        high = min(math.ceil(high * (1 + rule.doubt)) + 1, most + 1)
    return ImageTokens(counts[0], max(low, 0), high, rule.evidence)


def _count(
    rule: _Tiles | _Patches, width: float, height: float, detail: str, *, highest: bool = False
) -> int:
    if isinstance(rule, _Tiles):
        return rule.base + (0 if detail == "low" else rule.each * _tiles(width, height))
    if detail == "low":
        width, height = _fitted(width, height, _LOW_SIDE)
    budget, side = rule.budgets.get(detail, rule.budgets["auto"])
    factor = rule.high_factor if highest else rule.factor
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
