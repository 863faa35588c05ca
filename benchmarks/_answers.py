"""Counts of recorded answers, compared with the billed output tokens."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from batchframe import TokenCount, count_tokens
from benchmarks._recordings import family_of

KINDS: Final = ("text", "schema", "one call", "calls")
FEWEST: Final = 10
"""Minimum recordings of other owners that determine the bound of a cell."""
_UNLIKE: Final = frozenset({"hosted tools", "files/audio"})
"""Kinds of requests whose answers have parts that are not in the recordings."""
_CUT_OFF: Final = frozenset({"length", "incomplete"})


@dataclass(frozen=True)
class RecordedAnswer:
    """A recorded answer: billed tokens without reasoning, and the count.

    Attributes
    ----------
    cell
        The kind, endpoint and model family; then whether there were tools, and reasoning.
    """

    owner: str
    cell: tuple[str, str, str, bool, bool]
    billed: int
    count: TokenCount

    @property
    def over(self) -> int:
        """The tokens billed above the count."""
        return self.billed - self.count.tokens

    @property
    def is_bounded(self) -> bool:
        """Whether the bill is at most the upper bound."""
        return self.count.more is not None and self.over <= self.count.more

    def is_bounded_by(self, others: Sequence[RecordedAnswer]) -> bool:
        """Whether one token above the others' maximum bounds the bill.

        If other owners have few recordings of a cell, its stated bound applies, which rests on more
        recordings than the file has.
        """
        overs = [one.over for one in others if one.cell == self.cell and one.owner != self.owner]
        return self.over <= max(overs) + 1 if len(overs) >= FEWEST else self.is_bounded


def recorded_answers(file: Path) -> list[RecordedAnswer]:
    """Read the recorded answers that ended by themselves."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return list(filter(None, map(_answer, map(json.loads, lines))))


def _answer(line: Mapping[str, Any]) -> RecordedAnswer | None:
    answer, usage = line.get("answer"), line["usage"]
    if not answer or line["kind"] in _UNLIKE or answer.get("finish_reason") in _CUT_OFF:
        return None
    message = {
        "content": answer["text"],
        "refusal": answer["refusal"],
        "tool_calls": answer["tool_calls"],
    }
    output = usage.get("completion_tokens", usage.get("output_tokens"))
    # Recordings of `functions`, the predecessor of tools, lack the call; other items than calls
    # (of a compacted conversation) are encrypted.
    has_items = any("encrypted_content" in call for call in answer["tool_calls"] or ())
    if output is None or has_items or not any(message.values()):
        return None
    details = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
    reasoning = details.get("reasoning_tokens") or 0
    body = {"model": line["model"], **line["request"]}
    return RecordedAnswer(
        owner=line["source"].split("/")[0],
        cell=(
            _kind(line),
            line["endpoint"],
            family_of(line["model"]),
            bool(body.get("tools")),
            bool(reasoning),
        ),
        billed=output - reasoning,
        count=count_tokens(body, endpoint=line["endpoint"], answer=message),
    )


def _kind(line: Mapping[str, Any]) -> str:
    calls, request = len(line["answer"]["tool_calls"] or []), line["request"]
    form = request.get("response_format") or (request.get("text") or {}).get("format") or {}
    if calls:
        return "one call" if calls == 1 else "calls"
    return "schema" if form.get("type") == "json_schema" else "text"


def answer_table(answers: Sequence[RecordedAnswer]) -> Iterator[str]:
    """Yield the lines of a table: by kind, then by endpoint and family."""
    measures = ("n", "exact", "within 3", "at most the bound", "held out", "total error")
    yield f"| answer | endpoint | models | {' | '.join(measures)} |"
    yield f"| --- | --- | --- |{' ---: |' * len(measures)}"
    for kind in KINDS:
        yield _row([kind, "all", "all"], [one for one in answers if one.cell[0] == kind], answers)
    cells = {one.cell[:3] for one in answers}
    for cell in sorted(cells, key=lambda cell: (KINDS.index(cell[0]), *cell[1:])):
        group = [one for one in answers if one.cell[:3] == cell]
        yield _row([cell[0], f"`{cell[1]}`", cell[2]], group, answers)


def _row(
    heads: list[str], group: Sequence[RecordedAnswer], answers: Sequence[RecordedAnswer]
) -> str:
    n, billed = len(group), sum(one.billed for one in group)
    counts = (
        sum(one.over == 0 for one in group),
        sum(abs(one.over) <= 3 for one in group),  # noqa: PLR2004 - as for input tokens
        sum(one.is_bounded for one in group),
        sum(one.is_bounded_by(answers) for one in group),
    )
    shares = [f"{count / n:.1%}" for count in counts]
    error = -sum(one.over for one in group) / max(billed, 1)
    return f"| {' | '.join([*heads, f'{n:,}', *shares, f'{error:+.2%}'])} |"
