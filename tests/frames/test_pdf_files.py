"""``files=``: PDFs as URLs, bytes and paths."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter

import batchframe as bf
from batchframe.errors import CellError, CostError, InputError, RequestError, TemplateError
from tests.support.pdfs import pdf

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
LINK = "https://example.org/1.pdf"


def ask(cells: Any, **options: Any) -> bf.Requests:
    frame = cells if isinstance(cells, pd.DataFrame) else pd.DataFrame({"pdf": cells})
    return bf.requests(frame, "?", **{"model": "gpt-4o", "files": "pdf", **options})


def parts(requests: bf.Requests, row: int = 0) -> list[dict[str, Any]]:
    """Return the content parts of a request after the prompt."""
    body = requests.preview(row + 1)[row]["body"]
    content: list[dict[str, Any]] = body.get("messages", body.get("input"))[-1]["content"]
    return content[1:]


def data(content: bytes) -> str:
    return f"data:application/pdf;base64,{base64.b64encode(content).decode()}"


def test_chat_completions_take_files_as_data() -> None:
    from openai.types.chat import ChatCompletionContentPartParam

    (part,) = parts(ask([pdf()]))
    assert part == {
        "type": "file",
        "file": {"filename": "document.pdf", "file_data": data(pdf())},
    }
    TypeAdapter(ChatCompletionContentPartParam).validate_python(part)


def test_responses_take_files_as_data_and_as_urls() -> None:
    from openai.types.responses import ResponseInputFileParam

    requests = ask([pdf(), LINK], endpoint=RESPONSES)
    given, link = parts(requests, 0), parts(requests, 1)
    assert given == [{"type": "input_file", "filename": "document.pdf", "file_data": data(pdf())}]
    assert link == [{"type": "input_file", "file_url": LINK}]
    for part in (*given, *link):
        TypeAdapter(ResponseInputFileParam).validate_python(part)


@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
def test_a_row_has_several_files_after_its_images(endpoint: str) -> None:
    frame = pd.DataFrame({"pdf": [pdf(1)], "annex": [pdf(2)], "photo": ["https://a.org/1.png"]})
    sent = parts(ask(frame, files=["annex", "pdf"], images="photo", endpoint=endpoint))
    assert ["image" in part["type"] for part in sent] == [True, False, False]
    contents = [part.get("file", part)["file_data"] for part in sent[1:]]
    assert contents == [data(pdf(2)), data(pdf(1))]


def test_paths_below_the_root_and_data_urls_are_files(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf(2))
    for cell in ("a.pdf", str(tmp_path / "a.pdf"), Path("a.pdf"), data(pdf(2)), bytearray(pdf(2))):
        (part,) = parts(ask([cell], file_root=tmp_path))
        assert part["file"]["file_data"] == data(pdf(2))


@pytest.mark.parametrize(
    ("cell", "options", "problem"),
    [
        (LINK, {}, 'endpoint="/v1/responses" does'),
        ("http://example.org/1.pdf", {"endpoint": RESPONSES}, "not https:"),
        (b"GIF89a....", {}, "does not hold a PDF"),
        ("a.pdf", {}, "requires file_root="),
        ("../a.pdf", {"file_root": "."}, "'..', which may leave file_root"),
        ("none.pdf", {"file_root": "."}, "paths start at file_root"),
        (7, {}, "unsupported type"),
        (b"%PDF-1.7" + bytes(50_000_000), {}, "OpenAI accepts 50 MB per file"),
    ],
)
def test_a_cell_that_cannot_be_sent_is_an_error(
    cell: Any, options: dict[str, Any], problem: str
) -> None:
    cells = pd.Series([cell], dtype=object)
    with pytest.raises(CellError) as excinfo:
        ask(cells, **options)
    assert "row 0: column 'pdf' " in str(excinfo.value)
    assert problem in str(excinfo.value)


def test_the_files_of_a_row_are_limited_together() -> None:
    large = b"%PDF-1.7" + bytes(25_000_000)
    frame = pd.DataFrame({"pdf": [large], "annex": [large + b"annex"]})
    assert len(parts(ask(frame))) == 1
    with pytest.raises(CellError, match=r"2 PDFs of 50,000,0.. bytes together"):
        ask(frame, files=["pdf", "annex"])


@pytest.mark.parametrize(
    ("options", "kind", "problem"),
    [
        ({"files": None, "file_root": "."}, RequestError, "file_root: requires files="),
        ({"files": []}, RequestError, "files: "),
        ({"file_root": "missing"}, RequestError, "file_root: "),
        ({"files": "none"}, InputError, "none"),
        (
            {"endpoint": "/v1/embeddings", "model": "text-embedding-3-small"},
            RequestError,
            "files: not supported in a batch of",
        ),
        ({"endpoint": "/v1/images/edits", "images": "pdf"}, RequestError, "files: not supported"),
        ({"prompt": [{"role": "system", "content": "x"}]}, TemplateError, "no user message"),
        ({"prompt": lambda _: "x"}, RequestError, "files: not supported with a prompt function"),
    ],
)
def test_options_are_checked(options: dict[str, Any], kind: type[Exception], problem: str) -> None:
    arguments = {"prompt": "?", "model": "gpt-4o", "files": "pdf", **options}
    with pytest.raises(kind, match=problem):
        bf.requests(pd.DataFrame({"pdf": [pdf()]}), **arguments)


def test_missing_files_follow_on_missing() -> None:
    frame = pd.DataFrame({"pdf": [pdf(), None, np.nan]})
    with pytest.raises(CellError, match="column 'pdf' is missing"):
        ask(frame)
    assert len(ask(frame, on_missing="skip")) == 1
    assert parts(ask(frame, on_missing="empty"), 1) == []


def test_duplicates_are_sent_once() -> None:
    assert len(ask([pdf(1), pdf(2), pdf(1)])) == 2


def low(requests: bf.Requests) -> int:
    return int(requests.estimate().input_tokens.low)


@pytest.mark.parametrize("endpoint", [CHAT, RESPONSES])
def test_each_page_raises_the_lower_bound_and_there_is_no_upper_one(endpoint: str) -> None:
    pytest.importorskip("pypdf", reason="the extra 'files' counts the pages")
    lows = [low(ask([pdf(pages)], endpoint=endpoint)) for pages in (1, 2, 12)]
    page = lows[1] - lows[0]
    assert page > 0
    assert lows[2] - lows[1] == 10 * page
    estimate = ask([pdf(12)], endpoint=endpoint).estimate()
    assert estimate.input_tokens.expected is estimate.input_tokens.high is None
    assert estimate.cost.low > 0
    assert estimate.cost.expected is estimate.cost.high is None
    assert not estimate.bounded
    assert any(f"{page} or more for each page" in note for note in estimate.notes)


def test_without_pypdf_each_file_is_one_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypdf", None)
    estimate = ask([pdf(12)]).estimate()
    assert estimate.input_tokens.low == low(ask([pdf(1)]))
    assert any('pip install "batchframe[files]"' in note for note in estimate.notes)


@pytest.mark.parametrize("content", [b"%PDF-1.7", pdf(3)[:200], pdf(3).replace(b"/Pages", b"/P")])
def test_a_damaged_file_is_at_least_one_page(
    content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert low(ask([content])) == low(ask([pdf(1)]))
    assert caplog.records == []  # pypdf warns of each damaged part


def test_a_model_without_recorded_files_has_no_lower_bound_for_them() -> None:
    text = bf.requests(pd.DataFrame({"t": ["?"]}), "{{ t }}", model="my-model", provider="other")
    assert low(ask([pdf(9)], model="my-model", provider="other")) == low(text)


def test_max_cost_is_refused_without_an_upper_bound(home: Path) -> None:
    with pytest.raises(CostError, match=r"the input .* has no upper bound"):
        ask([pdf()], max_completion_tokens=9).submit("invoices", max_cost=100)
    assert not home.exists()


def test_files_count_toward_the_size_of_an_input_file() -> None:
    names = ["a", "b", "c", "d"]
    frame = pd.DataFrame(
        {"pdf": [b"%PDF-1.7" + name.encode() + bytes(40_000_000) for name in names]}
    )
    # 53 MB each as base64; OpenAI accepts 200 MB.
    assert ask(frame.head(3)).estimate().files == 1
    assert ask(frame).estimate().files == 2
