"""``python -m benchmarks``: measure, print a table, write a JSON file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from benchmarks import _build, _children, _count, _join, _transfers, _whole
from benchmarks._measure import Ratio, Section

SUBJECTS: Final = ("import", "build", "count", "join", "transfers", "whole", "memory")
_PACKAGES: Final = ("pandas", "pyarrow", "msgspec", "tiktoken", "splintr-rs", "openai")


def main() -> int:
    """Run what was asked for; 0 if it ran, whatever the figures are."""
    got = _parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="batchframe-benchmark-", dir=got.scratch) as scratch:
        os.environ["BATCHFRAME_HOME"] = str(Path(scratch, "home"))
        sections = []
        for name, measure in _chosen(got, Path(scratch)):
            if name in (got.only or SUBJECTS):
                sections.append(measure())
                print("\n".join(_told(sections[-1])), flush=True)
    written = {"machine": _machine(), "quick": got.quick, "sections": [*map(asdict, sections)]}
    got.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    print(f"\nWritten to {got.json}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only prove that everything runs")
    parser.add_argument("--only", nargs="+", choices=SUBJECTS, help="some subjects only")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--json", type=Path, default=Path("benchmarks.json"), help="where to write")
    parser.add_argument("--scratch", type=Path, help="a folder for gigabytes of files")
    return parser


def _chosen(got: argparse.Namespace, scratch: Path) -> Iterator[tuple[str, Callable[[], Section]]]:
    quick, rounds = got.quick, 1 if got.quick else got.rounds
    some = 2_000 if quick else 100_000
    yield "import", lambda: _children.importing(rounds)
    yield "build", lambda: _build.measure(2 * some, rounds, scratch)
    for template in _count.TEMPLATES:
        yield "count", lambda template=template: _count.measure(some // 2, rounds, template)
    for rows in (2_000,) if quick else (200_000, 1_000_000):
        for as_json in (False, True):
            yield (
                "join",
                lambda rows=rows, as_json=as_json: _join.measure(rows, rounds, as_json=as_json),
            )
    yield "transfers", lambda: _transfers.measure(some, rounds, scratch)
    sizes = (500, 1_000, 2_000) if quick else (10_000, 100_000, 1_000_000)
    yield "whole", lambda: _whole.measure(sizes, scratch)
    yield "memory", lambda: _children.memory((2_000,) if quick else (1_000_000, 3_000_000))


def _told(section: Section) -> Iterator[str]:
    yield f"\n{section.title}"
    for name, took in section.seconds.items():
        yield f"  {name:<52} {took.wall:9.3f} s   cpu {took.cpu:9.3f} s"
    for ratio in section.ratios:
        yield f"  {ratio.name:<52} {ratio.wall:9.2f}     cpu {ratio.cpu:9.2f}     {_wanted(ratio)}"
    yield from (f"  {note}" for note in section.notes)


def _wanted(ratio: Ratio) -> str:
    wanted = [f"at most {ratio.at_most:g}"] if ratio.at_most is not None else []
    wanted += [f"at least {ratio.at_least:g}"] if ratio.at_least is not None else []
    return f"{', '.join(wanted)}: {'yes' if ratio.holds else 'NO'}" if wanted else ""


def _machine() -> dict[str, Any]:
    versions = {}
    for package in ("batchframe", *_PACKAGES):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "cores": os.cpu_count(),
        "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "packages": versions,
    }


if __name__ == "__main__":
    sys.exit(main())
