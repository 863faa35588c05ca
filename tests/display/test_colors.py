"""Colors of cards without a theme: contrast."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

CSS = (files("batchframe._display") / "card.css").read_text(encoding="utf-8")
LIGHT, DARK = re.findall(r"\{(\s*--bf-own-text[^}]*)\}", CSS)
TEXT = 4.5
EDGE = 3.0


def colors(block: str) -> dict[str, str]:
    return dict(re.findall(r"--bf-([\w-]+):\s*(#[0-9a-f]{6});", block))


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Compute the contrast of two colors, as WCAG 2.2 defines it."""
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_has_enough_contrast(theme: str) -> None:
    own = colors(theme)
    for ground in ("own-ground", "own-code"):
        assert contrast(own["own-text"], own[ground]) >= TEXT
    assert contrast(own["own-dim"], own["own-ground"]) >= TEXT


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_the_edge_has_enough_contrast_in_every_tone(theme: str) -> None:
    own = colors(theme)
    for tone in ("good", "warn", "bad", "plain"):
        assert contrast(own[tone], own["own-ground"]) >= EDGE


def test_both_themes_set_the_same_colors_and_every_color_is_a_variable() -> None:
    assert set(colors(LIGHT)) == set(colors(DARK))
    rules = CSS.replace(LIGHT, "").replace(DARK, "")
    assert not re.findall(r"#[0-9a-f]{3,8}\b|rgba?\(", rules)


def test_the_theme_of_the_notebook_comes_before_the_card_s_own_colors() -> None:
    for name in ("text", "dim", "ground", "line", "code"):
        chain = re.search(rf"--bf-{name}: (var\(.*\));", CSS)
        assert chain is not None
        order = re.findall(r"var\((--\w+)", chain[1])
        assert order == ["--jp", "--vscode", "--pst", "--bf"]


def test_the_css_has_no_animations() -> None:
    assert not re.findall(r"animation|transition|@keyframes", CSS)
