"""The exact input tokens of a whole frame.

Held against a loop of ``tiktoken.encode_ordinary`` over every rendered prompt, with equal counts on
every row. Each round counts texts that no round before it saw.
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
"""tiktoken's name for its copy of the vocabulary."""
_RULES: Final = " ".join(
    f"Rule {number}: weigh what the guest says about the {what} before anything else."
    for number, what in enumerate(("room", "food", "staff", "price", "noise", "bed") * 6, start=1)
)
TEMPLATES: Final = {"short": PROMPT, "long": f"{_RULES}\n\n{PROMPT}"}


def measure(rows: int, rounds: int, template: str) -> Section:
    """Time splintr-rs and tiktoken inside batchframe, and the plain loop."""
    judge = _tiktoken()
    asked = [_asked(rows, number, template) for number in range(rounds)]
    for engine in ("splintr", "tiktoken"):  # their vocabularies are loaded before
        with _only(engine):
            count_input(_asked(64, rounds, template)[1], exact=True)
    counts: dict[str, list[Any]] = {"fast": [], "tiktoken": [], "loop": []}

    def fast(number: int) -> None:
        with _only("splintr"):
            counts["fast"].append((number, count_input(asked[number][1], exact=True).tokens))

    def alone(number: int) -> None:
        with _only("tiktoken"):
            counts["tiktoken"].append((number, count_input(asked[number][1], exact=True).tokens))

    def loop(number: int) -> None:
        encode = judge.encode_ordinary
        counts["loop"].append((number, [len(encode(prompt)) for prompt in asked[number][0]]))

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
        [_compared(counts)],
    )


def _asked(rows: int, seed: int, template: str) -> tuple[list[str], RequestTable]:
    frame: pd.DataFrame = reviews(rows, seed=100 + seed)
    prompt = TEMPLATES[template]
    prompts = [prompt.replace("{{ text }}", text) for text in frame["text"]]
    return prompts, bf.requests(frame, prompt, model=MODEL, output=LABELS)._table  # noqa: SLF001


def _compared(counts: dict[str, list[Any]]) -> str:
    """Say whether every row has the loop's count, and how many on top, the same in all."""
    loops = dict(counts["loop"])
    around = {
        int(extra)
        for way in ("fast", "tiktoken")
        for number, tokens in counts[way]
        for extra in np.unique(tokens - np.array(loops[number]))
    }
    rows = sum(map(len, loops.values()))
    if len(around) != 1:
        return f"COUNTS DIFFER: besides the prompt, rows have {sorted(around)} tokens"
    return f"equal counts on all {rows:,} rows, and {around.pop()} tokens around each prompt"


@contextmanager
def _only(engine: str) -> Iterator[None]:
    if engine == "splintr":
        yield
    else:
        with mock.patch.object(engines, "_load_splintr", side_effect=ImportError):
            yield


def _tiktoken() -> Any:
    """Load tiktoken, from splintr's vocabulary so that nothing is downloaded."""
    import tiktoken  # noqa: PLC0415 - slow to load, and not needed by the other subjects

    with tempfile.TemporaryDirectory(prefix="batchframe-benchmark-") as folder:
        Path(folder, _CACHED).write_bytes(of_splintr(_ENCODING))
        os.environ["TIKTOKEN_CACHE_DIR"] = folder  # of this process alone
        return tiktoken.get_encoding(_ENCODING)
