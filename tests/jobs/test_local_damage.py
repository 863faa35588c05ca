"""D11: changes in a job's folder are noticed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local

TEXTS = [f"review number {number}" for number in range(40)]
KINDS = ["flip", "cut", "zero"]


@pytest.fixture(scope="module")
def job_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATCHFRAME_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("NO_PROXY", "127.0.0.1")
        with batchframe.local.serve(answer=lambda body: body["messages"][-1]["content"]) as server:
            frame = pd.DataFrame({"text": TEXTS})
            requests = frame.bf.requests("{{ text }}", model="m")
            job = requests.submit(client=server.client()).wait()
            assert job.results()["response"].tolist() == TEXTS
            return job.folder


def damage(path: Path, kind: str, at: int) -> None:
    content = bytearray(path.read_bytes())
    if kind == "flip":
        content[at] ^= 1 << at % 8
    elif kind == "zero":
        content[at : at + 64] = bytes(len(content[at : at + 64]))
    else:
        del content[at:]
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["answers.parquet", "output-000.jsonl", "rows.parquet"])
def test_d11_damage_is_reported_or_repaired_and_never_read_as_an_answer(
    name: str, kind: str, job_copy: Path, tmp_path: Path
) -> None:
    size = (job_copy / name).stat().st_size
    reported = 0
    for i in range(size // 50, size, max(1, size // 60)):
        folder = tmp_path / str(i)
        shutil.copytree(job_copy, folder)
        if name == "output-000.jsonl":
            (folder / "answers.parquet").unlink()
        damage(folder / name, kind, i)
        try:
            answers = bf.job(folder).results()["response"].tolist()
        except bf.errors.JobError as reason:
            reported += 1
            assert name in str(reason)  # noqa: PT017 - a few positions change nothing
        else:
            assert answers == TEXTS
        shutil.rmtree(folder)
    assert reported == 0 if name == "answers.parquet" else reported > 20


def test_d11_join_reports_damage_too(job_copy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(job_copy, folder)
    damage(folder / "rows.parquet", "zero", (folder / "rows.parquet").stat().st_size // 3)
    with pytest.raises(bf.errors.JobError, match=r"rows\.parquet is damaged"):
        pd.DataFrame({"text": TEXTS}).bf.join(bf.job(folder))
