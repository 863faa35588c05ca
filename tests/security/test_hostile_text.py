"""X1: text of any origin is data: never an element, an attribute, or a control of the terminal."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from batchframe import errors
from batchframe._display import Card, Table, live, notify, to_html, to_text

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "image": '"><img src=x onerror=alert(1)>',
    "single quotes": "' onmouseover='alert(1)",
    "link": "javascript:alert(1)",
    "Markdown": "[x](javascript:alert(1)) ![y](https://example.com/z.png)",
    "end of style": "</style><script>alert(1)</script>",
    "end of cell": "</pre></table></div><iframe src=x>",
    "command of JupyterLab": '<a data-commandlinker-command="rm" href="#">x</a>',
    "comment": "<!-- x",
    "end of CDATA": "]]>",
    "MathJax": r"$\href{javascript:alert(1)}{x}$",
    "entities": "&lt;b&gt; &amp; &#60;script&#62;",
    "right to left": "\u202egnp.exe",
    "isolate": "a\u2066b\u2069c\u200f",
    "escape sequences": "\x1b[31mred\x1b]0;title\x07 \x9b2J",
    "controls": "a\x00b\x08c\x7fd\x85e\rf\tg",
    "separators": "a\u2028b\u2029c",
    "invisible tags": "hi\U000e0069\U000e0067\U000e006e\U000e007f",
    "half a pair": "a\ud83db",
}
DECEIVING = set("\x00\x07\x08\x1b\x7f\x85\x9b\r\t\u2028\u2029\u202e\u2066\u2069\u200f\ud83d")


class Elements(HTMLParser):
    """Counts elements with their attributes, comments and declarations; keeps the text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.seen: Counter[tuple[str, ...]] = Counter()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = [f"{name}={value}" for name, value in attrs if name not in {"value", "max"}]
        self.seen[tag, *values] += 1

    def handle_comment(self, data: str) -> None:
        self.seen["!--", data] += 1

    def handle_decl(self, decl: str) -> None:
        self.seen["!", decl] += 1

    unknown_decl = handle_decl

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(html: str) -> Elements:
    parser = Elements()
    # A dollar stands in an element of its own, so that it begins no formula.
    parser.feed(html.replace("<span>$</span>", "$"))
    parser.close()
    return parser


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


def spelt_out(text: str) -> str:
    """Write a string as an error does, with its hidden characters as escapes."""
    return str(errors.BatchframeError(text))


def has_nothing_hidden(text: str) -> bool:
    tags = {character for character in text if 0xE0000 <= ord(character) < 0xE0080}
    return not tags and not DECEIVING & set(text)


@pytest.mark.parametrize("case", HOSTILE)
def test_x1_in_a_card_it_makes_no_element_and_no_attribute_and_is_readable(case: str) -> None:
    text = HOSTILE[case]
    html = to_html(card(text))
    found = parsed(html)
    assert found.seen == parsed(to_html(card("plain"))).seen
    assert html.count("<span>") == html.count("<span>$</span>")
    # What stood there is shown, with its hidden characters spelled out.
    assert spelt_out(text) in found.text
    assert has_nothing_hidden(html)
    assert has_nothing_hidden(to_text(card(text)))


@pytest.mark.parametrize("case", HOSTILE)
def test_x1_in_an_error_it_is_visible(case: str) -> None:
    text = HOSTILE[case]
    said = [
        errors.JobError.not_found(text),
        errors.JobError.damaged(text, text),
        errors.ServiceError.unusable(got=text, what=text),
        errors.ColumnError.taken([text], text),
        errors.BatchframeError(text),
        errors.SubmissionError(f"{text}\n{text}"),
    ]
    for reason in said:
        assert has_nothing_hidden(str(reason).replace("\n", " ")), repr(reason)
        assert has_nothing_hidden(repr(reason)), repr(reason)


def test_x1_what_shapes_letters_and_emoji_stays_as_it_is() -> None:
    plain = "हिन्दी क्‍ष 👩‍👩‍👧 שלום עולם مرحبا naïve e\u0301 ﬁ 中文"
    assert spelt_out(plain) == plain
    assert spelt_out("a\nb\x07") == "a\nb\\x07"


