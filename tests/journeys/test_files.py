"""Files over a real socket: submit, join, report, and a file that changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from batchframe.errors import CellError
from tests.support.pdfs import pdf

pytestmark = pytest.mark.usefixtures("home")
ENDPOINTS = ["/v1/chat/completions", "/v1/responses"]


def ask(frame: pd.DataFrame, root: Path, **options: Any) -> bf.Requests:
    return bf.requests(
        frame, "What is the total?", model="gpt-4o", files="pdf", file_root=root, **options
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    invoices = tmp_path / "invoices"
    invoices.mkdir()
    for number in range(1, 5):
        (invoices / f"{number}.pdf").write_bytes(pdf(number))
    return invoices


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_answers_join_by_the_content_of_the_files(folder: Path, endpoint: str) -> None:
    frame = pd.DataFrame({"pdf": [f"{number}.pdf" for number in range(1, 5)]})

    def length(body: dict[str, Any]) -> str:
        part = (body.get("messages") or body["input"])[0]["content"][1]
        return str(len(part.get("file", part)["file_data"]))

    with batchframe.local.serve(length) as server:
        client = server.client()
        requests = ask(frame, folder, endpoint=endpoint)
        estimate = requests.estimate()
        job = requests.submit("invoices", client=client).wait()
        again = ask(frame, folder, endpoint=endpoint).submit("invoices", client=client)
        assert again.id == job.id
        assert len(list(client.batches.list())) == 1
    shuffled = frame.iloc[[2, 0, 3, 1]]
    joined = shuffled.bf.join(job)
    sizes = [len(pdf(number)) for number in (3, 1, 4, 2)]
    assert [int(text) for text in joined["response"]] == [
        len("data:application/pdf;base64,") + -(-size // 3) * 4 for size in sizes
    ]
    assert joined["bf_status"].tolist() == ["ok"] * 4
    # The local server bills what was recorded for a page of this model.
    assert job.usage.input_tokens >= estimate.input_tokens.low


def test_a_file_that_changes_before_it_is_submitted_is_an_error(folder: Path) -> None:
    requests = ask(pd.DataFrame({"pdf": ["1.pdf", "2.pdf"]}), folder)
    (folder / "2.pdf").write_bytes(pdf(7))
    with batchframe.local.serve() as server:
        with pytest.raises(CellError, match="The image or file at row 1 changed"):
            requests.submit("invoices", client=server.client())
        assert list(server.client().batches.list()) == []


def test_a_parquet_file_may_hold_the_files(tmp_path: Path) -> None:
    source = tmp_path / "invoices.parquet"
    pd.DataFrame({"pdf": [pdf(1), pdf(2)], "number": [1, 2]}).to_parquet(source)
    requests = bf.requests(source, "Invoice {{ number }}?", model="gpt-4o", files="pdf")
    with batchframe.local.serve(lambda _: "paid") as server:
        job = requests.submit("invoices", client=server.client()).wait()
        answers = pd.read_parquet(job.to_parquet(tmp_path / "labeled.parquet"))
    assert answers["response"].tolist() == ["paid", "paid"]


def test_bills_of_earlier_files_correct_the_next_estimate() -> None:
    def ask_for(marks: range) -> bf.Requests:
        files = [pdf(2, mark=str(mark)) for mark in marks]
        frame = pd.DataFrame({"pdf": files})
        return bf.requests(
            frame, "?", model="gpt-4o", files="pdf", output=["a", "b"], max_completion_tokens=9
        )

    with batchframe.local.serve() as server:
        client = server.client()
        assert ask_for(range(30)).estimate(client=client).cost.expected is None
        job = ask_for(range(30)).submit("first", client=client).wait()
        estimate = ask_for(range(30, 60)).estimate(client=client)
    assert estimate.cost.high is None
    assert estimate.input_tokens.expected == job.usage.input_tokens
