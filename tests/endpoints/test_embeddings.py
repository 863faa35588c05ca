"""``/v1/embeddings``: one string in, one vector of 32-bit floats out."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from openai.types import CreateEmbeddingResponse

import batchframe as bf
import batchframe.local
from batchframe.errors import OutputSpecError, RequestError, TemplateError
from batchframe.local import AnswerError
from tests.support.result_files import read_table

PATH = "/v1/embeddings"
MODEL = "text-embedding-3-small"
FRAME = pd.DataFrame({"text": ["a", "b", "a", None]}, index=[9, 9, 3, 1])
VECTOR = np.array([0.1, -2.5, 3e-30, 7.0], np.float32)


def encoded(vector: Any) -> str:
    return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode()


def embedded(*vectors: Any, **options: Any) -> dict[str, Any]:
    """Return a CreateEmbeddingResponse (OpenAI API reference, openai 3.54.0)."""
    data = [
        {"object": "embedding", "index": index, "embedding": vector}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": 8, "total_tokens": 8}
    return {"object": "list", "data": data, "model": MODEL, "usage": usage, **options}


def ask(frame: pd.DataFrame = FRAME, **options: Any) -> bf.Requests:
    options = {"prompt": "{{ text }}", "model": MODEL, "endpoint": PATH, **options}
    return frame.bf.requests(**{"on_missing": "skip", **options})


def test_the_shape_is_that_of_the_openai_package() -> None:
    assert CreateEmbeddingResponse.model_validate(embedded([0.5, 1.0])).data[0].embedding


def test_a_request_has_one_text_and_asks_for_base64() -> None:
    assert ask(dimensions=256).preview(1)[0]["body"] == {
        "model": MODEL,
        "input": "a",
        "encoding_format": "base64",
        "dimensions": 256,
    }
    assert ask(encoding_format="float").preview(1)[0]["body"]["encoding_format"] == "float"
    called = ask(FRAME.iloc[:2], prompt=lambda row: row["text"])
    assert called.preview(1) == ask(FRAME.iloc[:2]).preview(1)


@pytest.mark.parametrize(
    ("options", "error", "fragment"),
    [
        ({"output": ["a"]}, RequestError, "output: not supported"),
        ({"system": "Be brief."}, RequestError, "system: not supported"),
        (
            {"prompt": [{"role": "user", "content": "{{ text }}"}]},
            TemplateError,
            "takes one string",
        ),
        (
            {"prompt": lambda _: [{"role": "user", "content": "x"}]},
            TemplateError,
            "takes one string",
        ),
        ({"prompt": lambda _: 7}, TemplateError, "(int)"),
        ({"dimensions": "many"}, RequestError, "an int such as 512"),
        ({"dimensions": 0}, RequestError, "an int such as 512"),
        ({"name": ""}, OutputSpecError, "not a column name"),
        ({"input": "x"}, RequestError, "input: set from the prompt"),
    ],
)
def test_unsupported_arguments_are_refused(
    options: Any, error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error) as excinfo:
        ask(**options)
    assert fragment in str(excinfo.value)


Read = Callable[[str, Any], dict[str, Any]]


@pytest.mark.parametrize("body", [encoded(VECTOR), [float(number) for number in VECTOR]])
def test_base64_and_decimal_floats_are_equal(body: Any, read: Read) -> None:
    answer = read(PATH, embedded(body))
    assert (answer["status"], answer["input_tokens"]) == ("ok", 8)
    assert np.frombuffer(answer["vector"], "<f4").tolist() == VECTOR.tolist()


@given(vector=arrays.arrays(np.float32, st.integers(1, 40), elements={"allow_nan": False}))
def test_any_float_round_trips_exactly(read: Read, vector: Any) -> None:
    answer = read(PATH, {"data": [{"embedding": encoded(vector)}]})
    assert answer["vector"] == vector.astype("<f4").tobytes()


@pytest.mark.parametrize(
    ("body", "fragment"),
    [
        (embedded(), "0 vectors for one input"),
        (embedded([1.0], [2.0]), "2 vectors for one input"),
        (embedded([]), "not consist of 32-bit floats"),
        (embedded("AAAA"), "not consist of 32-bit floats"),
        (embedded("no base64!"), "not an embedding"),
        (embedded(["1"]), "not an embedding"),
        (embedded(None), "not an embedding"),
        ({"object": "list"}, "not an embedding"),
        (None, "not an embedding"),
    ],
)
def test_a_malformed_vector_is_invalid(body: Any, fragment: str, read: Read) -> None:
    answer = read(PATH, body)
    assert (answer["status"], answer["vector"]) == ("invalid", None)
    assert fragment in answer["error"]


@pytest.fixture
def numbered() -> Any:
    """Answer "a" with [1, 0], "b" with [0, 1]."""
    return lambda body: np.array([body["input"] == "a", body["input"] == "b"], np.float32)


def test_each_row_gets_its_own_array_of_float32(numbered: Any) -> None:
    with batchframe.local.serve(answer=numbered) as server:
        job = ask().submit(client=server.client()).wait()
    joined = FRAME.sample(frac=1, random_state=3).bf.join(job)
    for row in joined.itertuples():
        if row.bf_status == "ok":
            assert row.embedding.dtype == np.float32
            assert row.embedding.tolist() == [row.text == "a", row.text == "b"]
        else:
            assert (row.bf_status, row.embedding) == ("skipped", None)
    assert np.stack(joined["embedding"].dropna().to_list()).shape == (3, 2)
    # Duplicates share a request but not an array; changing an array does not change the job.
    joined.loc[3, "embedding"][0] = 99
    assert FRAME.bf.join(job)["embedding"].iloc[0].tolist() == [1, 0]
    assert job.results()["embedding"].iloc[2].tolist() == [1, 0]


def test_parquet_of_the_joined_frame_is_read_by_plain_pandas(numbered: Any, tmp_path: Path) -> None:
    with batchframe.local.serve(answer=numbered) as server:
        job = ask().submit(client=server.client()).wait()
    joined = FRAME.bf.join(job)
    joined.to_parquet(tmp_path / "joined.parquet")
    restored = pd.read_parquet(tmp_path / "joined.parquet")
    assert pq.read_schema(tmp_path / "joined.parquet").field("embedding").type.value_type == "float"
    assert restored["embedding"].iloc[-1] is None
    for old, new in zip(joined["embedding"][:-1], restored["embedding"][:-1], strict=True):
        assert new.dtype == np.float32
        np.testing.assert_array_equal(old, new)
    pd.testing.assert_frame_equal(
        restored.drop(columns="embedding"), joined.drop(columns="embedding")
    )


def test_a_vector_of_another_length_is_invalid() -> None:
    frame = pd.DataFrame({"text": ["a", "bb", "c"]})
    with batchframe.local.serve(answer=lambda body: [1.0] * len(body["input"])) as server:
        job = ask(frame).submit(client=server.client()).wait()
        other = ask(frame, dimensions=2).submit(client=server.client()).wait()
    assert job.results()["bf_status"].tolist() == ["ok", "invalid", "ok"]
    assert "2 dimensions instead of 1" in job.results()["bf_error"][1]
    assert other.results()["bf_status"].tolist() == ["invalid", "ok", "invalid"]


def test_two_different_vectors_for_one_request_are_invalid(tmp_path: Path) -> None:
    lines = [
        {"custom_id": "x", "response": {"status_code": 200, "body": embedded(vector)}}
        for vector in ([1.0], [2.0])
    ]
    file = tmp_path / "o.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    table = read_table([file], ["x"], PATH)
    assert table["status"].to_pylist() == ["invalid"]


def test_several_jobs_join_into_one_column(numbered: Any) -> None:
    def fails_on_b(body: dict[str, Any]) -> Any:
        return AnswerError(500, "no") if body["input"] == "b" else numbered(body)

    with batchframe.local.serve(answer=fails_on_b) as server:
        job = ask().submit(client=server.client()).wait()
    with batchframe.local.serve(answer=numbered) as server:
        again = job.unanswered().submit(client=server.client()).wait()
    assert job.counts == {"ok": 2, "failed": 1, "skipped": 1}
    vectors = FRAME.bf.join(job, again)["embedding"]
    assert [None if one is None else one.tolist() for one in vectors] == [
        [1, 0],
        [0, 1],
        [1, 0],
        None,
    ]


def test_answers_of_an_earlier_job_are_reused(numbered: Any) -> None:
    with batchframe.local.serve(answer=numbered) as server:
        ask(FRAME.iloc[:1]).submit(client=server.client()).wait()
        job = ask().submit(client=server.client()).wait()
        again = ask(name="vector").submit(rerun="again", client=server.client()).wait()
    assert [batch.requests for batch in server.ledger] == [1, 1, 2]
    assert [one.tolist() for one in job.results()["embedding"][:3]] == [[1, 0], [0, 1], [1, 0]]
    assert again.results().columns.tolist() == ["vector", "bf_status", "bf_error"]


def test_a_job_without_vectors_still_has_the_column() -> None:
    with batchframe.local.serve(answer=lambda _: AnswerError(400, "no")) as server:
        requests = ask()
        job = requests.submit(client=server.client())
        assert job.results()["embedding"].tolist() == [None] * 4
        job.wait()
    assert job.results()["embedding"].tolist() == [None] * 4
    assert FRAME.iloc[:0].bf.join(job)["embedding"].tolist() == []


def test_the_estimate_is_of_input_tokens_alone() -> None:
    estimate = ask().estimate()
    assert (estimate.input_tokens.high, estimate.output_tokens.high) == (2, 0)
    assert estimate.cost is not None
    assert estimate.cost.high == estimate.cost.low == Decimal("0.00000002")
    assert estimate.exact


def test_embedding_models_compare_by_their_input_alone() -> None:
    costs = ask().compare([MODEL, "text-embedding-3-large"])
    assert costs.loc[(MODEL, "batch"), "high"] == Decimal("0.00000002")
    assert costs.loc[("text-embedding-3-large", "batch"), "high"] == Decimal("0.00000013")
    chat = FRAME.bf.requests("{{ text }}", model="gpt-4.1", on_missing="skip").compare([MODEL])
    assert chat["high"].isna().all()


def test_the_genuine_client_reads_what_the_local_server_answers(
    server: batchframe.local.Server,
) -> None:
    client = server.client()
    response = client.embeddings.create(**ask(dimensions=16).preview(1)[0]["body"])
    digits = client.embeddings.create(
        model=MODEL, input="a", dimensions=16, encoding_format="float"
    )
    CreateEmbeddingResponse.model_validate(digits.model_dump())
    vector = np.frombuffer(base64.b64decode(str(response.data[0].embedding)), "<f4")
    np.testing.assert_array_equal(vector, np.array(digits.data[0].embedding, np.float32))
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)
    job = ask(dimensions=16).submit(client=client).wait()
    np.testing.assert_array_equal(job.results()["embedding"][0], vector)


def test_a_batch_has_at_most_50_000_texts_even_if_more_requests_are_allowed(
    tmp_path: Path,
) -> None:
    frame = pd.DataFrame({"text": np.arange(100_001).astype(str)})
    other = bf.provider("openai", max_requests=100_000)
    paths = ask(frame).to_jsonl(tmp_path, provider=other)
    assert [path.read_bytes().count(b"\n") for path in paths] == [50_000, 50_000, 1]


def test_no_request_exceeds_the_token_limit() -> None:
    # A request has one input of at most 8,192 tokens; a longer one is reported by row.
    long = pd.DataFrame({"text": ["short", "a b " * 5_000]})
    estimate = ask(long).estimate()
    assert any("row 1" in note and "8,192" in note for note in estimate.notes)
    with pytest.raises(RequestError, match="in row 1"):
        ask(long).submit()
