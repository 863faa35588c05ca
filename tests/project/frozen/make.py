"""Freezes the requests of the recipes, and jobs of every kind.

Run once, with the package at commit 91d3ee3, before its modules were moved::

    python tests/project/frozen/make.py

The files are never rewritten: jobs that were begun then must be gone on with by every later
version, and requests that were asked then must be found again. Where one of them no longer agrees,
it is the package that is wrong.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import sleep
from typing import Any, Final

from describe import FROZEN, client_of, describe_job, describe_list, describe_requests
from recipes import DRAWN, JOBS, RECIPES, answer

import batchframe as bf
import batchframe.local
from batchframe.local import Fault

_CREATE: Final = "POST /v1/batches"
_LIST: Final = "GET /v1/batches"
_WHOLE: Final = {"finished", "half sent"}
_IN_THE_FUTURE: Final = 4_000_000_000


def make() -> None:
    """Write all files, unless they exist."""
    if (FROZEN / "recipes.json").exists():
        sys.exit("The frozen files are there, and are never rewritten.")
    os.environ["NO_PROXY"] = "127.0.0.1"
    with _new_home():
        _write("recipes.json", {name: _asked(name) for name in RECIPES})
    with _new_home() as home:
        _make_jobs(home)
        jobs = {"pilot": _pilot_name()} | {name: name for name in JOBS if name != "pilot"}
        descriptions = {name: describe_job(bf.job(called)) for name, called in jobs.items()}
        _write("jobs.json", descriptions)
        _write("list.json", {row["id"]: row for row in describe_list()})
        for name in JOBS:
            _keep_job(name, bf.job(jobs[name]).folder)


def _asked(name: str) -> dict[str, Any]:
    recipe = RECIPES[name]
    with _new_home(), batchframe.local.serve(profile=recipe.profile) as server:
        client = client_of(server, recipe.account)
        return describe_requests(recipe.requests(), recipe.submit, client)


def _make_jobs(home: Path) -> None:
    with batchframe.local.serve(answer) as server:
        for name in ("finished", "reusing", "typed"):
            _submit(name, server).wait()
        JOBS["pilot"].requests().pilot(**DRAWN, client=client_of(server), **JOBS["pilot"].submit)
    with batchframe.local.serve() as server:
        for name in ("pictures", "films"):
            _submit(name, server).wait()
    folder = home / "server"
    with batchframe.local.serve(answer, folder=folder) as server:
        _fail("half sent", server, Fault(_CREATE, 401, skip=1))
        _fail(
            "lost on the way back",
            server,
            Fault(_CREATE, "reset", after=True),
            Fault(_LIST, "lag", seconds=float("inf")),
        )
        _fail("lost on the way there", server, Fault(_CREATE, "reset"))
        while any(batch.status != "completed" for batch in server.client().batches.list()):
            sleep(0.05)
    _keep_server(folder)


def _submit(name: str, server: batchframe.local.Server) -> bf.Job:
    return JOBS[name].requests().submit(name, client=client_of(server), **JOBS[name].submit)


def _fail(name: str, server: batchframe.local.Server, *faults: Fault) -> None:
    server.faults.add(*faults)
    with contextlib.suppress(bf.errors.SubmissionError, bf.errors.SubmissionUncertain):
        _submit(name, server)
        sys.exit(f"{name!r} was to fail.")
    server.faults.clear()


def _keep_job(name: str, folder: Path) -> None:
    """Copy a job's folder, for some jobs without large caches."""
    rebuilt = () if name in _WHOLE else ("answers.parquet", "summary.json")
    shutil.copytree(folder, FROZEN / "jobs" / name, ignore=shutil.ignore_patterns(*rebuilt))


def _keep_server(folder: Path) -> None:
    """Copy the server's state of the jobs, without port and expiry."""
    destination = FROZEN / "server"
    shutil.copytree(folder, destination)
    (destination / "server.json").write_text('{"layout": 1}\n', "utf-8")
    for path in destination.glob("files/*.json"):
        stored = json.loads(path.read_bytes())
        stored["file"]["expires_at"] = _IN_THE_FUTURE
        path.write_text(json.dumps(stored), "utf-8")


def _pilot_name() -> str:
    [name] = [name for name in bf.jobs()["name"] if name.startswith("pilot ")]
    return str(name)


@contextlib.contextmanager
def _new_home() -> Iterator[Path]:
    before = os.environ.get("BATCHFRAME_HOME")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BATCHFRAME_HOME"] = f"{folder}/home"
        try:
            yield Path(folder)
        finally:
            if before is not None:
                os.environ["BATCHFRAME_HOME"] = before


def _write(name: str, description: Mapping[str, Any]) -> None:
    """Write one recipe or job per line, in ASCII."""
    lines = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in description.items())
    (FROZEN / name).write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


if __name__ == "__main__":
    make()