@pytest.mark.parametrize("case", ["script", "image", "command of JupyterLab", "right to left"])
def test_x1_cells_columns_answers_and_names_are_text_wherever_they_show(case: str) -> None:
    text = HOSTILE[case]
    frame = pd.DataFrame({text: [text], "plain": ["x"]})
    column = f"answer {text}"
    prompt = f"{{{{ {text} }}}}" if case != "right to left" else "{{ plain }}"
    asked = frame.bf.requests(prompt, model="gpt-4.1", name=column)
    name = text if text.isprintable() else "plain"
    with batchframe.local.serve(answer=lambda _: text) as server:
        job = asked.submit(name, client=server.client()).wait()
    for shown in (asked, asked.estimate(), job):
        found = parsed(shown._repr_html_())
        assert not {one[0] for one in found.seen} & {"script", "img", "a", "iframe", "!--"}
        assert not [
            one for one in found.seen if any("on" in part.split("=")[0] for part in one[1:])
        ]
        assert has_nothing_hidden(shown._repr_html_())
        assert has_nothing_hidden(repr(shown).replace("\n", " "))
    # In the frame it is data, to the letter.
    assert frame.bf.join(job)[column].tolist() == [text]
    table = parsed(bf.jobs()._repr_html_())
    assert not {one[0] for one in table.seen} & {"script", "img", "a", "iframe"}


@pytest.mark.parametrize("case", ["script", "escape sequences", "right to left", "end of style"])
def test_x1_what_a_service_says_is_text_wherever_it_shows(
    case: str, proxy: Any, requests: bf.Requests, server: batchframe.local.Server
) -> None:
    text = HOSTILE[case]
    refusal = json.dumps({"error": {"message": text, "code": text}})
    proxy.fail("POST", "/batches", "400 refused", body=refusal)
    with pytest.raises(bf.errors.SubmissionError) as caught:
        requests.submit("kept", client=proxy.client())
    assert spelt_out(text) in str(caught.value)
    assert has_nothing_hidden(str(caught.value).replace("\n", " "))

    server.pause()
    job = requests.submit("kept", client=proxy.client())
    batch = server.client().batches.list().data[0].to_dict()
    odd = {**batch, "status": text, "metadata": {text: text}, "expires_at": 1e300}
    odd["request_counts"] = {"total": 3, "completed": 10**15, "failed": -7}
    proxy.fail("GET", batch["id"], "500", status=200, body=json.dumps(odd), times=50)
    job.refresh()
    assert parsed(job._repr_html_()).seen.keys() <= parsed(to_html(_every_part())).seen.keys()
    for shown in (job._repr_html_(), repr(job).replace("\n", " ")):
        assert has_nothing_hidden(shown)
        assert len(shown) < 20_000
    assert job.status == text.lower()


def _every_part() -> Card:
    return card("plain")


def test_x1_an_id_that_hides_something_is_no_id(
    proxy: Any, requests: bf.Requests, server: batchframe.local.Server
) -> None:
    for text in (HOSTILE["escape sequences"], HOSTILE["right to left"], "x" * 600, ""):
        answer = json.dumps({"id": text, "object": "batch", "status": "validating"})
        proxy.fail("POST", "/batches", "500", status=200, body=answer, after=True)
    job = requests.submit("kept", client=proxy.client()).wait()
    assert job.counts == {"ok": 3}
    assert [batch.id for batch in job.batches] == [server.ledger[0].batch_id]


def test_x1_the_bar_and_the_line_beside_it_show_no_controls(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with live() as screen:
        screen.show(Card("x", progress=(1, 2)), HOSTILE["escape sequences"])
        notify(HOSTILE["escape sequences"])
    told = capsys.readouterr().err
    assert r"\x1b[31mred\x1b]0;title\x07" in told
    assert "\x07" not in told


def test_x1_a_warning_shows_no_controls(
    requests: bf.Requests, server: batchframe.local.Server
) -> None:
    job = requests.submit("kept", client=server.client())
    path = job.folder / "journal.jsonl"
    path.write_bytes(b'{"event": "\x1b"}\n')
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        bf.jobs()
    assert told
    assert has_nothing_hidden(str(told[0].message))
