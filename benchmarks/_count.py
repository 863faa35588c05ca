"""Benchmark of the exact input token count of a DataFrame.

The baseline is a loop of ``tiktoken.encode_ordinary`` over every rendered prompt, whose counts must
be equal on every row. Each round uses new texts, so that caches do not help.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from unittest import mock

import numpy as np
import pandas as pd

import batchframe as bf
from batchframe._estimate.counting import count_input
from batchframe._requests.table import RequestTable
from batchframe._tokens import engines
from benchmarks._data import LABELS, MODEL, PROMPT, reviews
from benchmarks._measure import Runs, Section
from benchmarks._vocabulary import of_splintr

_ENCODING: Final = "o200k_base"
_CACHED: Final = "fb374d419588a4632f3f557e76b4b70aebbca790"
"""File name of the vocabulary in tiktoken's cache."""
_RULES: Final = " ".join(
    f"Rule {number}: weigh what the guest says about the {what} before anything else."
    for number, what in enumerate(("room", "food", "staff", "price", "noise", "bed") * 6, start=1)
)
TEMPLATES: Final = {"short": PROMPT, "long": f"{_RULES}\n\n{PROMPT}"}


def measure(rows: int, rounds: int, template: str) -> Section:
    """Time batchframe with splintr-rs and with tiktoken, and the plain loop."""
    encoding = _tiktoken()
    inputs = [_inputs(rows, number, template) for number in range(rounds)]
    for engine in ("splintr", "tiktoken"):  # loads the vocabularies before timing
        with _only(engine):
            count_input(_inputs(64, rounds, template)[1], exact=True)
    counts: dict[str, list[Any]] = {"fast": [], "tiktoken": [], "loop": []}

    def fast(number: int) -> None:
        with _only("splintr"):
            counts["fast"].append((number, count_input(inputs[number][1], exact=True).tokens))

    def alone(number: int) -> None:
        with _only("tiktoken"):
            counts["tiktoken"].append((number, count_input(inputs[number][1], exact=True).tokens))

    def loop(number: int) -> None:
        encode = encoding.encode_ordinary
        counts["loop"].append((number, [len(encode(prompt)) for prompt in inputs[number][0]]))

    ways = {"batchframe[fast]": fast, "batchframe, tiktoken alone": alone, "tiktoken loop": loop}
    runs = Runs(ways, rounds)
    name = f"{template} template"
    return Section(
        f"count, {rows:,} rows, {name}",
        runs.medians,
        [
            runs.ratio(
                f"tiktoken loop / count, {name}", "tiktoken loop", "batchframe[fast]", at_least=5.0
            ),
            runs.ratio(
                f"tiktoken loop / count with tiktoken alone, {name}",
                "tiktoken loop",
                "batchframe, tiktoken alone",
                at_least=1.0,
            ),
        ],
        [_compare(counts)],
    )


def _inputs(rows: int, seed: int, template: str) -> tuple[list[str], RequestTable]:
    frame: pd.DataFrame = reviews(rows, seed=100 + seed)
    prompt = TEMPLATES[template]
    prompts = [prompt.replace("{{ text }}", text) for text in frame["text"]]
    return prompts, bf.requests(frame, prompt, model=MODEL, output=LABELS)._table  # noqa: SLF001


def _compare(counts: dict[str, list[Any]]) -> str:
    """Return a note on whether all counts equal the loop's, plus a constant."""
    loops = dict(counts["loop"])
    extras = {
        int(extra)
        for way in ("fast", "tiktoken")
        for number, tokens in counts[way]
        for extra in np.unique(tokens - np.array(loops[number]))
    }
    rows = sum(map(len, loops.values()))
    if len(extras) != 1:
        return f"COUNTS DIFFER: besides the prompt, rows have {sorted(extras)} tokens"
    return f"equal counts on all {rows:,} rows, and {extras.pop()} tokens around each prompt"


@contextmanager
def _only(engine: str) -> Iterator[None]:
    if engine == "splintr":
        yield
    else:
        with mock.patch.object(engines, "_load_splintr", side_effect=ImportError):
            yield


def _tiktoken() -> Any:
    """Load tiktoken with splintr's vocabulary, to avoid a download."""
    import tiktoken  # noqa: PLC0415 - slow to load, and not needed by the other subjects

    with tempfile.TemporaryDirectory(prefix="batchframe-benchmark-") as folder:
        Path(folder, _CACHED).write_bytes(of_splintr(_ENCODING))
        os.environ["TIKTOKEN_CACHE_DIR"] = folder  # for this process only
        return tiktoken.get_encoding(_ENCODING)
