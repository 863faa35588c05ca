"""D11: what was changed in a job's folder is noticed; no flipped bit becomes an answer."""

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
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATCHFRAME_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("NO_PROXY", "127.0.0.1")
        with batchframe.local.serve(answer=lambda body: body["messages"][-1]["content"]) as server:
            frame = pd.DataFrame({"text": TEXTS})
            asked = frame.bf.requests("{{ text }}", model="m")
            job = asked.submit(client=server.client()).wait()
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
def test_d11_damage_is_told_or_mended_and_never_read_as_an_answer(
    name: str, kind: str, whole: Path, tmp_path: Path
) -> None:
    size = (whole / name).stat().st_size
    told = 0
    for at in range(size // 50, size, max(1, size // 60)):
        folder = tmp_path / str(at)
        shutil.copytree(whole, folder)
        if name == "output-000.jsonl":
            (folder / "answers.parquet").unlink()
        damage(folder / name, kind, at)
        try:
            answers = bf.job(folder).results()["response"].tolist()
        except bf.errors.JobError as reason:
            told += 1
            assert name in str(reason)  # noqa: PT017 - a few positions change nothing
        else:
            assert answers == TEXTS
        shutil.rmtree(folder)
    assert told == 0 if name == "answers.parquet" else told > 20


def test_d11_a_damaged_join_is_told_too(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    damage(folder / "rows.parquet", "zero", (folder / "rows.parquet").stat().st_size // 3)
    with pytest.raises(bf.errors.JobError, match=r"rows\.parquet is damaged"):
        pd.DataFrame({"text": TEXTS}).bf.join(bf.job(folder))
