"""`python -m tests.crash`: every case, and a table of what was billed.

python -m tests.crash                     all cases, and clients without a protocol beside them
python -m tests.crash --case ID           one case alone, and all that it says
python -m tests.crash --sabotage retries  the same with a broken product: it has to fail
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

from tests.crash.cases import Case, baseline, matrix
from tests.crash.kernel import SABOTAGES
from tests.crash.story import Bench, Verdict, tell

WORKERS = 8


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; return 1 if a promise was broken."""
    given = _parser().parse_args(arguments)
    known = {case.id: case for case in [*matrix(), *baseline()]}
    if given.list:
        say("\n".join(known))
        return 0
    if given.case:
        cases = [known[case_id] for case_id in given.case]
        if not given.json:
            os.environ["BATCHFRAME_CRASH_LOUD"] = "1"
    else:
        cases = matrix() if given.sabotage or given.no_baseline else list(known.values())
        cases = [case for case in cases if case.family in (given.family or [case.family])]
    began = time.monotonic()
    verdicts = []
    for verdict in _verdicts(cases, min(given.workers, len(cases)), given.sabotage):
        verdicts.append(verdict)
        if given.json:
            say(json.dumps(asdict(verdict)))
        else:
            _progress(verdicts, len(cases), began)
    if not given.json:
        _report(verdicts, time.monotonic() - began)
    return int(any(v.fault for v in verdicts if not v.family.startswith("naive")))


def say(words: str, end: str = "\n") -> None:
    """Show words at once, also through a pipe."""
    sys.stdout.write(words + end)
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
    """Let some processes work the cases off, in an order that mixes slow and fast ones."""
    context = get_context("fork")
    asked: Any = context.SimpleQueue()
    told: Any = context.SimpleQueue()
    processes = [
        context.Process(target=_work, args=(asked, told, sabotage)) for _ in range(workers)
    ]
    for process in processes:
        process.start()
    known = list(cases)
    random.Random(0).shuffle(known)  # noqa: S311 - not a secret
    for case in known:
        asked.put(case.id)
    for _ in processes:
        asked.put(None)
    for _ in known:
        yield told.get()
    for process in processes:
        process.join()


def _work(asked: Any, told: Any, sabotage: str) -> None:
    known = {case.id: case for case in [*matrix(), *baseline()]}
    bench = Bench()
    while (case_id := asked.get()) is not None:
        told.put(tell(known[case_id], bench, sabotage))
    bench.close()


def _progress(verdicts: list[Verdict], cases: int, began: float) -> None:
    latest = verdicts[-1]
    if latest.fault and not latest.family.startswith("naive"):
        say(f"\n{latest.id}: {latest.fault}\n    python -m tests.crash --case {latest.id}")
    words = f"{len(verdicts)}/{cases} cases, {time.monotonic() - began:.0f} s"
    if sys.stdout.isatty():
        say(f"\r\033[K{words}", end="")
    elif len(verdicts) % 100 == 0:
        say(words)


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
    lost = sum(verdict.billed < verdict.parts for verdict in verdicts)
    once = sum(verdict.billed == verdict.parts for verdict in verdicts)
    figures = (
        len(verdicts), sum(verdict.killed for verdict in verdicts), once, twice, lost,
        sum(bool(v.fault) and v.billed == v.parts for v in verdicts),
        sum(verdict.asked > 0 for verdict in verdicts),
        sum(verdict.adopted for verdict in verdicts),
        round(sum(verdict.seconds for verdict in verdicts)),
    )  # fmt: skip
    say(f"{name:<18}" + "".join(f"{figure:>9}" for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
