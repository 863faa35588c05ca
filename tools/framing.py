"""Fit the local server's framing table to recorded usage.

``python -m tools.framing RECORDINGS`` reads requests with the tokens that were billed (JSON lines,
compressed) and writes ``batchframe/local/_answers/framing.toml``. Each constant is the integer that
makes most recordings exact. Nothing of batchframe's own counting is used.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from batchframe.local._answers import billing
from batchframe.local._answers.tokenizer import count

TABLE: Final = Path(billing.__file__).with_name("framing.toml")
Row = Mapping[str, Any]


# The first pattern that fits the start of a model's name applies.
FAMILIES: Final = {
    "cl100k": (
        r"(gpt-4|gpt-3\.5|gpt-35|text-embedding|davinci|babbage)(?![a-z0-9.])",
        "cl100k_base",
    ),
    "o-series": (r"(o[134]|codex)(?![a-z0-9])", "o200k_base"),
    "gpt-5": (r"gpt-5(?!\.)(?![a-z0-9])(?!.*chat)", "o200k_base"),
    "gpt-5.x": (r"gpt-(5\.|[6-9])", "o200k_base"),
    "plain": (r"", "o200k_base"),
}
# OpenAI's guide "Images and vision", 2026-11: base and tile, or most patches and factor.
IMAGES: Final = {
    r"gpt-4o-mini": "2833 + 5667",
    r"(gpt-4\.1|gpt-5)-mini": "1536 * 1.62",
    r"(gpt-4\.1|gpt-5)-nano": "1536 * 2.46",
    r"o4-mini": "1536 * 1.72",
    r"o[13]": "75 + 150",
    r"gpt-5(?!\.)": "70 + 140",
    r"gpt-(5\.|[6-9])": "2500 * 1",
    r"": "85 + 170",
}
ENDPOINTS: Final = (billing.CHAT, billing.RESPONSES)
# Keywords that a schema may be billed without, those of one idea together; the fit decides.
KEYWORDS: Final = (
    ("required",), ("additionalProperties",), ("default",), ("minimum", "maximum"),
    ("minItems", "maxItems"), ("title",), ("description",),
)  # fmt: skip
# Few recordings have these keywords, so they are omitted unless that makes fewer recordings exact.
VALIDATION: Final = (
    "$schema", "minLength", "maxLength", "exclusiveMinimum", "exclusiveMaximum", "pattern",
    "format", "multipleOf", "uniqueItems", "minProperties", "maxProperties",
)  # fmt: skip
# Constants by kind of request, in the order of fitting: what an earlier kind fits is kept.
STEPS: Final = {
    "text": {"message": (2, 6), "answer": (0, 4), "reply": (0, 6)},
    "schema": {
        "schema": (-4, 10),
        "schema_names": (0, 1),
        "schema_bare": (0, 6),
        "schema_answer": (0, 4),
        "schema_answer_names": (0, 1),
    },
    "tools": {
        "tools": (-8, 95),
        "tools_bare": (0, 5),
        "object_bare": (-2, 1),
        "object_commented": (-2, 1),
        "forced": (0, 12),
        "forced_names": (0, 1),
    },
    "tools+format": {"schema_with_tools": (-8, 8)},
    "tool history": {"call": (0, 20), "result": (0, 20)},
}
# Constants of a kind with fewer recordings than this are those of the first of these families.
FEWEST: Final = 2
LIKE: Final = {
    "plain": ("plain",),
    "cl100k": ("cl100k", "plain"),
    "o-series": ("o-series", "gpt-5", "gpt-5.x", "plain"),
    "gpt-5": ("gpt-5", "gpt-5.x", "plain"),
    "gpt-5.x": ("gpt-5.x", "gpt-5", "plain"),
}
# Cells without recordings here, as other recordings report them.
_REPORTED: Final = {
    "schema": 0,
    "schema_names": 0,
    "schema_bare": 4,
    "schema_answer": 2,
    "schema_answer_names": 1,
}
REPORTED: Final = {
    (family, billing.CHAT, "schema"): (_REPORTED, 3) for family in ("gpt-5", "gpt-5.x")
}
REPORTED_ANSWERS: Final = {("gpt-5.x", billing.CHAT): ({"text": 3}, 5)}
ANSWERS: Final = ("text", "tools", "schema", "call", "calls")
# Among equally good fits, the one nearest to these constants of most models is chosen.
USUAL: Final = {"message": 4, "reply": 3, "object_bare": -1, "object_commented": 1}
WEIGHTS: Final = {"message": 10}
PLAIN: Final = ("plain", "cl100k")
FORCED: Final = ("forced", "forced_names")
OBJECTS: Final = {name: USUAL[name] for name in ("object_bare", "object_commented")}
FACTORS: Final = {"schema": 0, "calls": 6}
FACTOR_NAMES: Final = {"schema": "schema_names", "calls": "each"}
# Fewer recordings than this do not decide how objects in tools are written.
MANY: Final = 15
_HEADER: Final = """\
# Framing tokens that the local server bills in addition to text, by model family and endpoint.
# Written by `python -m tools.framing`, fitted to {rows:,} recorded requests; do not edit. Only
# batchframe/local reads it. `recordings` is the number of recordings of each kind, and `exact` the
# number that the constants reproduce exactly; other kinds have the constants of a similar family.
as_of = {as_of}
dropped = {dropped}
"""


@dataclass
class Fit:
    """Constants of a cell, with the number of recordings by kind."""

    constants: dict[str, int] = field(default_factory=dict)
    recordings: dict[str, int] = field(default_factory=dict)
    exact: dict[str, int] = field(default_factory=dict)

    def take(self, kind: str, constants: Mapping[str, int], number: int, exact: int | None) -> None:
        """Add the constants of a kind."""
        self.constants |= constants
        self.recordings[kind] = number
        if exact is not None:
            self.exact[kind] = exact


def rows_of(path: Path) -> list[Row]:
    """Read recordings with their billed tokens."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [_usage(json.loads(line)) for line in lines]


