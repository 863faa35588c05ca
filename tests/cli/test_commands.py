"""Effects, output and exit codes of the commands."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import batchframe.local
from batchframe.local import Fault, serve


def text_csv(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


@pytest.mark.slow
def test_an_estimate_is_printed_and_nothing_is_sent_or_written(
    at_server: Any, ask: tuple[str, ...], server: batchframe.local.Server, home: Path
) -> None:
    result = at_server("estimate", *ask)
    assert result.code == 0
    assert "Estimate for 3 rows: 3 requests in 1 file" in result.out
    assert "| Rate: Great, really." in result.out
    assert "batchframe submit" in result.out
    facts = at_server("estimate", *ask, "--json").json
    assert (facts["rows"], facts["requests"]) == (3, 3)
    assert isinstance(facts["cost"]["high"], str)
    assert Decimal(facts["cost"]["high"]) > 0
    assert server.ledger == []
    assert not home.exists()


def test_a_limit_of_the_queue_splits_the_input_files(
    at_server: Any, ask: tuple[str, ...], server: batchframe.local.Server
) -> None:
    ran = at_server("submit", *ask, "--max-enqueued-tokens", "70", "--wait")
    assert ran.code == 0
    assert [batch.requests for batch in server.ledger] == [1, 1, 1]


@pytest.mark.slow
def test_a_cost_above_the_limit_is_refused_with_options_as_the_fix(
    at_server: Any, ask: tuple[str, ...], server: batchframe.local.Server
) -> None:
    result = at_server("submit", *ask, "--max-cost", "0.00001")
    assert result.code == 2
    assert "above $0.00001" in result.err
    no_price = (*ask[:4], "my-own-model", *ask[5:])
    refused = at_server("submit", *no_price, "--max-cost", "1", "--json")
    assert refused.code == 2
    assert refused.json["error"]["kind"] == "CostError"
    assert "--price input=USD" in refused.err
    priced = at_server(
        "submit", *no_price, "--max-cost", "1", "--price", "input=1", "--price", "output=2"
    )
    assert priced.code == 0
    assert len(server.ledger) == 1


def test_one_command_submits_waits_and_writes_and_a_rerun_is_free(
    at_server: Any, ask: tuple[str, ...], server: batchframe.local.Server
) -> None:
    command = ("submit", *ask, "--name", "tone", "--wait", "--to", "out.parquet", "--max-cost", "1")
    result = at_server(*command)
    assert result.code == 0, result.err
    assert "Job tone: completed" in result.out
    assert "batchframe fetch tone" in result.out
    assert "bf." not in result.out
    labeled = pd.read_parquet(at_server.folder / "out.parquet")
    assert labeled["id"].tolist() == ["007", "1e5", "NA"]
    assert labeled["label"].dtype == pd.CategoricalDtype(["positive", "negative", "mixed"])
    assert labeled["bf_status"].tolist() == ["ok"] * 3
    again = at_server.here(*command, "--json")
    assert again.code == 0
    job = again.json
    assert (job["name"], job["done"], job["counts"]) == ("tone", True, {"ok": 3})
    assert isinstance(job["cost"], str)
    assert isinstance(job["estimated_cost"]["high"], str)
    assert len(server.ledger) == 1


def test_a_csv_passes_through_standard_streams_unchanged(
    at_server: Any, ask: tuple[str, ...]
) -> None:
    content = (at_server.folder / "reviews.csv").read_bytes()
    result = at_server("submit", "-", *ask[1:], "--wait", "--to", "-", stdin=content)
    assert result.code == 0, result.err
    (at_server.folder / "out.csv").write_text(result.out, encoding="utf-8", newline="")
    before, after = (text_csv(at_server.folder / name) for name in ("reviews.csv", "out.csv"))
    pd.testing.assert_frame_equal(after[before.columns.tolist()], before)
    assert after["bf_status"].tolist() == ["ok"] * 3
    assert "completed" in result.err
    both = at_server.here("submit", "-", *ask[1:], "--wait", "--to", "-", "--json", stdin=content)
    assert (both.code, both.json["error"]["kind"]) == (2, "CommandError")


@pytest.mark.slow
def test_failed_rows_exit_with_1_and_are_sent_again(
    shell: Any, ask: tuple[str, ...], failing: Callable[[Any], Any]
) -> None:
    broken = [True]
    with serve(lambda body: failing(body) if broken else {"label": "mixed"}) as server:
        shell.at(server.url)
        first = shell("submit", *ask, "--name", "tone", "--wait")
        assert first.code == 1, first.err
        assert "batchframe unanswered tone --max-cost 0." in first.out
        assert shell("show", "tone", "--json").json["counts"] == {"ok": 2, "failed": 1}
        assert shell("show", "tone").code == 1
        assert shell("wait", "tone").code == 1
        fetched = shell("fetch", "tone", "--input", "reviews.csv", "--to", "one.csv")
        assert fetched.code == 1
        assert "2 ok, 1 failed" in fetched.out
        broken.clear()
        again = shell("unanswered", "tone", "--max-cost", "1", "--wait")
        assert again.code == 0, again.err
        both = shell("fetch", "tone", "tone, again", "--input", "reviews.csv", "--to", "-")
        assert both.code == 0
        assert both.out.splitlines()[-1].endswith(",positive,ok,")
        assert both.out.count(",mixed,ok,") == 1
        assert shell("fetch", "tone", "tone, again", "--to", "-").code == 2
        assert shell("unanswered", "tone, again", "--json").json == {"job": None}
        nothing = shell("unanswered", "tone, again")
        assert nothing.out == "Job 'tone, again' has no requests to submit again.\n"
        assert "job.unanswered" not in nothing.err
        assert len(server.ledger) == 2


@pytest.mark.slow
def test_every_command_on_a_running_job_exits_with_3(shell: Any, ask: tuple[str, ...]) -> None:
    with serve(seconds=3600) as server:
        shell.at(server.url)
        submitted = shell("submit", *ask, "--name", "tone")
        assert submitted.code == 0
        assert "batchframe wait tone" in submitted.out
        assert shell("show", "tone").code == 3
        assert shell("show", "tone", "--offline", "--json").json["done"] is False
        waited = shell("wait", "tone", "--timeout", "0", "--json")
        assert waited.code == 3
        assert waited.json["counts"] == {"pending": 3}
        assert "batchframe wait tone" in waited.err
        fetched = shell("fetch", "tone", "--to", "out.csv")
        assert fetched.code == 3
        assert "--partial" in fetched.err
        assert not (shell.folder / "out.csv").exists()
        part = shell("fetch", "tone", "--to", "out.csv", "--partial")
        assert part.code == 3
        assert text_csv(shell.folder / "out.csv")["bf_status"].tolist() == ["pending"] * 3
        assert shell("submit", *ask, "--wait", "--timeout", "0", "--to", "x.csv").code == 3
        assert shell("unanswered", "tone").code == 3
        assert shell("forget", "tone", "--yes").code == 2
        cancelled = shell("cancel", "tone", "--json")
        assert (cancelled.code, cancelled.json["done"]) == (0, False)
        assert shell("wait", "tone").code == 1


@pytest.mark.slow
def test_an_uncertain_create_exits_with_4_and_resume_continues(
    shell: Any, ask: tuple[str, ...]
) -> None:
    fault = Fault("POST /v1/batches", "reset", after=True)
    late = Fault("GET /v1/batches", "lag", seconds=3600)
    with serve(faults=[fault, late]) as server:
        shell.at(server.url)
        result = shell("submit", *ask, "--name", "tone", "--json")
        assert result.code == 4
        assert result.json["error"]["kind"] == "SubmissionUncertain"
        assert "\n    batchframe resume tone\n" in result.err
        card = shell("show", "tone")
        assert card.code == 4
        assert "batchframe resume tone" in card.out
        assert shell("wait", "tone").code == 4
        assert shell("fetch", "tone", "--to", "-").code == 4
        server.faults.clear()
        assert shell("resume", "tone").code == 0
        assert shell("wait", "tone").code == 0
        assert len(server.ledger) == 1


@pytest.mark.slow
def test_jobs_are_listed_recovered_and_forgotten(
    at_server: Any, ask: tuple[str, ...], home: Path
) -> None:
    assert "No jobs on this machine" in at_server("jobs").out
    assert at_server("submit", *ask, "--name", "tone", "--wait").code == 0
    assert at_server("submit", *ask, "--rerun", "nameless", "--wait").code == 0
    assert "tone" in at_server("jobs").out
    nameless, job = at_server("jobs", "--json").json["jobs"]
    assert nameless["name"] is None
    assert (job["name"], job["status"], job["rows"]) == ("tone", "completed", 3)
    shutil.rmtree(home)
    restored = at_server("recover", "--json").json["jobs"]
    assert {job["id"], nameless["id"]} == {one["id"] for one in restored}
    assert at_server("wait", "tone").code == 0
    unsure = at_server("forget", "tone")
    assert unsure.code == 2
    assert "--yes" in unsure.err
    gone = at_server("forget", "tone", "--remote", "--yes", "--json")
    assert gone.code == 0
    assert len(gone.json["removed"]) == 3
    assert at_server("show", "tone").code == 2
    assert "`batchframe jobs`" in at_server("show", "tone").err


@pytest.mark.slow
def test_formulas_are_escaped_on_request(
    shell: Any,
) -> None:
    with serve(lambda _body: "=1+1") as server:
        shell.at(server.url)
        arguments = (
            "submit",
            "reviews.csv",
            "--prompt",
            "{{ text }}",
            "--model",
            "gpt-4.1",
            "--wait",
        )
        assert ",=1+1,ok" in shell(*arguments, "--to", "-").out
        assert ",'=1+1,ok" in shell(*arguments, "--to", "-", "--escape-formulas").out


@pytest.mark.slow
def test_a_missing_cell_names_its_row_and_the_option(at_server: Any) -> None:
    arguments = ("estimate", "reviews.csv", "--prompt", "{{ note }}", "--model", "gpt-4.1")
    result = at_server(*arguments)
    assert result.code == 2
    assert "row 0: column 'note' is missing" in result.err
    assert "--on-missing skip" in result.err
    assert at_server(*arguments, "--on-missing", "skip", "--json").json["skipped"] == 1


@pytest.mark.slow
def test_a_schema_messages_and_parameters_come_from_files_and_options(
    at_server: Any, server: batchframe.local.Server
) -> None:
    schema = {
        "type": "object",
        "properties": {"stars": {"type": "integer"}, "why": {"type": "string"}},
        "required": ["stars", "why"],
        "additionalProperties": False,
    }
    (at_server.folder / "schema.json").write_text(json.dumps(schema), encoding="utf-8")
    messages = [{"role": "user", "content": "Stars for {{ text }}?"}]
    (at_server.folder / "prompt.json").write_text(json.dumps(messages), encoding="utf-8")
    result = at_server(
        "submit", "reviews.csv", "--prompt-file", "prompt.json", "--output", "schema.json",
        "--model", "gpt-4.1", "--param", "temperature=0", "--param", "user=somebody",
        "--wait", "--to", "out.csv",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert {"stars", "why"} <= set(text_csv(at_server.folder / "out.csv").columns)
    [batch] = server.client().batches.list()
    lines = server.client().files.content(batch.input_file_id).text.splitlines()
    body = json.loads(lines[0])["body"]
    assert (body["temperature"], body["user"]) == (0, "somebody")


@pytest.mark.slow
def test_the_last_line_break_of_a_prompt_file_is_ignored(at_server: Any) -> None:
    (at_server.folder / "prompt.txt").write_text("Rate: {{ text }}\n", encoding="utf-8")
    options = ("--model", "gpt-4.1", "--wait", "--json")
    one = at_server("submit", "reviews.csv", "--prompt", "Rate: {{ text }}", *options)
    two = at_server("submit", "reviews.csv", "--prompt-file", "prompt.txt", *options)
    assert one.json["id"] == two.json["id"]


@pytest.mark.slow
def test_a_warning_is_one_sentence_without_a_line_of_code(
    at_server: Any, ask: tuple[str, ...]
) -> None:
    assert at_server("submit", *ask, "--name", "tone", "--wait").code == 0
    result = at_server("submit", *ask, "--name", "tone", "--system", "Be brief.")
    assert result.code == 0
    [line] = [line for line in result.err.splitlines() if "Warning" in line]
    assert line.startswith("Warning: A job named 'tone' exists")
    assert ".py" not in result.err


@pytest.mark.slow
def test_a_key_with_a_line_break_is_not_printed(at_server: Any, ask: tuple[str, ...]) -> None:
    at_server.env["OPENAI_API_KEY"] += "\n"
    assert at_server("submit", *ask).code == 2
    assert at_server("doctor").code == 2


@pytest.mark.slow
def test_an_unwritable_folder_is_reported_without_a_traceback(
    at_server: Any, ask: tuple[str, ...]
) -> None:
    (at_server.folder / "file").write_text("no folder", encoding="utf-8")
    at_server.env["BATCHFRAME_HOME"] = str(at_server.folder / "file")
    result = at_server("submit", *ask)
    assert result.code == 2
    assert "Not a directory" in result.err


@pytest.mark.slow
def test_a_card_in_a_shell_names_the_commands_that_send_queued_files(
    shell: Any, ask: tuple[str, ...]
) -> None:
    full = {"message": "Enqueued token limit reached.", "code": "token_limit_exceeded"}
    with serve() as server:
        shell.at(server.url)
        server.faults.add(Fault("POST /v1/batches", 400, body={"error": full}, times=99))
        result = shell("submit", *ask, "--name", "tone").out
        assert "1 input file waiting for the service's queue" in result
        assert "during `batchframe wait JOB` or `batchframe show JOB`." in result
        assert "job." not in result.replace("'", "")


def test_costs_of_models_are_compared_and_nothing_is_sent(
    at_server: Any, ask: tuple[str, ...], server: batchframe.local.Server, home: Path
) -> None:
    models = ("--models", "gpt-4.1, gpt-6-luna,my-own-model", "--tier", "batch")
    rows, prompt = ask[0], ask[1:3]
    result = at_server("compare", rows, *prompt, *models, "--param", "max_completion_tokens=5")
    assert result.code == 0
    assert re.search(r"gpt-6-luna batch +\$0\.0", result.out)
    assert "my-own-model: Unknown batch price." in result.out
    costs = at_server("compare", rows, *prompt, *models, "--json").json["costs"]
    assert [(one["model"], one["tier"]) for one in costs] == [
        ("gpt-4.1", "batch"), ("gpt-6-luna", "batch"), ("my-own-model", "batch"),
    ]  # fmt: skip
    assert costs[2]["low"] is None
    assert server.ledger == []
    assert not home.exists()


@pytest.mark.slow
def test_a_pilot_sends_a_few_rows_and_writes_them(
    at_server: Any, ask: tuple[str, ...], tmp_path: Path
) -> None:
    sample = tmp_path / "sample.csv"
    ran = at_server("pilot", *ask, "--n", "2", "--to", str(sample))
    assert ran.code == 0
    assert "Pilot of 2 rows" in ran.out
    assert "batchframe submit" in ran.out
    assert text_csv(sample)["bf_status"].tolist() == ["ok", "ok"]
    facts = at_server("pilot", *ask, "--n", "2", "--json").json
    assert facts["counts"] == {"ok": 2}
    assert facts["rest"]["requests"] == 1
    assert at_server("pilot", *ask, "--n", "0").code == 2


def test_a_pilot_without_a_bound_or_a_likely_end_is_refused_with_each_way_out(
    at_server: Any,
) -> None:
    text = ("reviews.csv", "--prompt", "{{ text }}", "--model", "gpt-4.1")
    refused = at_server("pilot", *text, "--max-cost", "1")
    assert refused.code == 2
    assert "--param max_completion_tokens=200" in refused.err
    assert "omit --max-cost" in refused.err
    unknown = at_server("pilot", *text, "--max-cost", "1", "--on-unbounded", "warn")
    assert unknown.code == 2
    assert "fewer than 10 earlier answers" in unknown.err
    assert at_server("pilot", *text, "--n", "2").code == 0


def test_jobs_lists_batches_of_the_server_too(
    at_server: Any, ask: tuple[str, ...], home: Path
) -> None:
    assert at_server("submit", *ask, "--name", "mine", "--wait").code == 0
    (job,) = at_server("jobs", "--remote", "--json").json["jobs"]
    assert (job["name"], job["where"]) == ("mine", "here")
    shutil.rmtree(home)
    listed = at_server("jobs", "--remote")
    assert listed.code == 0
    assert "mine" in listed.out
    assert "on the server only: batchframe recover restores it" in listed.out
    assert at_server("jobs", "--remote", "--json").json["jobs"][0]["name"] == "mine"
    assert "mine" not in at_server("jobs").out
