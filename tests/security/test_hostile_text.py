"""X1: hostile text is shown escaped in HTML, errors and terminals."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from html.parser import HTMLParser
from typing import Any, ClassVar

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from batchframe import errors
from batchframe._display import Card, Table, live, notify, to_html, to_text
from batchframe._display.card import Bar, Details, Part, Shares

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
    """Counts elements, comments and declarations; keeps the text."""

    TEXT: ClassVar = {"aria-label", "value", "max", "style"}
    """Attributes whose values are data."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = [f"{name}={value}" for name, value in attrs if name not in self.TEXT]
        self.counts[tag, *values] += 1

    def handle_comment(self, data: str) -> None:
        self.counts["!--", data] += 1

    def handle_decl(self, decl: str) -> None:
        self.counts["!", decl] += 1

    unknown_decl = handle_decl

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(html: str) -> Elements:
    parser = Elements()
    # A dollar is in a separate element, so that it does not begin a formula.
    parser.feed(html.replace("<span>$</span>", "$"))
    parser.close()
    return parser


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
        details=Details(word, ((word, word),), Table(word, (word, word), ((word, word),)), (word,)),
    )


def spelt_out(text: str) -> str:
    """Write a string as an error does, with its hidden characters as escapes."""
    return str(errors.BatchframeError(text))


def has_nothing_hidden(text: str) -> bool:
    tags = {character for character in text if 0xE0000 <= ord(character) < 0xE0080}
    return not tags and not DECEIVING & set(text)


@pytest.mark.parametrize("case", HOSTILE)
def test_x1_hostile_text_in_a_card_is_readable_and_makes_no_element(case: str) -> None:
    text = HOSTILE[case]
    html = to_html(card(text))
    elements = parsed(html)
    assert elements.counts == parsed(to_html(card("plain"))).counts
    assert html.count("<span>") == html.count("<span>$</span>")
    # The text is shown, with hidden characters escaped.
    assert spelt_out(text) in elements.text
    assert has_nothing_hidden(html)
    assert has_nothing_hidden(to_text(card(text)))


@pytest.mark.parametrize("case", HOSTILE)
def test_x1_hostile_text_in_an_error_is_escaped(case: str) -> None:
    text = HOSTILE[case]
    messages = [
        errors.JobError.not_found(text),
        errors.JobError.damaged(text, text),
        errors.ServiceError.unusable(got=text, what=text),
        errors.ColumnError.taken([text], text),
        errors.BatchframeError(text),
        errors.SubmissionError(f"{text}\n{text}"),
    ]
    for reason in messages:
        assert has_nothing_hidden(str(reason).replace("\n", " ")), repr(reason)
        assert has_nothing_hidden(repr(reason)), repr(reason)


def test_x1_marks_that_shape_letters_and_emoji_are_kept() -> None:
    plain = "हिन्दी क्‍ष 👩‍👩‍👧 שלום עולם مرحبا naïve e\u0301 ﬁ 中文"
    assert spelt_out(plain) == plain
    assert spelt_out("a\nb\x07") == "a\nb\\x07"


@pytest.mark.parametrize("case", ["script", "image", "command of JupyterLab", "right to left"])
def test_x1_cells_columns_answers_and_names_are_always_shown_as_text(case: str) -> None:
    text = HOSTILE[case]
    frame = pd.DataFrame({text: [text], "plain": ["x"]})
    column = f"answer {text}"
    prompt = f"{{{{ {text} }}}}" if case != "right to left" else "{{ plain }}"
    requests = frame.bf.requests(prompt, model="gpt-4.1", name=column)
    name = text if text.isprintable() else "plain"
    with batchframe.local.serve(answer=lambda _: text) as server:
        job = requests.submit(name, client=server.client()).wait()
    for display_object in (requests, requests.estimate(), job):
        elements = parsed(display_object._repr_html_())
        assert not {one[0] for one in elements.counts} & {"script", "img", "a", "iframe", "!--"}
        assert not [
            one for one in elements.counts if any("on" in part.split("=")[0] for part in one[1:])
        ]
        assert has_nothing_hidden(display_object._repr_html_())
        assert has_nothing_hidden(repr(display_object).replace("\n", " "))
    # The frame contains it unchanged.
    assert frame.bf.join(job)[column].tolist() == [text]
    table = parsed(bf.jobs()._repr_html_())
    assert not {one[0] for one in table.counts} & {"script", "img", "a", "iframe"}


@pytest.mark.parametrize("case", ["script", "escape sequences", "right to left", "end of style"])
def test_x1_messages_of_a_service_are_always_shown_as_text(
    case: str, proxy: Any, requests: bf.Requests, server: batchframe.local.Server
) -> None:
    text = HOSTILE[case]
    refusal = json.dumps({"error": {"message": text, "code": text}})
    proxy.fail("POST", "/batches", "400 refused", body=refusal)
    with pytest.raises(bf.errors.SubmissionError) as excinfo:
        requests.submit("kept", client=proxy.client())
    assert spelt_out(text) in str(excinfo.value)
    assert has_nothing_hidden(str(excinfo.value).replace("\n", " "))

    server.pause()
    job = requests.submit("kept", client=proxy.client())
    batch = server.client().batches.list().data[0].to_dict()
    hostile = {**batch, "status": text, "metadata": {text: text}, "expires_at": 1e300}
    hostile["request_counts"] = {"total": 3, "completed": 10**15, "failed": -7}
    proxy.fail("GET", batch["id"], "500", status=200, body=json.dumps(hostile), times=50)
    job.refresh()
    assert parsed(job._repr_html_()).counts.keys() <= parsed(to_html(_every_part())).counts.keys()
    for rendered in (job._repr_html_(), repr(job).replace("\n", " ")):
        assert has_nothing_hidden(rendered)
        assert len(rendered) < 20_000
    assert job.status == text.lower()


def _every_part() -> Card:
    return card("plain")


def test_x1_an_id_with_hidden_characters_is_invalid(
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
        screen.show(card("x"), HOSTILE["escape sequences"])
        notify(HOSTILE["escape sequences"])
    err = capsys.readouterr().err
    assert r"\x1b[31mred\x1b]0;title\x07" in err
    assert "\x07" not in err


def test_x1_a_warning_shows_no_controls(
    requests: bf.Requests, server: batchframe.local.Server
) -> None:
    job = requests.submit("kept", client=server.client())
    path = job.folder / "journal.jsonl"
    path.write_bytes(b'{"event": "\x1b"}\n')
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        bf.jobs()
    assert warned
    assert has_nothing_hidden(str(warned[0].message))
