"""Preparation of a job's folder, before it is submitted."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from batchframe._base.clock import SYSTEM, Clock
from batchframe._base.errors import (
    NamesakeWarning,
    RequestError,
    SentElsewhere,
    format_list,
    warn_user,
)
from batchframe._base.private_files import sync_folder
from batchframe._base.safe_text import ACCOUNT, NextStep
from batchframe._estimate.estimate import Estimate
from batchframe._models.price import Tier
from batchframe._requests.input_files import write_inputs
from batchframe._requests.table import FINGERPRINT_VERSION, RequestTable
from batchframe._results.earlier import ReusePlan, find_answers, reused_by
from batchframe._results.job_answers import read_reused, write_reused
from batchframe._services.accounts import Account
from batchframe._services.connect import format_identity
from batchframe._services.protocol import Identity
from batchframe._services.provider import Provider
from batchframe._store.answer_files import AnswerFiles
from batchframe._store.folder import JobFolder
from batchframe._store.manifest import (
    Manifest,
    Record,
    quiet_records,
    read_record,
    records,
    write_manifest,
)
from batchframe._store.rows import follow, read_rows, rows_of, write_rows

# Of 16 pairs, six are batchframe's (openai 3.57.0, BatchCreateParams, 2026-11-30).
_MOST_PAIRS: Final = 10
_LONGEST_KEY: Final = 64
_LONGEST: Final = 512
_LIFETIMES: Final = range(3_600, 2_592_001)


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
    """Job before its folder is written.

    Attributes
    ----------
    input_ranges
        Ranges of requests, one per input file.
    tokens
        Input tokens of each request to send.
    provider
        Provider whose limits the input files are within.
    default_name
        Name of the job if neither `name` nor an earlier run of the cell sets one.
    """

    reuse: ReusePlan
    identity: Identity
    input_ranges: list[range]
    estimate: Estimate
    tokens: npt.NDArray[np.int64]
    provider: Provider
    name: str | None = None
    default_name: str | None = None
    rerun: str | None = None
    prices: Mapping[str, Any] | None = None
    max_enqueued_tokens: int | None = None
    file_highs: tuple[Decimal, ...] = ()
    tier: Tier = "batch"
    metadata: Mapping[str, str] = field(default_factory=dict)
    output_expires_after: int | None = None
    clock: Clock = SYSTEM

    @property
    def table(self) -> RequestTable:
        """The requests."""
        return self.reuse.table

    @property
    def job_id(self) -> str:
        """Id of the job."""
        job = self.reuse.job
        return job_id(self.table, self.identity, self.rerun) if job is None else job.manifest.id


def job_id(table: RequestTable, identity: Identity, rerun: str | None) -> str:
    """Hash the requests, the account and the run label: 20 hex digits."""
    account = msgspec.json.encode([asdict(identity), "24h", rerun])
    content = FINGERPRINT_VERSION + table.fingerprint.encode() + account
    return hashlib.sha256(content).hexdigest()[:20]


def find_reusable(
    table: RequestTable, account: Account, rerun: str | None, *, reuse: bool
) -> ReusePlan:
    """Find the answers of earlier jobs that requests can reuse.

    A submitted job keeps its input files. A run label disables reuse, and so does ``dedupe=False``.
    """
    own = job_id(table, account.identity, rerun)
    folder = JobFolder.of(own)
    record = read_record(folder) if folder.journal.is_file() else None
    if record is not None and record.begun:
        return reused_by(record, table)
    reuse = reuse and table.recipe.dedupe
    jobs = tuple(records() if reuse else quiet_records())
    # Another kernel may have submitted this job, or the account may have had another name.
    record = _find_same(jobs, own, (table.fingerprint, rerun), account)
    if record is not None:
        return reused_by(record, table)
    if not reuse:
        return ReusePlan(table, jobs=jobs)
    return find_answers(table, account, jobs)


def _find_same(
    jobs: Sequence[Record], own: str, content: tuple[str, str | None], account: Account
) -> Record | None:
    """Find the begun job of these requests and run label in an account."""
    hidden: Record | None = None
    for job in jobs:
        manifest, state = job.manifest, job.state
        if not job.begun or (manifest.fingerprint, manifest.rerun) != content:
            continue
        if manifest.id == own or account.owns(manifest.identity, state.batches, state.uploads):
            return job
        may_be_billed = any(file.step in {"creating", "created"} for file in state.inputs)
        if may_be_billed and manifest.tier == "batch" and account.may_own(manifest.identity):
            hidden = hidden or job
    if hidden is None or account.connect is None:
        return None
    name, owner = hidden.manifest.display_name, format_identity(hidden.manifest.identity)
    ids = format_list([batch.id for batch in hidden.state.batches][:3] or ["unknown"])
    raise SentElsewhere(
        f"Job {name!r} sent these requests to the same address ({owner}), but this client does not "
        f"see its batch ({ids}). Nothing was sent now.",
        next_step=NextStep(
            "Fix: submit(client=...) with the client that submitted it. To pay again for a "
            'separate job: submit(rerun="again").',
            ACCOUNT + ". To pay again for a separate job: --rerun again.",
        ),
    )


def check_choice(keyword: str, value: object, choices: tuple[str, ...]) -> None:
    """Check that an argument is one of several strings."""
    if value not in choices:
        raise RequestError.invalid_argument(
            keyword, value, " or ".join(f'"{choice}"' for choice in choices)
        )


def check_names(name: object, rerun: object, max_enqueued_tokens: object) -> None:
    """Check the name, the run label and the queue limit.

    Raises
    ------
    RequestError
        If a name or label is not a printable string, or the limit not a positive int.
    """
    for keyword, value in (("name", name), ("rerun", rerun)):
        if value is not None and not _is_name(value):
            raise RequestError.invalid_argument(keyword, value, "a printable string")
    limit = max_enqueued_tokens
    if limit is not None and (type(limit) is not int or limit < 1):
        raise RequestError.invalid_argument("max_enqueued_tokens", limit, "a positive int")


def checked_metadata(metadata: object) -> dict[str, str]:
    """Validate the user's metadata of the batches.

    Raises
    ------
    RequestError
        If a key is reserved, or the service would reject the metadata.

    Examples
    --------
    >>> checked_metadata({"team": "search"})
    {'team': 'search'}
    """
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping) or not all(
        type(text) is str for pair in metadata.items() for text in pair
    ):
        wanted = 'a dict of strings, such as {"team": "search"}'
        raise RequestError.invalid_argument("metadata", metadata, wanted)
    if reserved := [key for key in metadata if key.startswith("bf_")]:
        raise RequestError(
            f"metadata: keys that begin with bf_ are reserved ({format_list(reserved)}), because "
            "batchframe finds its batches by them. Fix: use other keys."
        )
    too_long = any(len(key) > _LONGEST_KEY or len(metadata[key]) > _LONGEST for key in metadata)
    if too_long or len(metadata) > _MOST_PAIRS:
        raise RequestError(
            f"metadata: more than {_MOST_PAIRS} pairs, a key of more than {_LONGEST_KEY} "
            f"characters, or a value of more than {_LONGEST}; the service would reject the batch."
        )
    return dict(metadata)


def checked_lifetime(output_expires_after: object) -> int | None:
    """Validate the lifetime of result files, in seconds or in OpenAI's form.

    Raises
    ------
    RequestError
        If it is not an int from 3,600 to 2,592,000.

    Examples
    --------
    >>> checked_lifetime({"anchor": "created_at", "seconds": 86_400})
    86400
    """
    value = output_expires_after
    if value is None:
        return None
    if isinstance(value, Mapping):
        value = value.get("seconds") if value.get("anchor", "created_at") == "created_at" else None
    if isinstance(value, int) and type(value) is int and value in _LIFETIMES:
        return value
    wanted = "seconds from 3600 (1 hour) to 2592000 (30 days)"
    raise RequestError.invalid_argument("output_expires_after", output_expires_after, wanted)


def _is_name(value: object) -> bool:
    # The manifest cannot encode a subclass of str.
    return type(value) is str and bool(value.strip()) and value.isprintable()


def prepare(plan: Plan, folder: JobFolder) -> Manifest:
    """Write the job folder, or update an existing one; return its manifest.

    Input files that may have been sent are never written again. The rows, the names of the job and
    of the answer column, and the user's prices are those of the latest call.
    """
    # A folder without a journal is an unfinished preparation.
    record = read_record(folder) if folder.journal.is_file() else None
    is_intended = record is not None and record.state.intended
    if record is not None and _is_outdated(plan, record):
        folder.journal.unlink()
        record = None
    manifest = _write_new(plan, folder) if record is None else _follow(plan, record)
    write_manifest(folder, manifest)
    if record is None and is_intended:
        # Uploads from this folder must not look like those of a lost folder.
        folder.append({"event": "INTENT", "at": plan.clock.now()})
    return manifest


def _is_outdated(plan: Plan, record: Record) -> bool:
    """Check whether the input files of an unsent job are out of date.

    They are if one is missing, if they were written for other limits, or if earlier jobs answer
    other requests by now. Nothing was sent yet, so they can be rewritten.
    """
    if record.begun:
        return False
    folder, inputs = record.folder, range(len(record.manifest.inputs))
    if not all(path.is_file() for path in (folder.rows, *map(folder.input, inputs))):
        return True
    limit = record.manifest.max_enqueued_tokens
    if record.manifest.provider != plan.provider or plan.max_enqueued_tokens not in (None, limit):
        return True
    before = read_reused(record)["digest"].to_pylist() if record.manifest.reused else []
    return set(before) != set(plan.reuse.answers["digest"].to_pylist())


def _write_new(plan: Plan, folder: JobFolder) -> Manifest:
    paths = [folder.input(number) for number in range(len(plan.input_ranges))]
    inputs = tuple(write_inputs(plan.table, plan.input_ranges, paths, plan.provider, plan.tokens))
    folder.remove_inputs_from(len(inputs))
    write_rows(rows_of(plan.table), folder.rows)
    if plan.table.reused:
        AnswerFiles(folder.files).take(plan.reuse.files)
        write_reused(folder, plan.reuse.answers)
    sync_folder(folder.path)
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
        prices=_as_strings(plan.prices),
        provider=plan.provider,
        recovered=False,
        input_cost=plan.estimate.input_cost,
        tier=plan.tier,
        max_enqueued_tokens=plan.max_enqueued_tokens,
        source=plan.table.source_path,
        file_highs=plan.file_highs,
        metadata=plan.metadata,
        output_expires_after=plan.output_expires_after,
    )


def _follow(plan: Plan, record: Record) -> Manifest:
    folder, manifest = record.folder, record.manifest
    name = plan.name or manifest.name or plan.default_name
    names = dict.fromkeys([*manifest.aliases, *filter(None, [manifest.name])])
    if plan.name and names and plan.name not in names:
        warn_user(
            NamesakeWarning(
                f"Job {manifest.name!r} has the same requests; nothing is sent. It is now also "
                f"found as {plan.name!r}."
            )
        )
    write_rows(follow(read_rows(folder.rows), plan.table), folder.rows)
    limit = plan.max_enqueued_tokens
    if limit not in (None, manifest.max_enqueued_tokens) and not record.done:
        # The user's limit replaces the one that the service stated earlier.
        folder.append({"event": "INTENT", "at": plan.clock.now(), "max_tokens": limit})
    # The estimate of the first submission stays, unless the user's prices changed.
    estimate = plan.estimate
    if manifest.cost is not None and _as_strings(plan.prices) in (None, manifest.prices):
        estimate = replace(estimate, cost=manifest.cost, input_cost=manifest.input_cost)
    return msgspec.structs.replace(
        manifest,
        recovered=False,
        name=name,
        aliases=tuple(other for other in names if other != name),
        recipe=plan.table.recipe,
        rows=plan.table.rows,
        source=plan.table.source_path,
        cost=estimate.cost or manifest.cost,
        prices=_as_strings(plan.prices) or manifest.prices,
        max_enqueued_tokens=plan.max_enqueued_tokens or manifest.max_enqueued_tokens,
        input_cost=estimate.input_cost or manifest.input_cost,
    )


def _as_strings(prices: Any) -> Any:
    """Convert prices to strings, so that no digit is lost in JSON."""
    if isinstance(prices, Mapping):
        return {key: _as_strings(value) for key, value in prices.items()}
    return None if prices is None else str(prices)
