"""Plots: numbers, labels and contrast."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from batchframe import plot
from batchframe.plot import _canvas

plt = pytest.importorskip("matplotlib.pyplot", reason='needs the extra "plot"')
Axes, to_rgb = plt.Axes, pytest.importorskip("matplotlib.colors").to_rgb

LONG = "costs $5 or $6: a very long name of a label that never seems to end"
FRAME = pd.DataFrame(
    {
        "gold": ["a", "a", "b", LONG, "b"],
        "label": ["a", "b", "b", LONG, None],
        "bf_status": ["ok", "ok", "ok", "ok", "failed"],
        "bf_input_tokens": [10, 20, 30, 40, None],
        "bf_output_tokens": [5, 5, 5, 5, None],
    }
)
PICTURES: dict[str, Callable[..., Axes]] = {
    "confusion": lambda frame, **ax: plot.confusion(
        frame.bf.evaluate(truth="gold", predicted="label"), **ax
    ),
    "labels": plot.labels,
    "statuses": plot.statuses,
    "tokens": plot.tokens,
}


@pytest.fixture(autouse=True)
def no_screen() -> Iterator[None]:
    """Draw without a screen, and close the figures."""
    plt.switch_backend("Agg")
    plt.close("all")  # figures of other tests
    yield
    plt.close("all")
    plt.style.use("default")


def words(texts: object) -> list[str]:
    return [text.get_text() for text in texts]  # type: ignore[attr-defined]


@pytest.fixture(params=["default", "dark_background"])
def style(request: pytest.FixtureRequest) -> str:
    plt.style.use(["default", request.param])
    return str(request.param)


@pytest.mark.parametrize("draw", PICTURES.values(), ids=PICTURES)
def test_a_plot_is_drawn_on_the_given_axes(draw: Callable[..., Axes]) -> None:
    ax = plt.subplots()[1]
    assert draw(FRAME, ax=ax) is ax
    new = draw(FRAME)
    assert isinstance(new, Axes)
    assert new is not ax
    assert len(plt.get_fignums()) == 2


@pytest.mark.parametrize("draw", PICTURES.values(), ids=PICTURES)
@pytest.mark.usefixtures("style")
def test_an_empty_plot_says_so(draw: Callable[..., Axes]) -> None:
    ax = draw(FRAME.iloc[:0].astype({"label": object, "gold": object}))
    assert "no " in words(ax.texts)[0]
    ax.figure.canvas.draw()


@pytest.mark.parametrize("draw", PICTURES.values(), ids=PICTURES)
@pytest.mark.usefixtures("style")
def test_labels_are_unchanged_and_inside_the_figure(draw: Callable[..., Axes]) -> None:
    ax = draw(FRAME)
    ax.figure.canvas.draw()
    page = ax.figure.bbox
    # Ticks beyond the axis limits exist but are not drawn.
    (left, right), ends = ax.get_xlim(), sorted(ax.get_ylim())
    across = [text for text in ax.get_xticklabels() if left <= text.get_position()[0] <= right]
    down = [text for text in ax.get_yticklabels() if ends[0] <= text.get_position()[1] <= ends[1]]
    for text in [*across, *down, ax.title, *ax.texts]:
        box = text.get_window_extent()
        assert page.x0 - 1 <= box.x0 <= box.x1 <= page.x1 + 1, text
        assert page.y0 - 1 <= box.y0 <= box.y1 <= page.y1 + 1, text


def test_bars_are_as_long_as_the_table_says() -> None:
    ax, table = plot.labels(FRAME), plot.tables.labels(FRAME)
    assert [bar.get_width() for bar in ax.patches] == table["rows"].tolist()
    assert words(ax.texts) == [f"{rows:,}" for rows in table["rows"]]
    names = words(ax.get_yticklabels())
    assert names[0] == "b"
    assert names[-1] == "no answer"
    assert any(name.startswith("costs $5 or $6:") and name.endswith("…") for name in names)
    first, last = (ax.patches[place].get_y() for place in (0, -1))
    top, bottom = sorted(ax.get_ylim())
    assert ax.yaxis_inverted()
    assert top < first < last < bottom


def test_statuses_are_labeled_and_not_by_color_alone() -> None:
    ax = plot.statuses(FRAME)
    assert words(ax.get_yticklabels()) == ["ok", "failed"]
    colors = [bar.get_facecolor() for bar in ax.patches]
    assert colors[0] != colors[1]


@pytest.mark.usefixtures("style")
def test_the_numbers_of_a_confusion_matrix_have_enough_contrast() -> None:
    ax = PICTURES["confusion"](FRAME, ax=plt.subplots()[1])
    table = FRAME.bf.evaluate(truth="gold", predicted="label").confusion
    assert words(ax.texts) == [str(number) for number in table.to_numpy().ravel()]
    cells = ax.images[0].get_array()
    for text in ax.texts:
        column, row = (int(place) for place in text.get_position())
        ink = np.array(to_rgb(text.get_color()))
        assert _canvas.contrast(np.asarray(cells[row, column])[:3], ink) >= 4.5
    assert words(ax.get_xticklabels())[-1] == "no answer"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("label", "gold")


@pytest.mark.usefixtures("style")
def test_a_cell_is_colored_by_its_share_of_the_true_label() -> None:
    ax = PICTURES["confusion"](FRAME, ax=plt.subplots()[1])
    cells = np.asarray(ax.images[0].get_array())
    paper, full = _canvas.paper(plt.gca()), np.array(to_rgb("C0"))
    assert cells[0, 0] == pytest.approx((paper + full) / 2)
    assert cells[0, 2] == pytest.approx(paper)
    assert cells[2, 2] == pytest.approx(full)


def test_on_a_transparent_background_the_cells_differ_from_the_text() -> None:
    for ink, paper in (("black", [1, 1, 1]), ("white", [0, 0, 0])):
        figure, ax = plt.subplots(facecolor="none")
        ax.set_facecolor("none")
        ax.xaxis.label.set_color(ink)
        assert _canvas.paper(ax).tolist() == paper
        assert figure is ax.figure


@pytest.mark.slow
def test_many_labels_omit_zeros_and_do_not_overlap() -> None:
    names = [f"label number {place:02}" for place in range(77)]
    frame = pd.DataFrame({"gold": names * 2, "label": names + names[1:] + names[:1]})
    ax = PICTURES["confusion"](frame)
    assert words(ax.texts) == ["1"] * 154
    ax.figure.canvas.draw()
    for labels, low, high in (
        (ax.get_yticklabels(), "y0", "y1"),
        (ax.get_xticklabels(), "x0", "x1"),
    ):
        boxes = sorted(
            (text.get_window_extent() for text in labels), key=lambda box: getattr(box, low)
        )
        overlaps = [
            getattr(one, high) - getattr(other, low) for one, other in itertools.pairwise(boxes)
        ]
        assert max(overlaps) < 1


def test_one_label_is_enough() -> None:
    frame = pd.DataFrame({"gold": ["a"], "label": ["a"]})
    assert words(PICTURES["confusion"](frame).texts) == ["1", "0"]
    assert words(plot.labels(frame).texts) == ["1"]


def test_tokens_are_drawn_as_they_are_binned() -> None:
    ax, table = plot.tokens(FRAME), plot.tables.tokens(FRAME)
    heights, edges, _ = ax.patches[0].get_data()
    assert heights.tolist() == table["input_tokens"].tolist()
    assert edges.tolist() == [*table["at_least"], table["below"].iloc[-1]]
    assert words(ax.get_legend().get_texts()) == ["input (4 rows)", "output (4 rows)"]
    assert ax.get_xscale() == "linear"


def test_tokens_far_apart_are_drawn_on_a_log_axis() -> None:
    far = pd.DataFrame({"bf_input_tokens": [9000, 12_000], "bf_output_tokens": [0, 3]})
    ax = plot.tokens(far)
    assert ax.get_xscale() == "symlog"
    ax.figure.canvas.draw()
    assert "1,000" in words(ax.get_xticklabels())


def test_a_cost_shows_its_range_as_text(server: batchframe.local.Server) -> None:
    frame = pd.DataFrame({"text": ["one", "two"]})
    requests = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["no", "by all means, yes"])
    job: bf.Job = requests.submit(client=server.client())
    assert words(plot.cost(job).get_yticklabels())[1] == "actual so far\n$0.00"
    ax = plot.cost(job.wait())
    table = plot.tables.cost(job)
    estimated, actual = words(ax.get_yticklabels())
    assert estimated.startswith("estimated\n$0.0")
    assert " to $0.0" in estimated
    assert actual.startswith("actual\n$0.0")
    widths = [bar.get_width() for bar in ax.patches]
    assert widths == [float(table.loc["estimated", "expected"]), float(job.cost or 0)]
    ends = ax.lines[0].get_xdata()
    assert list(ends) == [float(table.loc["estimated", end]) for end in ("low", "high")]


def test_a_cost_without_price_or_bound_says_so(server: batchframe.local.Server) -> None:
    frame = pd.DataFrame({"text": ["one"]})
    unknown = frame.bf.requests("{{ text }}", model="my-model").submit(client=server.client())
    assert words(plot.cost(unknown).get_yticklabels()) == [
        "estimated\nunknown",
        "actual so far\nunknown",
    ]
    endless = frame.bf.requests("{{ text }}", model="gpt-4.1").submit(client=server.client())
    assert "no upper bound" in words(plot.cost(endless).get_yticklabels())[0]


def test_drawing_without_matplotlib_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    frame = pd.DataFrame({"label": ["+", "-"]})
    with pytest.raises(bf.errors.ExtraError, match=r'pip install "batchframe\[plot\]"'):
        plot.labels(frame, "label")


LIGHT, DARK = np.ones(3), np.array(to_rgb("#111111"))


@pytest.mark.parametrize("draw", [plot.statuses, plot.labels, plot.tokens])
def test_a_plot_can_be_read_on_a_light_and_on_a_dark_page(draw: Callable[..., Axes]) -> None:
    frame = pd.DataFrame(
        {"bf_status": ["ok", "failed"], "label": ["a", "b"], "bf_input_tokens": [3, 9],
         "bf_output_tokens": [2, 5]}
    )  # fmt: skip
    ax = draw(frame)
    assert _canvas.is_transparent(ax)
    legend = ax.get_legend()
    texts = [
        *ax.texts, *ax.get_xticklabels(), *ax.get_yticklabels(), ax.title, ax.xaxis.label,
        *(legend.get_texts() if legend else ()),
    ]  # fmt: skip
    for text in texts:
        ink = np.array(to_rgb(text.get_color()))
        assert min(_canvas.contrast(ink, page) for page in (LIGHT, DARK)) >= 4.1
    plt.close("all")


def test_a_confusion_matrix_can_be_read_on_a_light_and_on_a_dark_page() -> None:
    frame = pd.DataFrame({"gold": list("aabb"), "label": list("abbb")})
    ax = plot.confusion(bf.evaluate(frame, truth="gold", predicted="label"))
    cells = np.asarray(ax.images[0].get_array())
    for text in ax.texts:
        column, row = map(int, text.get_position())
        ink, cell = np.array(to_rgb(text.get_color())), cells[row, column]
        for page in (LIGHT, DARK):
            ground = cell[:3] if cell[3] else page
            assert _canvas.contrast(ground, ink) >= 4.1
    plt.close("all")


def test_a_style_of_the_user_is_kept() -> None:
    with plt.style.context("dark_background"):
        ax = plot.labels(pd.DataFrame({"label": ["a"]}))
    assert not _canvas.is_transparent(ax)
    plt.close("all")
