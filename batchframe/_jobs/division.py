"""Division of unsent input files that exceed the service's queue.

The service states the limit of its queue only when it rejects a batch. The input file of that batch
never ran and is not billed, so smaller ones can replace it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from batchframe._base.errors import JobError, SubmissionError
from batchframe._base.private_files import open_private, replacing, sha256_of, translate_os_errors
from batchframe._base.progress import progress
from batchframe._base.safe_text import NextStep, job_step
from batchframe._display import plural
from batchframe._endpoints import endpoint_of
from batchframe._jobs.reconciliation import adopt, listed_batches
from batchframe._jobs.run import SubmissionContext
from batchframe._requests.custom_ids import request_in
from batchframe._requests.input_files import InputFile, pack
from batchframe._requests.lines import body_of, restore_endpoint
from batchframe._services.accounts import Account
from batchframe._services.provider import Provider
from batchframe._store.folder import DIVIDED_VERSION
from batchframe._store.journal import InputFileState, QueueLimit
from batchframe._store.manifest import Record, read_manifest, write_manifest
from batchframe._store.queue import Load, limits_of
from batchframe._store.rows import read_rows_of

_REMEMBERED: Final = 7 * 86_400.0
"""Seconds for which a stated limit applies to other jobs; the account's limit may be raised."""


def with_stated_limits(
    provider: Provider, jobs: Sequence[Record], account: Account, model: str, now: float
) -> Provider:
    """Return a profile with the limits stated to earlier jobs."""
    limits = [
        job.state.stated
        for job in jobs
        if job.state.stated.at > now - _REMEMBERED
        and job.manifest.recipe.model == model
        and account.may_own(job.manifest.identity)
        and replace(account, connect=None).owns(job.manifest.identity, job.state.batches)
    ]
    latest = max(limits, key=lambda limit: limit.at, default=QueueLimit())
    return replace(
        provider,
        max_enqueued_tokens=latest.tokens or provider.max_enqueued_tokens,
        max_enqueued_inputs=latest.requests or provider.max_enqueued_inputs,
    )


def divide(run: SubmissionContext) -> None:
    """Divide each unsent input file that exceeds the service's queue.

    Raises
    ------
    SubmissionError
        If a single request exceeds it; nothing is divided.
    """
    state = run.state()
    limits = limits_of(state, run.profile, run.manifest.recipe.endpoint)
    if not state.understood or limits == Load(None, None):
        return
    most = replace(limits, tokens=_most_tokens(run, limits.tokens))
    for unsent in [file.number for file in state.inputs if _exceeds(run, file, most)]:
        index = [file.number for file in run.state().inputs].index(unsent)
        # A gateway may have created a batch although it rejected the request.
        before = run.state().inputs[index]
        batches = listed_batches(run, index, before) if before.attempts else []
        if batches:
            adopt(run, index, before, batches)
        else:
            _divide(run, index, limits, most)


