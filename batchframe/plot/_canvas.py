"""Axes and colors, in the one module that imports matplotlib, which is optional."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from batchframe._base.errors import ExtraError
from batchframe._display import shortened, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text
    from matplotlib.typing import ColorType

RGB = npt.NDArray[np.float64]
# Labels are data: a "$" in them is a dollar, not the start of a formula.
AS_IT_IS: Final[dict[str, Any]] = {"parse_math": False}
_POINTS: Final = 72
_CHARACTER: Final = 0.08
_LINEAR: Final = 0.04045


def axes(ax: Axes | None, width: float, height: float) -> Axes:
    """Return the user's axes, or those of a new figure of this size in inches.

    Raises
    ------
    ExtraError
        If matplotlib is not installed.
    """
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt  # noqa: PLC0415 - optional, and slow to import
    except ImportError:
        raise ExtraError(
            "Drawing needs matplotlib, which is not installed. Install it with: pip install "
            '"batchframe[plot]". The same figures without it: bf.plot.tables.'
        ) from None
    new: Axes = plt.subplots(figsize=(width, height), layout="constrained")[1]
    return new


def say_empty(ax: Axes, words: str = "no rows") -> Axes:
    """Say that there is nothing to draw, instead of an empty frame of axes."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.text(0.5, 0.5, words, ha="center", va="center", transform=ax.transAxes, color=ink(ax))
    return ax


def label(name: object, most: int = 40) -> str:
    """Write a label so that it fits beside an axis, in one line."""
    return shortened(visible(" ".join(str(name).split())), most)


def length(names: Sequence[str]) -> float:
    """Return about how long the longest of some labels is, in inches."""
    return _CHARACTER * max(map(len, names), default=0)


def fit(texts: list[Text], room: float) -> None:
    """Make texts smaller if each has less room than its size, in inches."""
    for text in texts:
        text.set_fontsize(min(text.get_fontsize(), max(3.0, 0.85 * room * _POINTS)))


def size(ax: Axes) -> tuple[float, float]:
    """Return the width and height of the axes in inches."""
    box = ax.get_window_extent()
    dpi = ax.figure.dpi
    return box.width / dpi, box.height / dpi


def ink(ax: Axes) -> ColorType:
    """Return the colour in which the axes' own words are written."""
    colour: ColorType = ax.xaxis.label.get_color()
    return colour


def paper(ax: Axes) -> RGB:
    """Return the colour behind the axes."""
    from matplotlib.colors import to_rgba  # noqa: PLC0415 - optional, and slow to import

    for face in (ax.get_facecolor(), ax.figure.get_facecolor()):
        *rgb, alpha = to_rgba(face)
        if alpha:
            return np.array(rgb)
    # Both are clear: what lies behind must differ from the ink.
    return np.ones(3) if luminance(rgb_of(ink(ax))) < 0.5 else np.zeros(3)  # noqa: PLR2004 - half


def rgb_of(colour: ColorType) -> RGB:
    """Return a colour of matplotlib, such as "C0", as red, green and blue."""
    from matplotlib.colors import to_rgb  # noqa: PLC0415 - optional, and slow to import

    return np.array(to_rgb(colour))


def luminance(colour: RGB) -> float:
    """Return how bright a colour appears, 0 to 1 (relative luminance, WCAG 2.2)."""
    linear = np.where(colour <= _LINEAR, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))


def contrast(one: RGB, other: RGB) -> float:
    """Return the contrast of two colours, 1 to 21 (WCAG 2.2; text wants 4.5)."""
    dark, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dark + 0.05)


def readable_on(background: RGB) -> str:
    """Return black or white, whichever can be read on a colour."""
    black, white = contrast(background, np.zeros(3)), contrast(background, np.ones(3))
    return "black" if black >= white else "white"
