"""Benchmark of building input files from a DataFrame.

One baseline encodes the same bodies from dicts with msgspec and writes them with fsync; the other
uses ``iterrows`` and ``json.dumps`` on a tenth of the rows.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Final

import msgspec

from batchframe._requests.custom_ids import custom_id
from batchframe._requests.input_files import plan_input_files, write_inputs
from batchframe._services.provider import OPENAI
from batchframe._store.rows import rows_of, write_rows
from benchmarks._data import reviews
from benchmarks._jobs import table_of
from benchmarks._measure import Runs, Section

_PART: Final = 10


def measure(rows: int, rounds: int, scratch: Path) -> Section:
    """Time batchframe and the two baselines."""
    frame = reviews(rows)
    part = frame.head(rows // _PART)
    folder = scratch / "build"
    table = table_of(frame)
    lines = [msgspec.json.decode(line) for line in table.lines()]
    sample = lines[0]

    def ours(_: int) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        requests = table_of(frame)
        input_files = plan_input_files(requests, OPENAI)
        paths = [folder / f"input-{number:03d}.jsonl" for number in range(len(input_files))]
        list(write_inputs(requests, input_files, paths, OPENAI))
        write_rows(rows_of(requests), folder / "rows.parquet")

    def encoder(_: int) -> None:
        encode = msgspec.json.Encoder().encode
        with (scratch / "encoded.jsonl").open("wb") as file:
            for line in lines:
                file.write(encode(line))
                file.write(b"\n")
            file.flush()
            os.fsync(file.fileno())

    def naive(_: int) -> None:
        with (scratch / "naive.jsonl").open("w", encoding="utf-8") as file:
            for number, (_, row) in enumerate(part.iterrows()):
                file.write(json.dumps(_fill(sample, number, row["text"])) + "\n")

    runs = Runs({"batchframe": ours, "encode and write": encoder, "iterrows": naive}, rounds)
    size = sum(path.stat().st_size for path in folder.glob("*.jsonl"))
    return Section(
        f"build, {rows:,} rows",
        runs.medians,
        [
            runs.ratio("build / encode and write", "batchframe", "encode and write", at_most=2.0),
            runs.ratio(
                "iterrows + json.dumps / build", "iterrows", "batchframe", at_least=5.0, scale=_PART
            ),
        ],
        [f"{size / rows:.0f} bytes a line; iterrows ran on a tenth of the rows"],
    )


def _fill(sample: dict[str, Any], number: int, text: str) -> dict[str, Any]:
    body = dict(sample["body"])
    body["messages"] = [
        {"role": "user", "content": f"Classify the sentiment of this review.\n\n{text}"}
    ]
    return {**sample, "custom_id": custom_id("0" * 8, number, b""), "body": body}
