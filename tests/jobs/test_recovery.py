"""Recovery from an id, a name, a copied folder, or the server alone."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from batchframe.local import Fault
from tests.support.profiles import change_local

TEXTS = [f"text {i}" for i in range(6)]


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame({"text": TEXTS}, index=range(10, 16))


@pytest.fixture
def echo() -> Iterator[batchframe.local.Server]:
    def answer(body: dict[str, Any]) -> Any:
        text = body["messages"][-1]["content"]
        return {"label": "even" if int(text[-1]) % 2 == 0 else "odd"}

    with batchframe.local.serve(answer=answer) as running:
        yield running


def ask(frame: pd.DataFrame, **options: Any) -> bf.Requests:
    return frame.bf.requests("{{ text }}", model="gpt-4.1", output=["even", "odd"], **options)


def right(frame: pd.DataFrame) -> list[str]:
    return ["even" if int(text[-1]) % 2 == 0 else "odd" for text in frame["text"]]


def test_a_job_is_recovered_from_the_server_into_an_empty_folder_at_no_cost(
    frame: pd.DataFrame, echo: batchframe.local.Server
) -> None:
    client = echo.client()
    lost_job = ask(frame, temperature=0).submit("lost", client=client).wait()
    id_, before = lost_job.id, lost_job.results()
    shutil.rmtree(lost_job.folder)
    [job] = bf.recover(client)
    assert (job.id, job.name, job.status) == (id_, "lost", "completed")
    assert job.wait().counts == {"ok": 6}
    pd.testing.assert_frame_equal(job.results(), before)
    assert len(job.unanswered()) == 0
    with pytest.raises(bf.errors.JobError, match="run the cell"):
        frame.bf.join("lost")
    # A rerun with a reordered frame finds the same job, and rows join.
    shuffled = frame.sample(frac=1, random_state=7)
    again = ask(shuffled, temperature=0).submit("lost", client=client)
    assert again.id == id_
    assert shuffled.bf.join("lost")["label"].tolist() == right(shuffled)
    assert again.cost == job.cost
    assert len(echo.ledger) == 1
    assert bf.recover(client) == []


def test_a_lost_folder_and_a_sorted_frame_are_not_billed_twice(
    frame: pd.DataFrame, echo: batchframe.local.Server
) -> None:
    client = echo.client()
    lost_job = ask(frame).submit("lost", client=client).wait()
    id_ = lost_job.id
    shutil.rmtree(lost_job.folder)
    shuffled = frame.iloc[::-1]
    job = ask(shuffled).submit("lost", client=client).wait()
    assert job.id == id_
    assert shuffled.bf.join(job)["label"].tolist() == right(shuffled)
    assert len(echo.ledger) == 1


@pytest.mark.usefixtures("one_request_a_file")
def test_batches_on_the_server_are_reused_and_only_the_rest_is_sent(
    frame: pd.DataFrame, echo: batchframe.local.Server
) -> None:
    client = echo.client()
    lost_job = ask(frame).submit("lost", client=client).wait()
    third, id_ = lost_job.batches[2], lost_job.id
    shutil.rmtree(lost_job.folder)
    client.files.delete(third.input_file_id)
    with pytest.warns(UserWarning, match=third.id):
        [piece] = bf.recover(client)
    assert piece.id != id_
    assert piece.wait().counts == {"ok": 5}
    assert piece.results(details=True)["bf_custom_id"].str[13:20].astype(int).tolist() == [
        0, 1, 3, 4, 5
    ]  # fmt: skip
    assert ask(frame).estimate(client=client).requests == 1
    # The third batch exists, but its requests cannot be read: sending them again needs consent.
    with (
        pytest.warns(UserWarning, match=third.id),
        pytest.raises(bf.errors.SentElsewhere, match=r"resume\(recreate=True\)"),
    ):
        ask(frame).submit("again", client=client)
    assert len(echo.ledger) == 6
    job = bf.job("again", client=client).resume(recreate=True).wait()
    assert job.results()["label"].tolist() == right(frame)
    assert len(echo.ledger) == 7


def test_an_input_file_that_batchframe_did_not_send_is_not_trusted(
    frame: pd.DataFrame, proxy: Any, server: batchframe.local.Server
) -> None:
    job = ask(frame).submit("lost", client=server.client()).wait()
    file_id = job.batches[0].input_file_id
    spoilt = (job.folder / "input-000.jsonl").read_text().replace("text 3", "text X")
    shutil.rmtree(job.folder)
    proxy.fail("GET", f"{file_id}/content", "500", status=200, body=spoilt)
    with pytest.warns(UserWarning, match="not the one that was sent"):
        assert bf.recover(proxy.client()) == []
    assert not list(job.folder.glob("*.json*"))


def test_batches_of_other_programs_and_hostile_names_are_ignored(proxy: Any, home: Path) -> None:
    page = (
        '{"object": "list", "has_more": false, "data": ['
        '{"id": "batch_1", "object": "batch", "status": "completed"},'
        '{"id": "batch_2", "object": "batch", "status": "completed",'
        ' "metadata": {"bf_job": "../../../etc", "bf_shard": "1/1"}}]}'
    )
    proxy.fail("GET", "/batches", "500", status=200, body=page)
    assert bf.recover(proxy.client()) == []
    assert not home.exists() or not list((home / "jobs").iterdir())


def test_a_job_folder_copied_to_another_machine_continues_there(
    frame: pd.DataFrame,
    echo: batchframe.local.Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    echo.pause()
    job = ask(frame).submit("moved", client=echo.client())
    copy = shutil.copytree(job.folder, tmp_path / "elsewhere" / job.id)
    monkeypatch.setenv("BATCHFRAME_HOME", str(tmp_path / "new home"))
    echo.resume()
    moved = bf.job(copy, client=echo.client()).wait()
    assert moved.counts == {"ok": 6}
    assert frame.bf.join(moved)["label"].tolist() == right(frame)
    assert len(echo.ledger) == 1


def test_a_job_is_found_by_its_id_its_name_and_its_folder(
    frame: pd.DataFrame, server: batchframe.local.Server
) -> None:
    job = ask(frame).submit("by name", client=server.client()).wait()
    for key in (job.id, "by name", job.folder, str(job.folder)):
        assert bf.job(key).id == job.id


def test_edited_rows_are_missing_with_the_reason(
    frame: pd.DataFrame, echo: batchframe.local.Server
) -> None:
    job = ask(frame).submit(client=echo.client()).wait()
    edited = frame.copy()
    edited.loc[12, "text"] = "text 9"
    joined = pd.concat([edited.iloc[3:], edited.iloc[:3]]).bf.join(job)
    assert joined.loc[12, "bf_status"] == "missing"
    assert "has changed" in joined.loc[12, "bf_error"]
    others = joined.drop(index=12)
    assert others["label"].tolist() == right(others)


@pytest.mark.usefixtures("one_request_a_file")
def test_a_temporary_error_is_raised_and_the_next_recover_is_complete(
    frame: pd.DataFrame, echo: batchframe.local.Server
) -> None:
    job = ask(frame).submit(client=echo.client()).wait()
    id_ = job.id
    shutil.rmtree(job.folder)
    echo.faults.add(Fault("GET /v1/files/{id}/content", 500, skip=2, times=9))
    with pytest.raises(bf.errors.ServiceError):
        bf.recover(echo.client())
    echo.faults.clear()
    [restored] = bf.recover(echo.client())
    assert restored.id == id_
    assert restored.wait().counts == {"ok": 6}


@pytest.mark.usefixtures("one_request_a_file")
def test_a_kill_during_recovery_leaves_no_partial_job(
    frame: pd.DataFrame, echo: batchframe.local.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ask(frame).submit(client=echo.client()).wait()
    shutil.rmtree(job.folder)

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("batchframe._jobs.recovery.write_manifest", die)
        with pytest.raises(Killed):
            bf.recover(echo.client())
    assert len(bf.jobs()) == 0
    [restored] = bf.recover(echo.client())
    assert restored.wait().counts == {"ok": 6}
    assert len(echo.ledger) == 6


@pytest.mark.parametrize("body", [[], "x", None, {"messages": 5, "model": "m"}])
def test_one_invalid_batch_does_not_prevent_other_recoveries(
    body: Any, frame: pd.DataFrame, echo: batchframe.local.Server
) -> None:
    import hashlib
    import json

    client = echo.client()
    job = ask(frame).submit(client=client).wait()
    shutil.rmtree(job.folder)
    line = {"custom_id": "bf1-01234567-0000000-0123456789", "method": "POST"}
    line |= {"url": "/v1/chat/completions", "body": body}
    content = json.dumps(line, separators=(",", ":")).encode() + b"\n"
    file = client.files.create(file=("odd.jsonl", content), purpose="batch")
    zeros = "0" * 20
    mark = hashlib.sha256(f"{zeros} {hashlib.sha256(content).hexdigest()}".encode()).hexdigest()
    client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"bf_job": zeros, "bf_fp": mark, "bf_shard": "1/1", "bf_v": "1"},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert job.folder.name in [each.folder.name for each in bf.recover(client)]


def test_unanswered_rows_of_a_recovered_job_cannot_be_joined(
    frame: pd.DataFrame,
) -> None:
    with batchframe.local.serve(
        answer=lambda _: batchframe.local.AnswerError(400, "No.")
    ) as server:
        job = ask(frame).submit(client=server.client()).wait()
        shutil.rmtree(job.folder)
        [restored] = bf.recover(server.client())
        again = restored.wait().unanswered().submit(client=server.client())
        with pytest.raises(bf.errors.JobError, match="run the cell"):
            frame.bf.join(again)


def test_rows_are_not_matched_to_a_recovered_job(
    frame: pd.DataFrame, echo: batchframe.local.Server
) -> None:
    shutil.rmtree(ask(frame).submit("lost", client=echo.client()).wait().folder)
    [recovered] = bf.recover(echo.client())
    with pytest.raises(bf.errors.JobError, match="without its prompt"):
        bf.join(frame, recovered.wait())


def input_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("input-*.jsonl"))


def test_dividing_an_unsent_job_again_removes_old_input_files(
    frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_local(monkeypatch, max_requests=4)
    with batchframe.local.serve(faults=[Fault("POST /v1/files", 403, times=2)]) as server:
        with pytest.raises(bf.errors.ServiceError):
            ask(frame).submit("divided", client=server.client())
        folder = bf.job("divided").folder
        assert input_files(folder) == ["input-000.jsonl", "input-001.jsonl"]
        change_local(monkeypatch, max_requests=50)
        assert ask(frame).submit("divided", client=server.client()).folder == folder
    assert input_files(folder) == ["input-000.jsonl"]


def test_a_recovered_job_has_no_old_input_files(
    frame: pd.DataFrame, echo: batchframe.local.Server
) -> None:
    job = ask(frame).submit(client=echo.client()).wait()
    (job.folder / "journal.jsonl").unlink()
    (job.folder / "input-001.jsonl").write_bytes(b"of an earlier division")
    [recovered] = bf.recover(echo.client())
    assert recovered.folder == job.folder
    assert input_files(recovered.folder) == ["input-000.jsonl"]
