"""Cards as text and HTML, with escaped data."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from batchframe._display import Bar, Card, Details, Part, Shares, Table, to_html, to_text

PAGES = Path(__file__).parent

CARD = Card(
    title="Job sentiment: in progress",
    figures=(("done", "412 of 1,000"), ("spent", "$0.0021")),
    bar=Bar(
        (Part("ok", 402, "good"), Part("failed", 10, "bad"), Part("waiting", 588, "waiting")), "row"
    ),
    facts=(("rows", "1,006: 6 skipped"), ("batches", "batch_1 in_progress\nbatch_2 validating")),
    table=Table("tokens and USD", ("", "low", "high"), (("input", "1", "20"),)),
    shares=Shares("label", (("good", 300), ("bad", 102)), more=2),
    quoted=("first prompt", "Classify:\n\n<b>text</b>"),
    notes=("10 requests failed.",),
    next_step="job.wait()",
    as_of="14:02 CET",
    details=Details(
        "Details",
        (("id", "0a1b2c"),),
        Table("answers", ("prompt", "label"), (("first\nline", "good"),), is_text=True),
        ("Prices: as of today.",),
    ),
)

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "</style><script>alert(1)</script>",
    "</pre></table><iframe src=x>",
    '<a data-commandlinker-command="rm" href="#">x</a>',
    "]]>",
    "\u202egnp.exe",
    "line\nbreak \x1b[31m and \x00",
    "&lt;b&gt; &amp;",
]


class Elements(HTMLParser):
    """Counts elements and their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: Counter[tuple[str, tuple[str, ...]]] = Counter()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag, tuple(name for name, _ in attrs)] += 1


def elements(html: str) -> Counter[tuple[str, tuple[str, ...]]]:
    parser = Elements()
    parser.feed(html)
    parser.close()
    return parser.elements


@pytest.mark.parametrize(("name", "write"), [("card.txt", to_text), ("card.html", to_html)])
def test_a_card_looks_as_it_was_reviewed(
    name: str, write: object, pytestconfig: pytest.Config
) -> None:
    rendered = write(CARD) + "\n"  # type: ignore[operator]
    rendered = re.sub("<style>.*?</style>", "<style>…</style>", rendered, flags=re.DOTALL)
    if pytestconfig.getoption("--update-texts"):
        (PAGES / name).write_text(rendered, encoding="utf-8")
    assert (PAGES / name).read_text(encoding="utf-8") == rendered


def test_two_dollar_amounts_are_not_rendered_as_a_formula() -> None:
    # MathJax renders text between two dollars of an element, except in <pre> and <code>.
    html = to_html(Card("$1 or $2", (("spent", "$1; estimated $2"),), notes=("$1 in place of $2",)))
    prose = re.sub(r"<(pre|code)\b.*?</\1>", "", html, flags=re.DOTALL)
    assert not re.search(r"\$[^<]*\$", prose)
    assert "tex2jax_ignore mathjax_ignore" in html


@pytest.mark.parametrize("text", HOSTILE)
def test_text_never_becomes_an_element_attribute_or_control(text: str) -> None:
    def card(word: str) -> Card:
        return Card(
            title=word,
            figures=((word, word),),
            bar=Bar((Part(word, 1, "good"), Part(word, 1, "waiting")), word),
            facts=((word, word),),
            table=Table(word, (word, word), ((word, word),)),
            shares=Shares(word, ((word, 1),)),
            quoted=(word, word),
            notes=(word,),
            next_step=word,
            as_of=word,
            details=Details(
                word, ((word, word),), Table(word, (word,), ((word,),), is_text=True), (word,)
            ),
        )

    lines = text.count("\n")
    plain = elements(to_html(card("x" + "\nx" * lines)))
    assert elements(to_html(card(text))) == plain
    for rendered in (to_html(card(text)), to_text(card(text))):
        assert not [c for c in rendered if c in "\x1b\x00\u202e"]


def test_cells_job_names_and_answers_are_text_in_every_card(
    server: batchframe.local.Server,
) -> None:
    hostile = HOSTILE[1]
    frame = pd.DataFrame({hostile.strip('"><'): [hostile], "text": [hostile]})
    requests = frame.bf.requests("{{ text }}", model="gpt-4.1")
    job = requests.submit(hostile, client=server.client()).wait()
    for handle in (requests, requests.estimate(), job):
        parsed = elements(handle._repr_html_())
        assert not [tag for tag, _ in parsed if tag in {"img", "script", "a", "iframe"}]
        assert not [name for _, names in parsed for name in names if name.startswith("on")]


def test_html_has_no_script_and_no_link_and_labels_its_parts() -> None:
    html = to_html(CARD)
    parsed = elements(html)
    tags = {tag for tag, _ in parsed}
    assert not tags & {"script", "a", "iframe", "img", "link"}
    assert "url(" not in html
    assert "@import" not in html
    tables = sum(count for (tag, _), count in parsed.items() if tag == "table")
    assert sum(count for (tag, _), count in parsed.items() if tag == "caption") == tables
    heads = [attributes for (tag, attributes) in parsed if tag == "th"]
    assert all("scope" in attributes for attributes in heads)
    assert "412 of 1,000" in html


def test_the_text_repr_is_complete(server: batchframe.local.Server) -> None:
    frame = pd.DataFrame({"text": ["good", "bad", "good", None]})
    requests = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+"], on_missing="skip")
    assert "2 requests to gpt-4.1" in repr(requests)
    assert "1 duplicate, 1 skipped" in repr(requests)
    assert "| good" in repr(requests)
    assert "batch cost" in repr(requests.estimate())
    job: bf.Job = requests.submit("tone", client=server.client()).wait()
    rows = "4: 1 duplicate merged, 1 skipped"
    for phrase in ("Job tone: completed", "3 ok of 3 rows", rows, "bf.join('tone')", job.id):
        assert phrase in repr(job)


def test_a_bar_is_cut_by_status_with_words_and_is_full_only_if_all_arrived() -> None:
    parts = (Part("ok", 30, "good"), Part("invalid", 10, "warn"), Part("expired", 20, "waiting"))
    card = Card("Job", bar=Bar(parts, "row"))
    line = to_text(card).splitlines()[1]
    assert (line.count("█"), line.count("▓"), line.count("░")) == (15, 5, 10)
    assert "30 ok, 10 invalid, 20 expired of 60 rows" in line
    assert card.progress == (40, 60)
    html = to_html(card).partition("display:none")[2]
    assert re.findall(r'<span class="bf-(\w+)" style="width:([\d.]+)%">', html) == [
        ("good", "50"), ("warn", "16.67"), ("waiting", "33.33"),
    ]  # fmt: skip
    assert 'aria-label="30 ok, 10 invalid, 20 expired of 60 rows"' in html


def test_what_is_secondary_is_folded_and_the_next_step_is_not() -> None:
    html = to_html(CARD).partition("display:none")[2]
    folded = html.partition("<details>")[2].partition("</details>")[0]
    assert "0a1b2c" in folded
    assert "Prices: as of today." in folded
    assert "job.wait()" not in folded
    assert "10 requests failed." not in folded
    assert "as of 14:02 CET" in html.partition("</details>")[2]
