"""What people look at: complete as text, readable as HTML, and never more than data."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from batchframe._display import Card, Table, to_html, to_text

PAGES = Path(__file__).parent

CARD = Card(
    title="Job sentiment: in progress",
    facts=(("rows", "412 ok, 588 pending"), ("batches", "batch_1 in_progress\nbatch_2 validating")),
    progress=(412, 1000),
    table=Table("tokens and USD", ("", "low", "high"), (("input", "1", "20"),)),
    quoted=("first prompt", "Classify:\n\n<b>text</b>"),
    notes=("Prices: as of today.",),
    next_step="job.wait()",
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
        self.seen: Counter[tuple[str, tuple[str, ...]]] = Counter()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag, tuple(name for name, _ in attrs)] += 1


def elements(html: str) -> Counter[tuple[str, tuple[str, ...]]]:
    parser = Elements()
    parser.feed(html)
    parser.close()
    return parser.seen


@pytest.mark.parametrize(("name", "write"), [("card.txt", to_text), ("card.html", to_html)])
def test_a_card_looks_as_it_was_reviewed(
    name: str, write: object, pytestconfig: pytest.Config
) -> None:
    shown = write(CARD) + "\n"  # type: ignore[operator]
    shown = re.sub("<style>.*?</style>", "<style>…</style>", shown, flags=re.DOTALL)
    if pytestconfig.getoption("--update-texts"):
        (PAGES / name).write_text(shown, encoding="utf-8")
    assert (PAGES / name).read_text(encoding="utf-8") == shown


def test_two_amounts_of_dollars_are_no_formula() -> None:
    # MathJax reads what stands between two dollars of one element, but for <pre> and <code>.
    html = to_html(Card("$1 or $2", (("spent", "$1; estimated $2"),), notes=("$1 in place of $2",)))
    prose = re.sub(r"<(pre|code)\b.*?</\1>", "", html, flags=re.DOTALL)
    assert not re.search(r"\$[^<]*\$", prose)
    assert "tex2jax_ignore mathjax_ignore" in html


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_becomes_an_element_an_attribute_or_a_control(text: str) -> None:
    def card(word: str) -> Card:
        return Card(
            title=word,
            facts=((word, word),),
            progress=(1, 2),
            table=Table(word, (word, word), ((word, word),)),
            quoted=(word, word),
            notes=(word,),
            next_step=word,
        )

    lines = text.count("\n")
    plain = elements(to_html(card("x" + "\nx" * lines)))
    assert elements(to_html(card(text))) == plain
    for shown in (to_html(card(text)), to_text(card(text))):
        assert not [c for c in shown if c in "\x1b\x00\u202e"]


def test_cells_job_names_and_answers_are_text_in_every_card(
    server: batchframe.local.Server,
) -> None:
    hostile = HOSTILE[1]
    frame = pd.DataFrame({hostile.strip('"><'): [hostile], "text": [hostile]})
    requests = frame.bf.requests("{{ text }}", model="gpt-4.1")
    job = requests.submit(hostile, client=server.client()).wait()
    for handle in (requests, requests.estimate(), job):
        seen = elements(handle._repr_html_())
        assert not [tag for tag, _ in seen if tag in {"img", "script", "a", "iframe"}]
        assert not [name for _, names in seen for name in names if name.startswith("on")]


def test_html_needs_no_script_no_link_and_names_its_parts() -> None:
    html = to_html(CARD)
    seen = elements(html)
    tags = {tag for tag, _ in seen}
    assert not tags & {"script", "a", "iframe", "img", "link"}
    assert "url(" not in html
    assert "@import" not in html
    tables = sum(count for (tag, _), count in seen.items() if tag == "table")
    assert sum(count for (tag, _), count in seen.items() if tag == "caption") == tables
    heads = [attributes for (tag, attributes) in seen if tag == "th"]
    assert all("scope" in attributes for attributes in heads)
    assert "412 of 1,000" in html


def test_a_plain_repr_tells_the_whole_story(server: batchframe.local.Server) -> None:
    frame = pd.DataFrame({"text": ["good", "bad", "good", None]})
    requests = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+"], on_missing="skip")
    assert "2 requests to gpt-4.1" in repr(requests)
    assert "1 duplicate merged, 1 skipped" in repr(requests)
    assert "| good" in repr(requests)
    assert "batch cost" in repr(requests.estimate())
    job: bf.Job = requests.submit("tone", client=server.client()).wait()
    for words in ("Job tone: completed", "3 ok, 1 skipped", "estimated", "bf.join(job)", job.id):
        assert words in repr(job)