def _most_tokens(run: SubmissionContext, limit: int | None) -> int | None:
    """Return the maximum tokens of an input file.

    If the service rejects one that fits, it counts more tokens than batchframe, or another program
    uses the queue: half the limit fits sooner.
    """
    state = run.state()
    refusals = max((file.refusals for file in (*state.inputs, *state.divided)), default=0)
    is_tight = refusals > 1 and limit is not None and limit == state.stated.tokens
    return max(1, limit // 2) if is_tight and limit is not None else limit


def _exceeds(run: SubmissionContext, state: InputFileState, most: Load) -> bool:
    if state.step not in {"new", "uploaded"}:
        return False
    files = run.state()
    file = files.files[files.inputs.index(state)]
    requests = file.stop - file.start
    if most.requests is not None and requests > most.requests:
        return True
    # The tokens of a recovered job are unknown until they are counted.
    is_unknown = not file.tokens and state.refusals > 0
    return most.tokens is not None and (file.tokens > most.tokens or is_unknown)


def _divide(run: SubmissionContext, index: int, limits: Load, most: Load) -> None:
    state, file = run.state().inputs[index], run.state().files[index]
    sizes, tokens = _measure(run, index)
    if limits.tokens is not None and tokens.max() > limits.tokens:
        raise _never_fits_error(run, file, tokens, limits.tokens)
    profile = run.profile
    ranges = pack(
        sizes,
        min(profile.max_requests, most.requests or profile.max_requests),
        profile.max_bytes,
        # A single request may exceed half the limit.
        tokens if most.tokens is None else np.minimum(tokens, most.tokens),
        most.tokens,
    )
    if len(ranges) == 1:
        return
    numbers = [file.number for file in (*run.state().inputs, *run.state().divided)]
    parts = list(_write(run, index, ranges, tokens, max(numbers) + 1))
    # Earlier versions would report the smaller input files as damage.
    manifest = read_manifest(run.folder)
    if manifest.state_version != DIVIDED_VERSION:
        write_manifest(run.folder, msgspec.structs.replace(manifest, state_version=DIVIDED_VERSION))
    fits = limits.tokens is None or int(tokens.sum()) <= limits.tokens
    retry_at = state.retry_at if fits else 0.0
    run.record_event("DIVIDED", index, files=list(map(asdict, parts)), retry_at=retry_at)
    if state.number in run.consents:
        run.consents.update(range(max(numbers) + 1, max(numbers) + 1 + len(parts)))
    with translate_os_errors(run.folder.path):
        run.folder.input(state.number).unlink(missing_ok=True)


def _lines(run: SubmissionContext, index: int) -> Iterator[bytes]:
    """Yield the lines of an input file, which must not have changed."""
    path = run.folder.input(run.state().inputs[index].number)
    if sha256_of(path) != run.state().files[index].sha256:
        raise JobError.damaged(str(path), "its checksum differs")
    with translate_os_errors(path), open_private(path) as lines:
        yield from lines


def _measure(
    run: SubmissionContext, index: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the bytes and the input tokens of each line."""
    endpoint = endpoint_of(run.manifest.recipe.endpoint)
    file = run.state().files[index]
    sizes, tokens = [], []
    with progress("counting tokens", file.stop - file.start, " requests") as advance:
        for line in _lines(run, index):
            sizes.append(len(line))
            request = restore_endpoint(request_in(line))
            tokens.append(endpoint.count_tokens(body_of(request)).tokens)
            advance(1)
    return np.array(sizes, np.int64), np.array(tokens, np.int64)


def _write(
    run: SubmissionContext,
    index: int,
    ranges: Sequence[range],
    tokens: npt.NDArray[np.int64],
    number: int,
) -> Iterator[InputFile]:
    """Write the smaller input files that replace one, with the same lines."""
    file, lines = run.state().files[index], _lines(run, index)
    for at, part in enumerate(ranges, number):
        content = [next(lines) for _ in part]
        digest = hashlib.sha256()
        with replacing(run.folder.input(at)) as output:
            for line in content:
                digest.update(line)
                output.write(line)
        yield InputFile(
            file.start + part.start,
            file.start + part.stop,
            sum(map(len, content)),
            digest.hexdigest(),
            file.ahead,
            int(tokens[part.start : part.stop].sum()),
        )


def _never_fits_error(
    run: SubmissionContext, file: InputFile, tokens: npt.NDArray[np.int64], limit: int
) -> SubmissionError:
    too_long = np.flatnonzero(tokens > limit)
    row = int(read_rows_of(run.record()).first_row[file.start + too_long[0]])
    others = f" (and {plural(len(too_long) - 1, 'other')})" if len(too_long) > 1 else ""
    name, need = run.manifest.display_name, int(tokens.max())
    return SubmissionError(
        f"Job {name!r}: row {row}{others} has {int(tokens[too_long[0]]):,} input tokens, more than "
        f"the service's queue holds for {run.manifest.recipe.model} ({limit:,}); it can never run. "
        "Nothing was divided or sent.",
        next_step="Fix: "
        + job_step(name, "cancel")
        + ", then shorten or drop the row and submit the rest. If the account's limit is higher "
        "now: "
        + NextStep(f"submit(max_enqueued_tokens={need})", f"--max-enqueued-tokens {need}")
        + ".",
    )
