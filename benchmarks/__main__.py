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

from benchmarks import _build, _children, _count, _join, _submit, _transfers, _whole
from benchmarks._measure import Ratio, Section

SUBJECTS: Final = ("import", "build", "count", "join", "transfers", "submit", "whole", "memory")
_PACKAGES: Final = ("pandas", "pyarrow", "msgspec", "tiktoken", "splintr-rs", "openai")


def main() -> int:
    """Run the selected benchmarks; return 0, whatever the figures are."""
    options = _parser().parse_args()
    with tempfile.TemporaryDirectory(
        prefix="batchframe-benchmark-", dir=options.scratch
    ) as scratch:
        os.environ["BATCHFRAME_HOME"] = str(Path(scratch, "home"))
        sections = []
        for name, measure in _benchmarks(options, Path(scratch)):
            if name in (options.only or SUBJECTS):
                sections.append(measure())
                print("\n".join(_format(sections[-1])), flush=True)
    report = {"machine": _machine(), "quick": options.quick, "sections": [*map(asdict, sections)]}
    options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"\nWritten to {options.json}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only prove that everything runs")
    parser.add_argument("--only", nargs="+", choices=SUBJECTS, help="some subjects only")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--json", type=Path, default=Path("benchmarks.json"), help="where to write")
    parser.add_argument("--scratch", type=Path, help="a folder for gigabytes of files")
    return parser


def _benchmarks(
    options: argparse.Namespace, scratch: Path
) -> Iterator[tuple[str, Callable[[], Section]]]:
    quick, rounds = options.quick, 1 if options.quick else options.rounds
    size = 2_000 if quick else 100_000
    yield "import", lambda: _children.importing(rounds)
    yield "build", lambda: _build.measure(2 * size, rounds, scratch)
    for template in _count.TEMPLATES:
        yield "count", lambda template=template: _count.measure(size // 2, rounds, template)
    for rows in (2_000,) if quick else (200_000, 1_000_000):
        for as_json in (False, True):
            yield (
                "join",
                lambda rows=rows, as_json=as_json: _join.measure(rows, rounds, as_json=as_json),
            )
    yield "transfers", lambda: _transfers.measure(size, rounds, scratch)
    files = (5, 10, 20) if quick else (20, 80, 320, 2_000)
    yield "submit", lambda: _submit.measure(files, min(rounds, 3), scratch)
    sizes = (500, 1_000, 2_000) if quick else (10_000, 100_000, 1_000_000)
    yield "whole", lambda: _whole.measure(sizes, scratch)
    yield "memory", lambda: _children.memory((2_000,) if quick else (1_000_000, 3_000_000))


def _format(section: Section) -> Iterator[str]:
    yield f"\n{section.title}"
    for name, time_ in section.seconds.items():
        yield f"  {name:<52} {time_.wall:9.3f} s   cpu {time_.cpu:9.3f} s"
    for ratio in section.ratios:
        yield f"  {ratio.name:<52} {ratio.wall:9.2f}     cpu {ratio.cpu:9.2f}     {_target(ratio)}"
    yield from (f"  {note}" for note in section.notes)


def _target(ratio: Ratio) -> str:
    bounds = [f"at most {ratio.at_most:g}"] if ratio.at_most is not None else []
    bounds += [f"at least {ratio.at_least:g}"] if ratio.at_least is not None else []
    return f"{', '.join(bounds)}: {'yes' if ratio.holds else 'NO'}" if bounds else ""


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
