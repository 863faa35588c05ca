"""`python -m tests.crash`: run every case, and print what was billed.

python -m tests.crash                     all cases, and those of clients without a protocol
python -m tests.crash --case ID           one case, with its whole output
python -m tests.crash --sabotage retries  all cases with one part broken: some must fail
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from multiprocessing import get_context
from typing import Any

from tests.crash.cases import Case, baseline
from tests.crash.kernel import SABOTAGES
from tests.crash.matrix import matrix
from tests.crash.story import Bench, Verdict, tell

WORKERS = 8


def main(arguments: list[str] | None = None) -> int:
    """Run the selected cases; return 1 if a promise was broken."""
    options = _parser().parse_args(arguments)
    by_id = {case.id: case for case in [*matrix(), *baseline()]}
    if options.list:
        say("\n".join(by_id))
        return 0
    if options.case:
        cases = [by_id[case_id] for case_id in options.case]
        if not options.json:
            os.environ["BATCHFRAME_CRASH_LOUD"] = "1"
    else:
        cases = matrix() if options.sabotage or options.no_baseline else list(by_id.values())
        cases = [case for case in cases if case.family in (options.family or [case.family])]
    began = time.monotonic()
    verdicts = []
    for verdict in _verdicts(cases, min(options.workers, len(cases)), options.sabotage):
        verdicts.append(verdict)
        if options.json:
            say(json.dumps(asdict(verdict)))
        else:
            _progress(verdicts, len(cases), began)
    if not options.json:
        _report(verdicts, time.monotonic() - began)
    return int(any(v.fault for v in verdicts if not v.family.startswith("naive")))


def say(line: str, end: str = "\n") -> None:
    """Print a line immediately, also through a pipe."""
    sys.stdout.write(line + end)
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--case", action="append", metavar="ID", help="run this case only")
    parser.add_argument("--family", action="append", help="run the cases of this family only")
    parser.add_argument("--sabotage", choices=sorted(SABOTAGES), default="")
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--no-baseline", action="store_true", help="leave out the naive clients")
    parser.add_argument("--json", action="store_true", help="one verdict a line, for a program")
    parser.add_argument("--list", action="store_true", help="print all ids")
    return parser


def _verdicts(cases: list[Case], workers: int, sabotage: str) -> Iterator[Verdict]:
    """Run the cases in several processes, slow and fast ones mixed."""
    context = get_context("fork")
    tasks: Any = context.SimpleQueue()
    results: Any = context.SimpleQueue()
    processes = [
        context.Process(target=_work, args=(tasks, results, sabotage)) for _ in range(workers)
    ]
    for process in processes:
        process.start()
    pending = list(cases)
    random.Random(0).shuffle(pending)  # noqa: S311 - not a secret
    for case in pending:
        tasks.put(case.id)
    for _ in processes:
        tasks.put(None)
    for _ in pending:
        yield results.get()
    for process in processes:
        process.join()


def _work(tasks: Any, results: Any, sabotage: str) -> None:
    cases = {case.id: case for case in [*matrix(), *baseline()]}
    bench = Bench()
    while (case_id := tasks.get()) is not None:
        results.put(tell(cases[case_id], bench, sabotage))
    bench.close()


def _progress(verdicts: list[Verdict], cases: int, began: float) -> None:
    latest = verdicts[-1]
    if latest.fault and not latest.family.startswith("naive"):
        say(f"\n{latest.id}: {latest.fault}\n    python -m tests.crash --case {latest.id}")
    line = f"{len(verdicts)}/{cases} cases, {time.monotonic() - began:.0f} s"
    if sys.stdout.isatty():
        say(f"\r\033[K{line}", end="")
    elif len(verdicts) % 100 == 0:
        say(line)


COLUMNS = ("cases", "killed", "once", "twice", "lost", "other", "asked", "adopted", "seconds")


def _report(verdicts: list[Verdict], seconds: float) -> None:
    families = dict.fromkeys(verdict.family for verdict in sorted(verdicts, key=_place))
    say(f"\n\n{'family':<18}" + "".join(f"{column:>9}" for column in COLUMNS))
    ours = [verdict for verdict in verdicts if not verdict.family.startswith("naive")]
    for family in families:
        _line(family, [verdict for verdict in verdicts if verdict.family == family])
    _line("batchframe, all", ours)
    broken = [verdict for verdict in ours if verdict.fault]
    say(f"\n{len(ours)} cases of batchframe, {len(broken)} broken, {seconds:.0f} s.")


def _place(verdict: Verdict) -> int:
    families = list(dict.fromkeys(case.family for case in [*matrix(), *baseline()]))
    return families.index(verdict.family)


def _line(name: str, verdicts: list[Verdict]) -> None:
    twice = sum(verdict.billed > verdict.parts for verdict in verdicts)
    missing = sum(verdict.billed < verdict.parts for verdict in verdicts)
    once = sum(verdict.billed == verdict.parts for verdict in verdicts)
    figures = (
        len(verdicts), sum(verdict.killed for verdict in verdicts), once, twice, missing,
        sum(bool(v.fault) and v.billed == v.parts for v in verdicts),
        sum(verdict.asked > 0 for verdict in verdicts),
        sum(verdict.adopted for verdict in verdicts),
        round(sum(verdict.seconds for verdict in verdicts)),
    )  # fmt: skip
    say(f"{name:<18}" + "".join(f"{figure:>9}" for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
