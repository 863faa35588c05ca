"""Corrections of token counts, from the bills of finished jobs.

The requests and answers of finished jobs are counted again, so a correction never rests on the
counting rules of an earlier version. Only jobs of the same account, model, endpoint and kind count;
those with the same prompt are preferred.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from batchframe._base.errors import JobError
from batchframe._base.lenient_json import as_mapping
from batchframe._base.private_files import open_private
from batchframe._base.ranges import Range
from batchframe._display import plural
from batchframe._endpoints import count_tokens, endpoint_of
from batchframe._estimate.counting import InputTokens
from batchframe._estimate.history import FEWEST
from batchframe._recipe.recipe import Recipe
from batchframe._services.accounts import Account
from batchframe._store.index import Index
from batchframe._store.manifest import Record, quiet_records

_MOST_JOBS: Final = 10
_MOST_REQUESTS: Final = 50
"""Requests counted again per job, from its first input file."""
_MOST_BYTES: Final = 4 * 2**20
_COLUMNS: Final = (
    "status", "text", "tool_calls", "input_tokens", "output_tokens", "reasoning_tokens",
)  # fmt: skip
_WHOLE: Final = frozenset({"ok", "invalid"})
"""Statuses of answers that ended by themselves."""

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Difference:
    """Billed minus counted tokens per request.

    Attributes
    ----------
    requests
        The number of billed requests.
    tokens
        The least, the mean and the most.
    """

    requests: int
    tokens: Range[Fraction]

    @property
    def mean(self) -> Fraction:
        """The mean per request."""
        return self.tokens.expected or Fraction(0)


@dataclass(frozen=True)
class Learned:
    """Corrections from finished jobs; each is None with too few requests.

    Attributes
    ----------
    input, answer
        The differences of input tokens, and of answers without reasoning.
    """

    input: Difference | None = None
    answer: Difference | None = None

    def correct_input(self, counts: InputTokens) -> InputTokens:
        """Correct counted input tokens; bounds are only widened.

        Examples
        --------
        >>> counts = InputTokens(*[np.array([10, 20])] * 3, exact=True, notes=())
        >>> two = Difference(12, Range.exactly(Fraction(2)))
        >>> corrected = Learned(two).correct_input(counts)
        >>> corrected.tokens.tolist(), corrected.low.tolist(), corrected.notes
        ([12, 22], [10, 20], ('Input tokens are corrected by +2 per request, as billed for 12 ...
        """
        if self.input is None or self.input.tokens == Range.exactly(Fraction(0)):
            return counts
        least, most = math.floor(self.input.tokens.low), math.ceil(self.input.tokens.high or 0)
        tokens = np.maximum(counts.tokens + _spread(self.input.mean, len(counts.tokens)), 0)
        low = np.minimum(counts.low, np.maximum(counts.tokens + least, 0))
        high = None if counts.high is None else np.maximum(counts.high, counts.tokens + most)
        if high is not None:
            high = np.maximum(high, tokens)
        note = (
            f"Input tokens are corrected by {_format(self.input.mean)} per request, as billed for "
            f"{plural(self.input.requests, 'earlier request')}."
        )
        return replace(
            counts,
            tokens=tokens,
            low=np.minimum(low, tokens),
            high=high,
            exact=False,
            notes=(*counts.notes, note),
        )

    def correct_framing(self, framing: Range[Fraction]) -> Range[Fraction]:
        """Correct the tokens around an answer; bounds are only widened."""
        if self.answer is None or framing.expected is None:
            return framing
        observed = self.answer.tokens.map(lambda tokens: tokens + (framing.expected or 0))
        high = None if framing.high is None else max(framing.high, observed.high or framing.high)
        return Range(min(framing.low, observed.low), observed.expected, high)

    @property
    def answer_notes(self) -> Iterator[str]:
        """Yield a note if the length of answers is corrected."""
        if self.answer is not None and self.answer.tokens != Range.exactly(Fraction(0)):
            yield (
                f"Answers are corrected by {_format(self.answer.mean)} tokens each, as billed for "
                f"{plural(self.answer.requests, 'earlier request')}."
            )


NOTHING: Final = Learned()


def learn(recipe: Recipe, account: Account, jobs: Sequence[Record] | None = None) -> Learned:
    """Compare the bills of finished jobs with new counts of their tokens.

    Parameters
    ----------
    jobs
        All jobs on this machine, newest first; None reads them.
    """
    if endpoint_of(recipe.endpoint).answer_kind != "inline":
        return NOTHING
    alike = [
        record
        for record in (quiet_records() if jobs is None else jobs)
        if record.done and _is_alike(record, recipe) and _is_owned(record, account)
    ]
    same = [record for record in alike if _same_prompt(record.manifest.recipe, recipe)]
    for records in (same, alike):
        differences = [_differences(record) for record in records[:_MOST_JOBS]]
        learned = Learned(*(_difference(column) for column in zip(*differences, strict=True)))
        if learned != NOTHING:
            return learned
    return NOTHING


def _is_alike(record: Record, recipe: Recipe) -> bool:
    other = record.manifest.recipe
    return (other.model, other.endpoint) == (recipe.model, recipe.endpoint) and (
        _kind(other) == _kind(recipe)
    )


def _kind(recipe: Recipe) -> tuple[bool, ...]:
    """Return the properties that determine the framing of a request."""
    body = recipe.body
    form = as_mapping(body.get("response_format") or as_mapping(body.get("text")).get("format"))
    has_schema = recipe.output.schema is not None or form.get("type") == "json_schema"
    has_tools = bool(body.get("tools") or body.get("functions"))
    return has_schema, has_tools, recipe.images is not None, recipe.files is not None


def _is_owned(record: Record, account: Account) -> bool:
    return Account(account.identity).owns(record.manifest.identity, record.state.batches)


def _same_prompt(one: Recipe, other: Recipe) -> bool:
    return (one.prompt, one.system, one.output) == (other.prompt, other.system, other.output)


_DIFFERENCES: Final = Index[tuple[Numbers, Numbers]]("manifest.json", "answers.parquet")


def _differences(record: Record) -> tuple[Numbers, Numbers]:
    """Return billed minus counted tokens, of requests and of answers."""
    return _DIFFERENCES.get(record.folder.path, lambda: _compare(record))


def _compare(record: Record) -> tuple[Numbers, Numbers]:
    endpoint = record.manifest.recipe.endpoint
    input_, output = [], []
    for body, answer in zip(_bodies(record), _answers(record), strict=False):
        if answer["status"] not in _WHOLE:
            continue
        if answer["input_tokens"]:
            counted = count_tokens(body, endpoint=endpoint).tokens
            input_.append(answer["input_tokens"] - counted)
        if answer["output_tokens"] and (answer["text"] or answer["tool_calls"]):
            calls = msgspec.json.decode(answer["tool_calls"] or "[]")
            message = {"content": answer["text"], "tool_calls": calls}
            counted = count_tokens(body, endpoint=endpoint, answer=message).tokens
            reasoning = answer["reasoning_tokens"] or 0
            output.append(answer["output_tokens"] - reasoning - counted)
    return np.array(input_, np.int64), np.array(output, np.int64)


def _bodies(record: Record) -> Iterator[Mapping[str, Any]]:
    """Yield the bodies of the first requests that a job sent."""
    if not record.state.inputs:
        return
    path, size = record.folder.input(record.state.inputs[0].number), 0
    try:
        with open_private(path) as file:
            for line in itertools.islice(file, _MOST_REQUESTS):
                size += len(line)
                if size > _MOST_BYTES:
                    return
                yield msgspec.json.decode(line)["body"]
    except (OSError, ValueError, LookupError, TypeError, JobError):
        return  # forgotten or damaged


def _answers(record: Record) -> list[dict[str, Any]]:
    """Return the first answers of a job, in the order of its requests."""
    try:
        with open_private(record.folder.answers) as file:
            table = pq.ParquetFile(file).read(columns=list(_COLUMNS))
    except (OSError, ValueError, pa.ArrowException, JobError):
        return []  # missing until the answers are read, or damaged
    sent = record.manifest.requests - record.manifest.reused
    rows: list[dict[str, Any]] = table.slice(0, min(sent, _MOST_REQUESTS)).to_pylist()
    return rows


def _difference(parts: Iterable[Numbers]) -> Difference | None:
    tokens = np.concatenate([np.zeros(0, np.int64), *parts])
    if len(tokens) < FEWEST:
        return None
    mean = Fraction(int(tokens.sum()), len(tokens))
    least, most = Fraction(int(tokens.min())), Fraction(int(tokens.max()))
    return Difference(len(tokens), Range(least, mean, most))


def _spread(mean: Fraction, requests: int) -> Numbers:
    """Distribute a mean over requests as integers."""
    ends = np.floor(np.arange(requests + 1) * float(mean) + 0.5)
    shares: Numbers = np.diff(ends).astype(np.int64)
    return shares


def _format(mean: Fraction) -> str:
    return f"{float(mean):+,.1f}".replace(".0", "")
