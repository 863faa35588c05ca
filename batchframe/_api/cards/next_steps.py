"""Next steps of a job: lines that run unchanged."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Final

from batchframe._base.safe_text import NextStep, job_step
from batchframe._display import plural, round_up
from batchframe._endpoints import endpoint_of
from batchframe._endpoints.endpoint import ASKED_AGAIN, ASKED_ON_DEMAND
from batchframe._recipe.recipe import UNKNOWN_COLUMNS
from batchframe._results.unanswered import AGAIN
from batchframe._store.journal import is_paused, status_word
from batchframe._store.manifest import Record, quiet_records

_TO_RESUME: Final = frozenset({"preparing", "submitting", "uncertain"})


def next_step(record: Record, counts: Mapping[str, int], undelivered: int) -> NextStep:
    """Return the code that continues with a job."""
    name = record.reference
    if is_paused(record.state) or status_word(record.state) in _TO_RESUME:
        return job_step(name, "resume", alone=True)
    if not record.done:
        return _assigned(job_step(name, "wait", alone=True))
    unanswered = sum(counts.get(status, 0) for status in ASKED_AGAIN) - undelivered
    if undelivered and not unanswered:
        return _assigned(job_step(name, "refresh", alone=True))
    earlier, later = _family(record)
    if endpoint_of(record.manifest.recipe.endpoint).retired:
        return _join(record, [*earlier, name, *later])
    if not unanswered or later:
        return _join(record, [*earlier, name, *later]) + _also(name, counts)
    return (
        _again(record, unanswered) + _join(record, [*earlier, name], "again") + _also(name, counts)
    )


def _assigned(step: NextStep) -> NextStep:
    return NextStep(f"job = {step}", step.shell)


def _join(record: Record, names: Sequence[str], variable: str = "") -> NextStep:
    """Return the line that joins a job and those that it belongs with."""
    quoted = [*map(repr, names), *([variable] if variable else [])]
    name, recipe = record.reference, record.manifest.recipe
    shell = (
        "" if variable else f"batchframe fetch {shlex.quote(name)} --input INPUT --to OUTPUT.csv"
    )
    if recipe.columns == UNKNOWN_COLUMNS:
        return NextStep(f"answers = bf.job({name!r}).results()", job_step(name, "results").shell)
    if record.manifest.source is not None and len(quoted) == 1:
        return NextStep(f"bf.job({name!r}).to_parquet('labeled.parquet')", shell)
    return NextStep(f"labeled = df.bf.join({', '.join(quoted)})", shell)


def _again(record: Record, rows: int) -> NextStep:
    """Return the line that sends the unanswered rows again."""
    name, cost = record.reference, record.manifest.cost
    most = None if cost is None else cost.high
    limit = "" if most is None else f"max_cost={round_up(most)}"
    shell = (
        f"batchframe unanswered {shlex.quote(name)} --max-cost {round_up(most) if most else 'USD'}"
    )
    return NextStep(
        f"again = bf.job({name!r}).unanswered().submit({limit}).wait()  "
        f"# {plural(rows, 'row')} without an answer\n",
        f"{shell}  # submit the unanswered rows again",
    )


def _also(name: str, counts: Mapping[str, int]) -> NextStep:
    """Return the comment that names the rows whose answers are not usable."""
    statuses = [status for status in ASKED_ON_DEMAND if counts.get(status)]
    if not statuses:
        return NextStep("", "")
    rows = " and ".join(f"{counts[status]:,} {status}" for status in statuses)
    noun = "row" if sum(counts[status] for status in statuses) == 1 else "rows"
    options = " ".join(f"--also {status}" for status in statuses)
    return NextStep(
        f"\n# {rows} {noun}, billed: bf.job({name!r}).unanswered(also={statuses}) includes them",
        f"\n# {rows} {noun}, billed: batchframe unanswered {shlex.quote(name)} {options}",
    )


def _family(record: Record) -> tuple[list[str], list[str]]:
    """Return the jobs that this one continues, and those that continue it."""
    records = {other.manifest.id: other for other in quiet_records()}
    earlier: list[str] = []
    current = record.manifest.rerun or ""
    while current.startswith(AGAIN):
        parent = records.pop(current.removeprefix(AGAIN), None)
        if parent is None:
            break
        earlier.insert(0, parent.reference)
        current = parent.manifest.rerun or ""
    label = AGAIN + record.manifest.id
    later = [other.reference for other in records.values() if other.manifest.rerun == label]
    return earlier, later
