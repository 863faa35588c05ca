"""``/v1/moderations``: one string in, flags and scores out, for free."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from openai.types import ModerationCreateResponse

import batchframe as bf
import batchframe.local
from batchframe.errors import ColumnError, RequestError, TemplateError

PATH = "/v1/moderations"
MODEL = "omni-moderation-latest"
FRAME = pd.DataFrame({"text": ["kind", "cruel", None], "hate": [0, 1, 0]})

# Of the OpenAI moderation guide (2026-11): the result for an image of a war scene, text alike.
SCORES = {
    "harassment": 0.0011643905680426018,
    "harassment/threatening": 0.0022121340080906377,
    "hate": 3.1999824407395835e-7,
    "hate/threatening": 2.4923252458203563e-7,
    "illicit": 0.0005227032493135171,
    "illicit/violent": 3.682979260160596e-7,
    "self-harm": 0.0011175734280627694,
    "self-harm/instructions": 7.368592981140821e-8,
    "self-harm/intent": 0.0006264858507989037,
    "sexual": 2.34135824776394e-7,
    "sexual/minors": 1.6346470245419304e-7,
    "violence": 0.8599265510337075,
    "violence/graphic": 0.37701736389561064,
}
RESULT = {
    "flagged": True,
    "categories": {name: name == "violence" for name in SCORES},
    "category_scores": SCORES,
    "category_applied_input_types": {name: ["text"] for name in SCORES},
}


def moderation(*results: Any, **options: Any) -> dict[str, Any]:
    return {"id": "modr-970d409ef3bef3b70c73d8232df86e7d", "model": MODEL, "results": [*results],
            **options}  # fmt: skip


def ask(frame: pd.DataFrame = FRAME, **options: Any) -> bf.Requests:
    options = {"prompt": "{{ text }}", "model": MODEL, "endpoint": PATH, **options}
    return frame.bf.requests(**{"on_missing": "skip", **options})


def test_the_shape_is_that_of_the_openai_package() -> None:
    assert ModerationCreateResponse.model_validate(moderation(RESULT)).results[0].flagged


def test_a_request_is_one_text() -> None:
    assert ask().preview(1)[0]["body"] == {"model": MODEL, "input": "kind"}


@pytest.mark.parametrize(
    ("options", "error", "fragment"),
    [
        ({"output": bool}, RequestError, "output: not supported"),
        ({"name": "verdict"}, RequestError, "prefix='verdict_'"),
        ({"system": "Be strict."}, RequestError, "system: not supported"),
        (
            {"prompt": [{"role": "user", "content": "{{ text }}"}]},
            TemplateError,
            "takes one string",
        ),
    ],
)
def test_unsupported_arguments_are_refused(
    options: Any, error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error) as excinfo:
        ask(**options)
    assert fragment in str(excinfo.value)


def test_a_taken_column_name_is_reported_before_anything_is_sent() -> None:
    with pytest.raises(ColumnError, match="flagged"):
        ask(FRAME.assign(flagged=True))


def test_a_result_becomes_an_overall_flag_and_a_flag_and_score_per_category(
    joined: Callable[..., pd.DataFrame],
) -> None:
    row = joined(moderation(RESULT), endpoint=PATH, model=MODEL)
    new = [name for name in row.columns if name != "text" and not name.startswith("bf_")]
    flags = [f"categories.{name}" for name in SCORES]
    scores = [f"category_scores.{name}" for name in SCORES]
    assert new == ["flagged", *flags, *scores]
    assert {str(row[name].dtype) for name in ["flagged", *flags]} == {"boolean"}
    assert {str(row[name].dtype) for name in scores} == {"Float64"}
    assert row.loc[0, "flagged"]
    assert row.loc[0, flags].tolist() == [name == "violence" for name in SCORES]
    assert row.loc[0, scores].tolist() == list(SCORES.values())
    assert "category_applied_input_types" in row.loc[0, "bf_raw"]


def test_added_or_removed_categories_are_harmless(joined: Callable[..., pd.DataFrame]) -> None:
    # The older text models have no "illicit"; a newer one may have unknown categories.
    body = {
        "flagged": False,
        "categories": {"hate": False, "new": True, "illicit": None},
        "category_scores": {"hate": 0.25, "new": 0.9},
    }
    row = joined(moderation(body), endpoint=PATH, model=MODEL).loc[0]
    assert row["bf_status"] == "ok"
    assert (row["categories.hate"], row["category_scores.hate"]) == (False, 0.25)
    assert row[["categories.illicit", "category_scores.illicit"]].isna().all()
    assert '"new"' in row["bf_raw"]


@pytest.mark.parametrize(
    ("body", "fragment"),
    [
        (moderation(), "0 results for one input"),
        (moderation(RESULT, RESULT), "2 results for one input"),
        (moderation({**RESULT, "flagged": "yes"}), "not a moderation"),
        (moderation({**RESULT, "categories": None}), "not a moderation"),
        (moderation({"flagged": True}), "not a moderation"),
        (moderation({**RESULT, "category_scores": {"hate": "high"}}), "not a moderation"),
        ({"id": "modr-1"}, "not a moderation"),
        (None, "not a moderation"),
    ],
)
def test_a_malformed_result_is_invalid(
    body: Any, fragment: str, read: Callable[[str, Any], dict[str, Any]]
) -> None:
    answer = read(PATH, body)
    assert (answer["status"], answer["text"]) == ("invalid", None)
    assert fragment in answer["error"]


def test_it_costs_nothing_and_the_estimate_says_so() -> None:
    estimate = ask().estimate()
    assert estimate.cost is not None
    assert (estimate.cost.low, estimate.cost.high) == (Decimal(0), Decimal(0))
    assert any("the endpoint is free" in note for note in estimate.notes)


def test_a_batch_of_it_costs_nothing_and_joins() -> None:
    with batchframe.local.serve(answer=lambda body: body["input"] == "cruel") as server:
        job = ask().submit("verdicts", max_cost=0, client=server.client()).wait()
    joined = FRAME.iloc[::-1].bf.join("verdicts")
    assert joined["flagged"].tolist()[1:] == [True, False]
    assert joined["bf_status"].tolist() == ["skipped", "ok", "ok"]
    assert joined.iloc[0][["flagged", "categories.hate"]].isna().all()
    assert job.cost == 0


def test_parquet_of_the_joined_frame_is_read_by_plain_pandas(
    server: batchframe.local.Server, tmp_path: Path
) -> None:
    joined = FRAME.bf.join(ask().submit(client=server.client()).wait())
    joined.to_parquet(tmp_path / "joined.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "joined.parquet"), joined)


def test_the_genuine_client_reads_what_the_local_server_answers(
    server: batchframe.local.Server,
) -> None:
    client = server.client()
    verdict = client.moderations.create(**ask().preview(1)[0]["body"])
    ModerationCreateResponse.model_validate(verdict.model_dump(by_alias=True))
    job = ask().submit(client=client).wait()
    row = job.results().loc[0]
    assert row["flagged"] == verdict.results[0].flagged
    assert row["category_scores.violence"] == verdict.results[0].category_scores.violence
