"""Freezes a job whose input file was divided, and its server.

Run once, with the first version that divides input files::

    python tests/project/frozen/make_divided.py

The files are never rewritten, like those of ``make.py``. The first part of the input file has a
batch, which ended; the job does not know it yet, and the other parts are not sent.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from time import sleep
from typing import Final

from describe import FROZEN, client_of, describe_job
from recipes import DIVIDED, QUEUE, answer

import batchframe.local

FOLDER: Final = FROZEN / "divided"
_IN_THE_FUTURE: Final = 4_000_000_000


def make() -> None:
    """Write the job, its server and its description, unless they exist."""
    if (FOLDER / "job.json").exists():
        sys.exit("The frozen files exist and are never rewritten.")
    os.environ["NO_PROXY"] = "127.0.0.1"
    with tempfile.TemporaryDirectory() as home:
        os.environ["BATCHFRAME_HOME"] = f"{home}/home"
        with batchframe.local.serve(answer, folder=f"{home}/server", limits=QUEUE) as server:
            job = DIVIDED.requests().submit("divided", client=client_of(server), **DIVIDED.submit)
            while not (job.folder / "input-001.jsonl").exists() or not job.batches:
                sleep(0.1)
                job.refresh()
            batches = client_of(server).batches
            while {batch.status for batch in batches.list()} != {"failed", "completed"}:
                sleep(0.05)
        shutil.copytree(job.folder, FOLDER / "job")
        shutil.copytree(f"{home}/server", FOLDER / "server")
        description = describe_job(job)
        del description["card"]
        (FOLDER / "job.json").write_text(json.dumps(description, indent=1) + "\n", "utf-8")
    (FOLDER / "server" / "server.json").write_text('{"layout": 1}\n', "utf-8")
    for path in (FOLDER / "server").glob("files/*.json"):
        stored = json.loads(path.read_bytes())
        stored["file"]["expires_at"] = _IN_THE_FUTURE
        path.write_text(json.dumps(stored), "utf-8")


if __name__ == "__main__":
    make()
