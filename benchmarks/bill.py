"""``python -m benchmarks.bill``: compare token counts with billed tokens.

Reads the recorded requests of ``recordings.jsonl.gz`` in the folder ``data`` of BATCHFRAME_SHARED,
and prints how close the counts of `bf.count_tokens` are. Some constants of the counting rules were
fitted to these recordings, so they are also scored with constants fitted to the recordings of other
owners.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from batchframe import TokenCount, count_tokens
from batchframe._tokens.framing import other_state
from benchmarks._answers import RecordedAnswer, answer_table, recorded_answers
from benchmarks._fit import FITTED_KINDS, Sample, fit, sample, shift
from benchmarks._recordings import Recording, recordings, shared_data

KINDS: Final = {
    "text": "text",
    "schema": "schema",
    "json_object": "JSON mode",
    "tools": "tools",
    "tools+format": "tools and schema",
    "tool history": "tool history",
    "images": "images",
    "embeddings": "embeddings",
    "completions": "completions",
    "hosted tools": "hosted tools",
    "files/audio": "files, audio",
    "stored prompt": "stored prompts",
}
MEASURES: Final = ("n", "exact", "within 3", "in range", "total error", "width", "claims right")
_HELD_OUT: Final = ("exact, held out",)
_NEAR: Final = 3
_PAGE: Final = Path(__file__).parents[1] / "docs" / "accuracy.md"
_START: Final = "<!-- python -m benchmarks.bill --write -->\n"


@dataclass(frozen=True)
class Scored:
    """A recording, its count, and the tokens counted beyond the billed ones."""

    recording: Recording
    count: TokenCount
    off: int

    @property
    def is_inside(self) -> bool:
        """Whether the billed tokens lie in the stated range."""
        more = math.inf if self.count.more is None else self.count.more
        return -more <= self.off <= self.count.fewer

    @property
    def has_two_states(self) -> bool:
        """Whether requests of this model and endpoint were recorded in two states."""
        return other_state(self.recording.body["model"], self.recording.endpoint) is not None

    @property
    def width(self) -> float:
        """Width of the stated range relative to the count; may be infinite."""
        more = math.inf if self.count.more is None else self.count.more
        return (self.count.fewer + more) / max(self.count.tokens, 1)


def score(recorded: Iterable[Recording]) -> list[Scored]:
    """Count recorded requests."""
    counts = ((one, count_tokens(one.body, endpoint=one.endpoint)) for one in recorded)
    return [Scored(one, count, count.tokens - one.billed) for one, count in counts]


def score_held_out(recorded: Iterable[Recording]) -> list[Scored]:
    """Count requests of each owner with constants fitted to the other owners'.

    A request is left out if only its own owner's requests show a constant that it needs.
    """
    fitted = [one for one in recorded if one.kind in FITTED_KINDS]
    samples = [sample(one) for one in fitted]
    scored: list[Scored] = []
    for owner in sorted({one.owner for one in fitted}):
        changes = fit([other for other in samples if other.recording.owner != owner])
        scored += [
            _shifted(one, shift(one, changes))
            for one in samples
            if one.recording.owner == owner and one.features.keys() <= changes.keys()
        ]
    return scored


def _shifted(one: Sample, by: int) -> Scored:
    return Scored(one.recording, one.count, one.count.tokens + by - one.recording.billed)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _cells(scored: Sequence[Scored]) -> list[str]:
    """Format the measures of some recordings."""
    n, billed = len(scored), sum(one.recording.billed for one in scored)
    claimed = [one for one in scored if one.count.exact]
    width = statistics.median(one.width for one in scored)
    return [
        f"{n:,}",
        _share(sum(one.off == 0 for one in scored), n),
        _share(sum(abs(one.off) <= _NEAR for one in scored), n),
        _share(sum(one.is_inside for one in scored), n),
        f"{sum(one.off for one in scored) / billed:+.2%}",
        "no bound" if math.isinf(width) else f"{width:.1%}",
        f"{sum(one.off == 0 for one in claimed)} of {len(claimed)}" if claimed else "-",
    ]


def _table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], further: Sequence[str] = ()
) -> Iterator[str]:
    measures = (*MEASURES, *further)
    yield f"| {' | '.join((*heads, *measures))} |"
    yield f"|{' --- |' * len(heads)}{' ---: |' * len(measures)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def by_kind(scored: Sequence[Scored]) -> Iterator[str]:
    """Yield the lines of a table of kinds, also limited to one state."""
    groups: dict[str, list[Scored]] = {}
    for kind, name in KINDS.items():
        group = [one for one in scored if one.recording.kind == kind]
        one_state = [one for one in group if not one.has_two_states]
        groups[name] = group
        if one_state and len(one_state) < len(group):
            groups[f"{name}, one state"] = one_state
    yield from _table(["kind"], ([name, *_cells(group)] for name, group in groups.items() if group))


def by_cell(scored: Sequence[Scored], held_out: Sequence[Scored]) -> Iterator[str]:
    """Yield the lines of a table of kinds, endpoints and model families."""
    groups, others = _grouped(scored), _grouped(held_out)
    order = list(KINDS.values())
    ordered = sorted(groups.items(), key=lambda item: (order.index(item[0][0]), *item[0][1:]))
    rows = (
        [
            kind,
            f"`{path}`",
            family,
            *_cells(group),
            *_held_out(others.get((kind, path, family), [])),
        ]
        for (kind, path, family), group in ordered
    )
    yield from _table(["kind", "endpoint", "models"], rows, _HELD_OUT)


def _grouped(scored: Sequence[Scored]) -> dict[tuple[str, str, str], list[Scored]]:
    groups: dict[tuple[str, str, str], list[Scored]] = {}
    for one in scored:
        key = (KINDS[one.recording.kind], one.recording.endpoint, one.recording.family)
        groups.setdefault(key, []).append(one)
    return groups


def _held_out(scored: Sequence[Scored]) -> list[str]:
    """Format the share of exact counts, with constants fitted to other owners."""
    exact = _share(sum(one.off == 0 for one in scored), len(scored))
    return [f"{exact} of {len(scored)}" if scored else "-"]


def report(recorded: Sequence[Recording], answers: Sequence[RecordedAnswer] = ()) -> str:
    """Return all tables as text."""
    scored, held_out = score(recorded), score_held_out(recorded)
    owners = sorted({one.owner for one in recorded})
    return "\n".join([
        f"{len(recorded):,} recorded requests of {len(owners)} owners ({', '.join(owners)}).",
        "",
        *by_kind(scored),
        "",
        "## With constants fitted to other owners",
        "",
        *by_kind(held_out),
        "",
        "## By endpoint and model family",
        "",
        *by_cell(scored, held_out),
        "",
        *(["## Answers", "", *answer_table(answers), ""] if answers else []),
    ])  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables, write them to the page, or compare them with the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bill", description=__doc__)
    parser.add_argument("--data", type=Path, default=shared_data(), help="default: %(default)s")
    parser.add_argument("--write", action="store_true", help="write the tables to docs/accuracy.md")
    parser.add_argument("--check", action="store_true", help="fail if docs/accuracy.md is outdated")
    options = parser.parse_args(arguments)
    file = options.data / "recordings.jsonl.gz"
    text = report(recordings(file), recorded_answers(file))
    print(text)
    head, start, tables = _PAGE.read_text(encoding="utf-8").partition(_START)
    if options.write:
        _PAGE.write_text(f"{head}{start}\n{text}", encoding="utf-8")
    if options.check and tables.strip() != text.strip():
        print("docs/accuracy.md is outdated. Fix: python -m benchmarks.bill --write")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
