"""Measure a state folder with many jobs (python -m benchmarks._home).

Each operation runs three times in a new process; the first run reads every folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

import pandas as pd

import batchframe as bf
import batchframe.local


def requests(texts: list[str]) -> bf.Requests:
    """Make requests from one prompt and some strings."""
    return pd.DataFrame({"text": texts}).bf.requests("{{ text }}", model="gpt-4.1")


OPERATIONS = {
    "estimate()": lambda: requests([f"new {i}" for i in range(20)]).estimate(),
    "bf.jobs()": bf.jobs,
    "bf.job(name)": lambda: bf.job("job 3"),
}


def main(number: int) -> None:
    """Make the jobs, and measure each operation in a separate process."""
    with tempfile.TemporaryDirectory() as home, batchframe.local.serve() as server:
        os.environ |= {
            "BATCHFRAME_HOME": home, "OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "local"
        }  # fmt: skip
        for job in range(number):
            texts = [f"text {job} {i}" for i in range(20)]
            requests(texts).submit(f"job {job}").wait(poll=0.05)
        for name in OPERATIONS:
            subprocess.run([sys.executable, "-m", "benchmarks._home", name], check=True)  # noqa: S603 - this file


def measure(name: str) -> None:
    """Print the CPU and wall time of three runs."""
    for run in ("first", "second", "third"):
        cpu, wall = time.process_time(), time.perf_counter()
        OPERATIONS[name]()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        print(f"{name}, {run} run: {cpu:.3f} CPU s, {wall:.3f} s")


if __name__ == "__main__":
    argument = sys.argv[1]
    main(int(argument)) if argument.isdigit() else measure(argument)
