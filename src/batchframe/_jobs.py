"""Jobs on this machine: finding one, working on it alone, listing all.

In: an id, a name or a folder, and a client. Out: a job folder, a held lock, a frame of jobs.
Must not know: answers, prices.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from batchframe._estimate import Estimate
from batchframe._folder import JobFolder, job_folders
from batchframe._journal import JobState, fold, status_word
from batchframe._preparation import Plan, prepare
from batchframe._providers import profile_of
from batchframe._recipe import Recipe
from batchframe._request_table import RequestTable
from batchframe._service import NOBODY, Identity, Service
from batchframe._shards import shards_of
from batchframe._submission import OnUncertain, Submission, submit
from batchframe.errors import ClientError, JobError, NamesakeWarning


def connect(client: object = None) -> Service:
    """Return the service behind a client, or behind the environment's key.

    Raises
    ------
    ClientError
        If there is no key, or the client is not one that can be used.
    """
    # Slow to import (openai, 0.5 s), and not needed to look at what is at home.
    from batchframe._openai import connect as to_openai  # noqa: PLC0415

    return to_openai(client)


def connect_to(manifest: Mapping[str, Any], client: object = None) -> Service:
    """Return the service, if it shows the account that the job belongs to.

    Raises
    ------
    ClientError
        If it is another account: the job's batches cannot be seen from there.
    """
    service = connect(client)
    recorded = Identity(**manifest["identity"])
    if service.identity != recorded:
        raise ClientError.other_identity(
            manifest["id"], _account(recorded), _account(service.identity)
        )
    return service


def _account(identity: Identity) -> str:
    parts = [f"{name} {value}" for name, value in asdict(identity).items() if value]
    return ", ".join(parts).replace("base_url ", "")


def plan_of(
    table: RequestTable,
    service: Service | None,
    known: Estimate,
    *,
    name: str | None,
    rerun: str | None,
    prices: Mapping[str, Any] | None,
) -> Plan:
    """Decide a job; where no row asks anything there is no service, and none is needed.

    Raises
    ------
    RequestError
        If a row makes a request that is too large for any of the service's files.
    """
    identity = NOBODY if service is None else service.identity
    shards = shards_of(table, profile_of(identity.base_url))
    return Plan(table, identity, name, rerun, shards, known, prices)


def start(plan: Plan, service: Service | None, on_uncertain: OnUncertain) -> JobFolder:
    """Prepare a job's folder and submit it; if another kernel is doing so, leave it to that one."""
    folder = JobFolder.of(plan.job_id)
    if not folder.journal.is_file():
        _tell_of_namesake(plan)
    folder.create()
    with folder.lock() as held:
        if held:
            manifest = prepare(plan, folder)
            if service is not None:
                submit(_run(folder, manifest, service, on_uncertain))
    return folder


def _tell_of_namesake(plan: Plan) -> None:
    """Warn that a job of this name is there, and say in what the new one differs."""
    for folder in job_folders() if plan.name else []:
        manifest = folder.read_manifest()
        if manifest["name"] == plan.name and manifest["identity"] == asdict(plan.identity):
            differs = plan.table.recipe.difference(Recipe.from_json(manifest["recipe"]))
            differs += ["rerun"] if manifest["rerun"] != plan.rerun else []
            warnings.warn(
                NamesakeWarning.found(plan.name, manifest["id"], differs or ["rows"]), stacklevel=4
            )
            return


@contextmanager
def working_on(
    folder: JobFolder, service: Service, *, recreate: bool = False
) -> Iterator[Submission | None]:
    """Hold the job's lock; yield None if another kernel holds it, which then does the work."""
    with folder.lock() as held:
        if not held:
            yield None
            return
        yield _run(folder, folder.read_manifest(), service, recreate=recreate)


def _run(
    folder: JobFolder,
    manifest: Mapping[str, Any],
    service: Service,
    on_uncertain: OnUncertain = "ask",
    *,
    recreate: bool = False,
) -> Submission:
    return Submission(
        folder=folder,
        manifest=manifest,
        service=service,
        profile=profile_of(service.identity.base_url),
        on_uncertain=on_uncertain,
        recreate=recreate,
    )


def state_of(folder: JobFolder, manifest: Mapping[str, Any]) -> JobState:
    """Replay a job's journal."""
    return fold(folder.read_journal(), len(manifest["shards"]))


def find(name: str | Path) -> JobFolder:
    """Find a job by its folder, its id, or its name; of several with one name, the newest.

    Raises
    ------
    JobError
        If there is none.
    """
    if _is_job(Path(name)):
        return JobFolder(Path(name))
    for folder in job_folders():
        manifest = folder.read_manifest()
        if name in {manifest["id"], manifest["name"]}:
            return folder
    raise JobError.not_found(str(name))


def _is_job(path: Path) -> bool:
    try:
        return JobFolder(path).manifest.is_file()
    except OSError:
        return False  # a name that no file could have


def jobs_frame() -> pd.DataFrame:
    """List all jobs of this machine, newest first."""
    told = []
    for folder in job_folders():
        manifest = folder.read_manifest()
        told.append(
            {
                "name": manifest["name"],
                "id": manifest["id"],
                "status": status_word(state_of(folder, manifest)),
                "model": manifest["recipe"]["model"],
                "rows": manifest["rows"],
                "requests": manifest["requests"],
                "submitted": pd.Timestamp(manifest["created_at"], unit="s", tz="UTC"),
                "folder": str(folder.path),
            }
        )
    columns = ["name", "id", "status", "model", "rows", "requests", "submitted", "folder"]
    return pd.DataFrame(told, columns=columns)
