"""What needs a process of its own: peak memory, and the time of an import.

As ``python -m benchmarks._children build 1000000`` it is such a process, and prints one number.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pyarrow as pa

from benchmarks._measure import Ratio, Section, Took

_MEGA: Final = 1e6
_MOST_ABOVE: Final = 500.0
_A_ROW: Final = 100.0
_IMPORT: Final = 0.3
_LOOK: Final = 0.005
_NO_BYTECODE: Final = "PYTHONDONTWRITEBYTECODE"


def memory(sizes: Sequence[int]) -> Section:
    """Measure what building input files and estimating take above the frame, at the peak."""
    above = {rows: _child("build", rows) for rows in sizes}
    notes = [
        f"{rows:,} rows: {bytes_ / _MEGA:.0f} MB above the frame" for rows, bytes_ in above.items()
    ]
    first, last = min(sizes), max(sizes)
    ratios = [
        Ratio(
            f"MB above the frame, {first:,} rows", *[above[first] / _MEGA] * 2, at_most=_MOST_ABOVE
        )
    ]
    if last > first:
        each = (above[last] - above[first]) / (last - first)
        ratios.append(Ratio(f"bytes a row, {first:,} to {last:,} rows", each, each, at_most=_A_ROW))
    return Section("memory: DataFrame to input files and estimate", {}, ratios, notes)


def importing(rounds: int) -> Section:
    """Measure how much longer importing batchframe takes than importing pandas, in turn."""
    took: dict[str, list[float]] = {"pandas": [], "pandas, batchframe": []}
    # As it is once installed: compiled, whatever this process was told about writing bytecode.
    compiled = {name: told for name, told in os.environ.items() if name != _NO_BYTECODE}
    for _ in range(rounds + 1):
        for modules, runs in took.items():
            begun = time.perf_counter()
            command = [sys.executable, "-c", f"import {modules}"]
            subprocess.run(command, check=True, env=compiled)  # noqa: S603 - ours
            runs.append(time.perf_counter() - begun)
    medians = {name: statistics.median(runs[1:]) for name, runs in took.items()}
    more = medians["pandas, batchframe"] - medians["pandas"]
    seconds = {f"import {name}": Took(wall, wall) for name, wall in medians.items()}
    return Section(
        "import",
        seconds,
        [Ratio("seconds above pandas", more, more, at_most=_IMPORT)],
    )


def _child(task: str, rows: int) -> float:
    command = [sys.executable, "-m", "benchmarks._children", task, str(rows)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - ours
    return float(done.stdout.split()[-1])


def _build(rows: int) -> float:
    """Return the bytes that building and estimating took above the frame, at the peak."""
    # Loaded before the frame is measured, with what every first call loads.
    from benchmarks._data import reviews  # noqa: PLC0415 - the parent must not load them
    from benchmarks._jobs import table_of  # noqa: PLC0415

    def use(rows: int) -> None:
        from batchframe import requests  # noqa: PLC0415
        from benchmarks._data import LABELS, MODEL, PROMPT  # noqa: PLC0415

        made = requests(frames[rows], PROMPT, model=MODEL, output=LABELS)
        with tempfile.TemporaryDirectory() as folder:
            made.to_jsonl(Path(folder) / "files")
        made.estimate(exact=True)

    frames = {100: reviews(100), rows: reviews(rows)}
    table_of(frames[100])
    use(100)
    _release()
    before = _resident()
    with _watched() as peak:
        use(rows)
    return max(peak) - before


def _release() -> None:
    """Give back what making the frame left behind: it would hide what is taken afterwards."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    with suppress(OSError, AttributeError):  # where the C library is another
        ctypes.CDLL("libc.so.6").malloc_trim(0)


@contextmanager
def _watched() -> Iterator[list[float]]:
    """Look at the memory in use every few milliseconds: not every system tells its peak."""
    seen, over = [_resident()], threading.Event()

    def look() -> None:
        while not over.wait(_LOOK):
            seen[0] = max(seen[0], _resident())

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield seen
    finally:
        over.set()
        looking.join()


def _resident() -> float:
    """Return the bytes in use: the second number of /proc/self/statm, in pages."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return float(pages) * resource.getpagesize()


if __name__ == "__main__":
    print({"build": _build}[sys.argv[1]](int(sys.argv[2])))
