"""The folder of a job, written so that it can be submitted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from batchframe._base.clock import SYSTEM, Clock
from batchframe._base.errors import NamesakeWarning, RequestError, warn_user
from batchframe._base.private_files import sync_folder
from batchframe._base.safe_text import job_step
from batchframe._estimate.estimate import Estimate
from batchframe._models.price import Tier
from batchframe._requests.input_files import InputFile, write_inputs
from batchframe._requests.table import FINGERPRINT_VERSION, RequestTable
from batchframe._results.earlier import ReusePlan, find_answers, reused_by
from batchframe._results.job_answers import read_reused, write_reused
from batchframe._services.protocol import Identity
from batchframe._services.provider_table import Provider
from batchframe._store.answer_files import AnswerFiles
from batchframe._store.folder import JobFolder
from batchframe._store.manifest import Manifest, Record, read_record, records, write_manifest
from batchframe._store.rows import follow, read_rows, rows_of, write_rows


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
    """A job before its folder is written.

    Attributes
    ----------
    shards
        How the requests are divided into input files.
    tokens
        The input tokens of each request that is to be sent.
    provider
        Whose limits the files keep to.
    default_name
        The job's name if neither `name` nor an earlier run of the cell gives it one.
    """

    reuse: ReusePlan
    identity: Identity
    shards: list[range]
    estimate: Estimate
    tokens: npt.NDArray[np.int64]
    provider: Provider
    name: str | None = None
    default_name: str | None = None
    rerun: str | None = None
    prices: Mapping[str, Any] | None = None
    max_enqueued_tokens: int | None = None
    tier: Tier = "batch"
    clock: Clock = SYSTEM

    @property
    def table(self) -> RequestTable:
        """The requests."""
        return self.reuse.table

    @property
    def job_id(self) -> str:
        """What the job is known by."""
        return job_id(self.table, self.identity, self.rerun)


def job_id(table: RequestTable, identity: Identity, rerun: str | None) -> str:
    """Name the content of the requests, the account and the run label: 20 hexadecimal digits."""
    account = msgspec.json.encode([asdict(identity), "24h", rerun])
    content = FINGERPRINT_VERSION + table.fingerprint.encode() + account
    return hashlib.sha256(content).hexdigest()[:20]


def find_reusable(
    table: RequestTable, identity: Identity, rerun: str | None, *, reuse: bool
) -> ReusePlan:
    """Read what the jobs on this machine tell about requests before they are sent.

    A job that has begun keeps its division. A run label asks anew, and so do rows that are repeated
    on purpose.
    """
    own = job_id(table, identity, rerun)
    folder = JobFolder.of(own)
    record = read_record(folder) if folder.journal.is_file() else None
    if record is not None and record.begun:
        return reused_by(record, table)
    if not reuse or not table.recipe.dedupe:
        return ReusePlan(table)
    jobs = tuple(records())
    # Another kernel may have begun this very job since.
    record = next((job for job in jobs if job.manifest.id == own and job.begun), None)
    return find_answers(table, identity, jobs) if record is None else reused_by(record, table)


def check_names(name: object, rerun: object, max_enqueued_tokens: object) -> None:
    """Check a name, a run label and a limit.

    Raises
    ------
    RequestError
        If one is not a printable string, or not a whole number.
    """
    for keyword, value in (("name", name), ("rerun", rerun)):
        if value is not None and not _is_name(value):
            raise RequestError.not_a_word(keyword, value, 'a text such as "sentiment"')
    limit = max_enqueued_tokens
    if limit is not None and (type(limit) is not int or limit < 1):
        raise RequestError.not_a_word("max_enqueued_tokens", limit, "a number of tokens")


def _is_name(value: object) -> bool:
    # Of a subclass of str the manifest could not be written.
    return type(value) is str and bool(value.strip()) and value.isprintable()


def prepare(plan: Plan, folder: JobFolder) -> Manifest:
    """Write the job folder, or find it written, and return its manifest.

    What may have been sent is never written again. The rest follows the latest cell: the rows, the
    names of the job and of the answer column, the user's prices.
    """
    # Without a journal what stands here is an unfinished preparation.
    record = read_record(folder) if folder.journal.is_file() else None
    if record is not None and _is_divided_anew(plan, record):
        folder.journal.unlink()
        record = None
    manifest = _begin(plan, folder) if record is None else _follow(plan, record)
    write_manifest(folder, manifest)
    return manifest


def _is_divided_anew(plan: Plan, record: Record) -> bool:
    """Tell whether other requests are answered by now than when the input files were written.

    So they are if one of those files is gone, or was written for another service's limits: nothing
    was sent yet, and they can be made again.
    """
    if record.begun:
        return False
    folder, inputs = record.folder, range(len(record.manifest.inputs))
    if not all(path.is_file() for path in (folder.rows, *map(folder.input, inputs))):
        return True
    if record.manifest.provider != plan.provider:
        return True
    before = read_reused(record)["digest"].to_pylist() if record.manifest.reused else []
    return set(before) != set(plan.reuse.answers["digest"].to_pylist())


def _begin(plan: Plan, folder: JobFolder) -> Manifest:
    paths = [folder.input(number) for number in range(len(plan.shards))]
    inputs = tuple(write_inputs(plan.table, plan.shards, paths, plan.provider, plan.tokens))
    write_rows(rows_of(plan.table), folder.rows)
    if plan.table.reused:
        AnswerFiles(folder.files).take(plan.reuse.files)
        write_reused(folder, plan.reuse.answers)
    sync_folder(folder.path)
    return _manifest_of(plan, inputs)


def _manifest_of(plan: Plan, inputs: tuple[InputFile, ...]) -> Manifest:
    return Manifest(
        id=plan.job_id,
        name=plan.name or plan.default_name,
        created_at=plan.clock.now(),
        fingerprint=plan.table.fingerprint,
        identity=plan.identity,
        rerun=plan.rerun,
        recipe=plan.table.recipe,
        rows=plan.table.rows,
        requests=plan.table.requests,
        reused=plan.table.reused,
        reuse=plan.reuse.searched,
        inputs=inputs,
        input_tokens=plan.estimate.input_tokens,
        output_tokens=plan.estimate.output_tokens,
        cost=plan.estimate.cost,
        prices=_as_text(plan.prices),
        provider=plan.provider,
        recovered=False,
        input_cost=plan.estimate.input_cost,
        tier=plan.tier,
        max_enqueued_tokens=plan.max_enqueued_tokens,
        source=plan.table.home,
    )


def _follow(plan: Plan, record: Record) -> Manifest:
    folder, manifest = record.folder, record.manifest
    if plan.name and manifest.name and plan.name != manifest.name:
        warn_user(
            NamesakeWarning(
                f"These requests are job {manifest.name!r} already, so nothing new is sent. The "
                f"job is now called {plan.name!r}: "
                + job_step(plan.name)
                + " finds it, "
                + job_step(manifest.name)
                + " no more."
            )
        )
    write_rows(follow(read_rows(folder.rows), plan.table), folder.rows)
    # The estimate is what was known before it was sent, unless the user's prices are others now.
    estimate = plan.estimate
    if manifest.cost is not None and _as_text(plan.prices) in (None, manifest.prices):
        estimate = replace(estimate, cost=manifest.cost, input_cost=manifest.input_cost)
    return msgspec.structs.replace(
        manifest,
        recovered=False,
        name=plan.name or manifest.name or plan.default_name,
        recipe=plan.table.recipe,
        rows=plan.table.rows,
        source=plan.table.home,
        cost=estimate.cost or manifest.cost,
        prices=_as_text(plan.prices) or manifest.prices,
        max_enqueued_tokens=plan.max_enqueued_tokens or manifest.max_enqueued_tokens,
        input_cost=estimate.input_cost or manifest.input_cost,
    )


def _as_text(prices: Any) -> Any:
    """Write prices as text, so that no digit is lost on the way to the disk."""
    if isinstance(prices, Mapping):
        return {key: _as_text(value) for key, value in prices.items()}
    return None if prices is None else str(prices)
