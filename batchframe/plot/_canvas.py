"""Axes and colors; the only module that imports the optional matplotlib."""

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
# Labels are data, so a "$" in them does not start math.
AS_IT_IS: Final[dict[str, Any]] = {"parse_math": False}
# The page may be light or dark: the ground is transparent, and the text contrasts with both.
_INK: Final = "#777777"
_GROUNDS: Final = ("figure.facecolor", "axes.facecolor")
_INKS: Final = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
_POINTS: Final = 72
_CHARACTER: Final = 0.08
_LINEAR: Final = 0.04045


def axes(ax: Axes | None, width: float, height: float) -> Axes:
    """Return `ax`, or the axes of a new figure of this size in inches.

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
            'Plots need matplotlib. Fix: pip install "batchframe[plot]". Without it, '
            "bf.plot.tables returns the data."
        ) from None
    with plt.rc_context(_theme()):
        new: Axes = plt.subplots(figsize=(width, height), layout="constrained")[1]
    return new


def _theme() -> Any:
    """Return settings for a page of any theme; none if the user has a style."""
    import matplotlib as mpl  # noqa: PLC0415 - optional, and slow to import

    names: Any = (*_GROUNDS, *_INKS)
    if any(mpl.rcParams[name] != mpl.rcParamsDefault[name] for name in names):
        return {}
    return {**dict.fromkeys(_GROUNDS, "none"), **dict.fromkeys(_INKS, _INK)}


def draw_message(ax: Axes, text: str = "no rows") -> Axes:
    """Write a message on axes without data, instead of leaving them empty."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes, color=ink(ax))
    return ax


def label(name: object, most: int = 40) -> str:
    """Format a label as one line that fits beside an axis."""
    return shortened(visible(" ".join(str(name).split())), most)


def length(names: Sequence[str]) -> float:
    """Return the approximate length of the longest label, in inches."""
    return _CHARACTER * max(map(len, names), default=0)


def fit(texts: list[Text], room: float) -> None:
    """Reduce the font size of labels to the available height, in inches."""
    for text in texts:
        text.set_fontsize(min(text.get_fontsize(), max(3.0, 0.85 * room * _POINTS)))


def size(ax: Axes) -> tuple[float, float]:
    """Return the width and height of the axes in inches."""
    box = ax.get_window_extent()
    dpi = ax.figure.dpi
    return box.width / dpi, box.height / dpi


def ink(ax: Axes) -> ColorType:
    """Return the text color of the axes."""
    color: ColorType = ax.xaxis.label.get_color()
    return color


def paper(ax: Axes) -> RGB:
    """Return the background color of the axes."""
    from matplotlib.colors import to_rgba  # noqa: PLC0415 - optional, and slow to import

    for face in (ax.get_facecolor(), ax.figure.get_facecolor()):
        *rgb, alpha = to_rgba(face)
        if alpha:
            return np.array(rgb)
    # Both are transparent; the page behind them presumably contrasts with the ink.
    return np.ones(3) if luminance(rgb_of(ink(ax))) < 0.5 else np.zeros(3)  # noqa: PLR2004 - half


def is_transparent(ax: Axes) -> bool:
    """Return whether the page is visible behind the axes."""
    from matplotlib.colors import to_rgba  # noqa: PLC0415 - optional, and slow to import

    return not any(to_rgba(face)[3] for face in (ax.get_facecolor(), ax.figure.get_facecolor()))


def rgb_of(color: ColorType) -> RGB:
    """Convert a matplotlib color, such as "C0", to RGB."""
    from matplotlib.colors import to_rgb  # noqa: PLC0415 - optional, and slow to import

    return np.array(to_rgb(color))


def luminance(color: RGB) -> float:
    """Return the relative luminance of a color, 0 to 1 (WCAG 2.2)."""
    linear = np.where(color <= _LINEAR, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))


def contrast(first: RGB, second: RGB) -> float:
    """Return the contrast ratio of two colors, 1 to 21 (WCAG 2.2)."""
    dark, bright = sorted((luminance(first), luminance(second)))
    return (bright + 0.05) / (dark + 0.05)


def readable_on(background: RGB) -> str:
    """Return "black" or "white", whichever has more contrast to a color."""
    black, white = contrast(background, np.zeros(3)), contrast(background, np.ones(3))
    return "black" if black >= white else "white"