def _usage(row: dict[str, Any]) -> Row:
    usage = row["usage"]
    details = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
    output = usage.get("completion_tokens", usage.get("output_tokens")) or 0
    return {
        **row,
        "body": {**row["request"], "model": row["model"]},
        "family": _family(row["model"]),
        "input": usage.get("prompt_tokens", usage.get("input_tokens")),
        "output": output - (details.get("reasoning_tokens") or 0),
        "reasoned": bool(details.get("reasoning_tokens")),
    }


def _family(model: str) -> billing.Family:
    name = next(name for name, (models, _) in FAMILIES.items() if re.match(models, model))
    images = next(rates for models, rates in IMAGES.items() if re.match(models, model))
    return billing.Family(name, FAMILIES[name][1], images)


def _measures(row: Row, dropped: Iterable[str]) -> billing.Measures:
    return billing.measures(row["body"], row["endpoint"], row["family"], frozenset(dropped))


def fitted(
    rows: Sequence[Row],
    given: Mapping[str, int],
    free: Mapping[str, tuple[int, int]],
    dropped: Iterable[str] = (),
    near: Mapping[str, int] = USUAL,
) -> tuple[dict[str, int], int]:
    """Return the constants that make most rows exact, and how many these are."""
    measured = [_measures(row, dropped) for row in rows]
    rest = np.array(
        [
            row["input"] - one.tokens - billing.framing(one, given)
            for row, one in zip(rows, measured, strict=True)
        ]
    )
    counts = np.array([[one.counts.get(name, 0) for name in free] for one in measured])
    scores: dict[tuple[int, ...], tuple[int, int, float]] = {}
    usual = [near.get(name, 0) for name in free]
    for values in itertools.product(*(range(low, high + 1) for low, high in free.values())):
        errors = rest - counts @ np.array(values)
        # Among equals, the constants nearest to the usual ones.
        distance = sum(
            WEIGHTS.get(name, 1) * abs(value - other)
            for name, value, other in zip(free, values, usual, strict=True)
        )
        score = int((errors == 0).sum()), -distance, -float(np.abs(errors).clip(max=20).sum())
        scores[values] = score
    best = max(scores, key=scores.__getitem__)
    return dict(zip(free, best, strict=True)), scores[best][0]


