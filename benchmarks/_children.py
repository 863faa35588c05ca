"""Benchmarks that need a separate process: peak memory and import time.

``python -m benchmarks._children build 1000000`` runs such a process, which prints one number.
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
_INTERVAL: Final = 0.005
_NO_BYTECODE: Final = "PYTHONDONTWRITEBYTECODE"


def memory(sizes: Sequence[int]) -> Section:
    """Measure the peak memory of building and estimating, above the frame's."""
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
    """Measure the import time of batchframe above that of pandas."""
    times: dict[str, list[float]] = {"pandas": [], "pandas, batchframe": []}
    # An installed package has bytecode, so the child process may write it.
    environment = {name: value for name, value in os.environ.items() if name != _NO_BYTECODE}
    for _ in range(rounds + 1):
        for modules, runs in times.items():
            start = time.perf_counter()
            command = [sys.executable, "-c", f"import {modules}"]
            subprocess.run(command, check=True, env=environment)  # noqa: S603 - ours
            runs.append(time.perf_counter() - start)
    medians = {name: statistics.median(runs[1:]) for name, runs in times.items()}
    more = medians["pandas, batchframe"] - medians["pandas"]
    seconds = {f"import {name}": Took(wall, wall) for name, wall in medians.items()}
    return Section(
        "import",
        seconds,
        [Ratio("seconds above pandas", more, more, at_most=_IMPORT)],
    )


def _child(task: str, rows: int) -> float:
    command = [sys.executable, "-m", "benchmarks._children", task, str(rows)]
    child = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - ours
    return float(child.stdout.split()[-1])


def _build(rows: int) -> float:
    """Return the peak memory of building and estimating, in bytes."""
    # Importing before the measurement excludes the memory of the modules.
    from benchmarks._data import reviews  # noqa: PLC0415 - the parent must not load them
    from benchmarks._jobs import table_of  # noqa: PLC0415

    def use(rows: int) -> None:
        from batchframe import requests  # noqa: PLC0415
        from benchmarks._data import LABELS, MODEL, PROMPT  # noqa: PLC0415

        prepared = requests(frames[rows], PROMPT, model=MODEL, output=LABELS)
        with tempfile.TemporaryDirectory() as folder:
            prepared.to_jsonl(Path(folder) / "files")
        prepared.estimate(exact=True)

    frames = {100: reviews(100), rows: reviews(rows)}
    table_of(frames[100])
    use(100)
    _release()
    before = _resident()
    with _peak_memory() as peak:
        use(rows)
    return max(peak) - before


def _release() -> None:
    """Return unused memory to the system; reusing it would not be measured."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    with suppress(OSError, AttributeError):  # other C libraries lack malloc_trim
        ctypes.CDLL("libc.so.6").malloc_trim(0)


@contextmanager
def _peak_memory() -> Iterator[list[float]]:
    """Sample the memory use, since not every system reports its peak."""
    peak, stop = [_resident()], threading.Event()

    def sample() -> None:
        while not stop.wait(_INTERVAL):
            peak[0] = max(peak[0], _resident())

    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    try:
        yield peak
    finally:
        stop.set()
        sampler.join()


def _resident() -> float:
    """Return the resident memory in bytes, from /proc/self/statm."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return float(pages) * resource.getpagesize()


if __name__ == "__main__":
    print({"build": _build}[sys.argv[1]](int(sys.argv[2])))