def unbilled_keywords(
    rows: Sequence[Row], constants: Mapping[tuple[str, str], Mapping[str, int]]
) -> list[str]:
    """Return the keywords to omit so that most schemas are exact."""
    cells = _cells(rows)

    def exact(dropped: Iterable[str]) -> int:
        return sum(
            fitted(cell, constants[key], STEPS["schema"], dropped)[1] for key, cell in cells.items()
        )

    dropped: list[str] = []
    best = 0
    while True:
        trials = [
            (exact([*dropped, *words]), words) for words in KEYWORDS if words[0] not in dropped
        ]
        found, words = max(trials)
        if found <= best:
            break
        best, dropped = found, [*dropped, *words]
    return [*dropped, *(word for word in VALIDATION if exact([*dropped, word]) >= best)]


def _cells(rows: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    cells: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        cells.setdefault((row["family"].name, row["endpoint"]), []).append(row)
    return cells


def input_table(rows: Sequence[Row], dropped: Sequence[str]) -> dict[tuple[str, str], Fit]:
    """Fit the constants of each family and endpoint, one kind at a time."""
    table = {cell: Fit() for cell in itertools.product(LIKE, ENDPOINTS)}
    for kind, free in STEPS.items():
        cells = _cells(row for row in rows if row["kind"] == kind)
        for cell, of_cell in cells.items():
            if len(of_cell) >= FEWEST:
                # Constants of earlier kinds that this cell lacks are needed first.
                few = OBJECTS if len(of_cell) < MANY and kind == "tools" else {}
                seen = {
                    name
                    for row in of_cell
                    for name, number in _measures(row, dropped).counts.items()
                    if number
                }
                open_ = {name: ends for name, ends in free.items() if name in seen - few.keys()}
                known = {**_filled(table, cell), **few}
                known = {name: value for name, value in known.items() if name not in open_}
                found, exact = fitted(of_cell, known, open_, dropped)
                table[cell].take(kind, {**few, **found}, len(of_cell), exact)
        for (family, endpoint, reported), (constants, number) in REPORTED.items():
            fit = table[family, endpoint]
            if reported == kind and kind not in fit.recordings:
                fit.take(kind, constants, number, None)
    return {cell: replace(fit, constants=_filled(table, cell)) for cell, fit in table.items()}


def _filled(table: Mapping[tuple[str, str], Fit], cell: tuple[str, str]) -> dict[str, int]:
    """Return a cell's constants; similar families provide missing ones."""
    family, endpoint = cell
    found: dict[str, int] = {}
    for like in LIKE[family]:
        found = {**table[like, endpoint].constants, **found}
    if family in PLAIN:
        # A forced call was recorded of these models on one endpoint only.
        return {**table["plain", billing.CHAT].constants, **found}
    own = table[cell].constants
    return {name: value for name, value in found.items() if name not in FORCED or name in own}


def output_table(rows: Sequence[Row]) -> dict[tuple[str, str], Fit]:
    """Fit the tokens billed for an answer besides its text and reasoning."""
    measured = [(row, found) for row in rows if (found := _answer(row)) is not None]
    table = {cell: Fit() for cell in itertools.product(LIKE, ENDPOINTS)}
    for cell, fit in table.items():
        of_cell = [
            found for row, found in measured if (row["family"].name, row["endpoint"]) == cell
        ]
        for kind in ANSWERS:
            answers = [(rest, number) for found, rest, number in of_cell if found == kind]
            if len(answers) >= FEWEST:
                constant, factor, exact = _linear(answers, FACTORS.get(kind))
                extra = {FACTOR_NAMES[kind]: factor} if kind in FACTORS else {}
                if constant >= 0:  # otherwise a few answers hide calls or reasoning
                    fit.take(kind, {kind: constant, **extra}, len(answers), exact)
        if cell in REPORTED_ANSWERS:
            fit.take("text", *REPORTED_ANSWERS[cell], None)
    return {cell: replace(fit, constants=_extended(table, cell)) for cell, fit in table.items()}


def _answer(row: Row) -> tuple[str, int, int] | None:
    """Return the kind of an answer, its framing tokens, and names or calls."""
    answer, encoding = row["answer"], row["family"].encoding
    if not isinstance(answer, dict) or not row["output"]:
        return None
    calls = [call.get("function", call) for call in answer.get("tool_calls") or ()]
    text = answer.get("text") or answer.get("refusal") or ""
    stopped = answer.get("finish_reason") in {"length", "incomplete", "max_output_tokens"}
    if bool(calls) == bool(text) or stopped:
        return None
    texts = [text, *(str(call.get(key, "")) for call in calls for key in ("name", "arguments"))]
    rest = row["output"] - sum(count(one, encoding) for one in texts)
    if calls:
        return ("call" if len(calls) == 1 else "calls"), rest, len(calls)
    spec, body = billing.format_of(row["body"]), row["body"]
    if spec is not None:
        return "schema", rest, count(str(spec.get("name")), encoding)
    return ("tools" if body.get("tools") or body.get("functions") else "text"), rest, 0


def _linear(answers: Sequence[tuple[int, int]], usual: int | None) -> tuple[int, int, int]:
    """Return the most frequent constant and factor, and their frequency."""
    trials = [
        (factor, *Counter(rest - factor * number for rest, number in answers).most_common(1)[0])
        for factor in ((0,) if usual is None else range(12))
    ]
    best = max(trials, key=lambda trial: (trial[2], -abs(trial[0] - (usual or 0))))
    factor, constant, exact = best
    return constant, factor, exact


def _extended(table: Mapping[tuple[str, str], Fit], cell: tuple[str, str]) -> dict[str, int]:
    """Extend a cell's text frame to other kinds, as in a similar cell."""
    family, endpoint = cell
    extended = dict(table[cell].constants)
    others = [(like, place) for like in LIKE[family] for place in (endpoint, *ENDPOINTS)]
    for kind in ANSWERS:
        for like in others:
            known = table[like].constants
            if kind in known and kind not in extended and "text" in known:
                beyond = 0 if kind == "text" else extended["text"] - known["text"]
                extended[kind] = known[kind] + beyond
                extra = FACTOR_NAMES.get(kind)
                extended |= {extra: known[extra]} if extra else {}
    return extended


def written(rows: Sequence[Row], as_of: date) -> str:
    """Return the table as TOML."""
    framed = [row for row in rows if row["endpoint"] in ENDPOINTS and row["input"]]
    text = [row for row in framed if row["kind"] == "text"]
    schemas = [row for row in framed if row["kind"] == "schema"]
    known = {cell: fitted(of_cell, {}, STEPS["text"])[0] for cell, of_cell in _cells(text).items()}
    usual = {cell: known.get(cell, USUAL) for cell in itertools.product(LIKE, ENDPOINTS)}
    dropped = unbilled_keywords(schemas, usual)
    lines = [_HEADER.format(rows=len(rows), as_of=as_of, dropped=json.dumps(dropped))]
    for name, (models, encoding) in FAMILIES.items():
        lines.append(
            f'[[family]]\nname = "{name}"\nmodels = \'{models}\'\nencoding = "{encoding}"\n'
        )
    lines += [
        f"[[images]]\nmodels = '{models}'\nrates = \"{rates}\"\n"
        for models, rates in IMAGES.items()
    ]
    for side, table in (("input", input_table(framed, dropped)), ("output", output_table(framed))):
        lines += [_toml(side, *cell, fit) for cell, fit in table.items()]
    return "\n".join(lines)


def _toml(side: str, family: str, endpoint: str, fit: Fit) -> str:
    def inline(values: Mapping[str, object]) -> str:
        inner = ", ".join(f'"{key}" = {value}' for key, value in values.items())
        return f"{{ {inner} }}" if inner else "{}"

    return (
        f'[[{side}]]\nfamily = "{family}"\nendpoint = "{endpoint}"\n'
        f"constants = {inline(fit.constants)}\n"
        f"recordings = {inline(fit.recordings)}\nexact = {inline(fit.exact)}\n"
    )


def main() -> None:
    """Write the table from the recordings named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", type=Path)
    rows = rows_of(parser.parse_args().recordings)
    TABLE.write_text(written(rows, datetime.now(UTC).date()), encoding="utf-8")


if __name__ == "__main__":
    main()
