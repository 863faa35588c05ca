"""``python -m benchmarks.ranges``: compare estimates with simulated bills.

A local server bills by its own framing table, fitted to recorded usage, so that it can contradict
an estimate. Lengths, reasoning, cache hits, refusals and rare long answers are drawn at random.
Bounds must hold in every job, likely ranges in 93% of them.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

import batchframe as bf
import batchframe.local
from batchframe.local._answers.billing import input_tokens, output_tokens

CHAT: Final = "/v1/chat/completions"
LIKELY_SHARE: Final = 0.93
WIDEST_LABELS: Final = 1.5
_LABELS: Final = ["positive", "negative", "mixed"]
_REFUSAL: Final = "I'm sorry, but I cannot assist with that request."
_WORDS: Final = ["the", "lid", "of", "this", "kettle", "shuts", "well", "and", "boils", "mugs"]
_ODD_SHARE: Final = 0.03
_UNREASONED_SHARE: Final = 0.2
_LONG_SHARE: Final = 0.02
_CACHED: Final = 0.7

Random = np.random.Generator


class Answer(NamedTuple):
    """Text of an answer, with its reasoning tokens."""

    text: str
    reasoning: int = 0
    refused: bool = False


@dataclass(frozen=True)
class Scenario:
    """Jobs of one kind.

    Attributes
    ----------
    draw
        Draws one answer.
    options
        Arguments of ``requests()``.
    jobs
        The number of jobs to simulate.
    pilot
        The number of requests of a pilot before each job; 0 for none.
    prefix
        Words before every review.
    cached
        The share of requests that read their prefix from the cache.
    """

    draw: Callable[[Random], Answer]
    options: Mapping[str, Any]
    jobs: int
    pilot: int = 0
    prefix: int = 0
    cached: float = 0.0


def _label(rng: Random) -> Answer:
    return Answer(f'{{"label":"{rng.choice(_LABELS)}"}}')


def _label_or_refusal(rng: Random) -> Answer:
    return Answer(_REFUSAL, refused=True) if rng.random() < _ODD_SHARE else _label(rng)


def _label_or_chatter(rng: Random) -> Answer:
    chatter = Answer(" ".join(rng.choice(_WORDS, 60)))
    return chatter if rng.random() < _ODD_SHARE else _label(rng)


def _thought(rng: Random) -> Answer:
    reasoning = 0 if rng.random() < _UNREASONED_SHARE else int(rng.lognormal(5.4, 0.7))
    return Answer(_label(rng).text, reasoning)


def _text(rng: Random, spread: float = 0.6) -> Answer:
    return Answer(" ".join(rng.choice(_WORDS, int(rng.lognormal(4, spread)) + 1)))


def _nested(rng: Random) -> Answer:
    lines = [f'{{"article":"{word}","count":{rng.integers(9)}}}' for word in rng.choice(_WORDS, 3)]
    return Answer(f'{{"lines":[{",".join(lines)}],"urgent":{rng.choice(["true", "false"])}}}')


def _rarely_long(rng: Random) -> Answer:
    words = 400 if rng.random() < _LONG_SHARE else 20
    return Answer(" ".join(rng.choice(_WORDS, words)))


_NESTED: Final = {
    "type": "object",
    "properties": {
        "lines": {
            "type": "array",
            "maxItems": 3,
            "items": {
                "type": "object",
                "properties": {
                    "article": {"type": "string", "maxLength": 20},
                    "count": {"type": "integer", "minimum": 0, "maximum": 9},
                },
                "required": ["article", "count"],
                "additionalProperties": False,
            },
        },
        "urgent": {"type": "boolean"},
    },
    "required": ["lines", "urgent"],
    "additionalProperties": False,
}
_LUNA: Final = {"model": "gpt-5.6-luna", "output": _LABELS, "reasoning_effort": "none"}

SCENARIOS: Final = {
    "labels": Scenario(_label, _LUNA, 30),
    "labels, gpt-4.1": Scenario(_label, {"model": "gpt-4.1", "output": _LABELS}, 20),
    "labels, after a pilot": Scenario(_label, _LUNA, 20, pilot=20),
    "labels, 3% refusals": Scenario(_label_or_refusal, _LUNA, 30),
    "labels, 3% other text, limit 50": Scenario(
        _label_or_chatter, {**_LUNA, "max_completion_tokens": 50}, 20
    ),
    "labels, reasoning, limit 4,000": Scenario(
        _thought, {"model": "gpt-5-mini", "output": _LABELS, "max_completion_tokens": 4_000}, 20
    ),
    "labels, reasoning, after a pilot": Scenario(
        _thought, {"model": "gpt-5-mini", "output": _LABELS}, 40, pilot=20
    ),
    "nested": Scenario(
        _nested, {"model": "gpt-5.4", "output": _NESTED, "reasoning_effort": "none"}, 20
    ),
    "nested, after a pilot": Scenario(
        _nested, {"model": "gpt-4.1", "output": _NESTED}, 20, pilot=20
    ),
    "text, limit 400": Scenario(_text, {"model": "gpt-4.1", "max_completion_tokens": 400}, 20),
    "text, after a pilot": Scenario(_text, {"model": "gpt-4.1"}, 30, pilot=20),
    "2% long text, limit 600": Scenario(
        _rarely_long, {"model": "gpt-4.1", "max_completion_tokens": 600}, 10
    ),
    "2% long text, after a pilot": Scenario(_rarely_long, {"model": "gpt-4.1"}, 10, pilot=20),
    "cached prefix": Scenario(_label, _LUNA, 10, prefix=1_600, cached=_CACHED),
}


@dataclass
class Result:
    """Cost of one job, and its estimates."""

    scenario: str
    cost: Decimal
    bound: tuple[Decimal, Decimal] | None
    likely: tuple[Decimal, Decimal] | None

    @staticmethod
    def _holds(ends: tuple[Decimal, Decimal] | None, cost: Decimal) -> bool | None:
        return None if ends is None else ends[0] <= cost <= ends[1]

    @property
    def in_bound(self) -> bool | None:
        """Whether the cost is within the bounds, if there are any."""
        return self._holds(self.bound, self.cost)

    @property
    def in_likely(self) -> bool | None:
        """Whether the cost is within the likely range, if there is one."""
        return self._holds(self.likely, self.cost)


def answering(scenario: Scenario, seed: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return an answer function whose bills include reasoning and cache."""

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        text = str(body["messages"][-1]["content"])
        rng = np.random.default_rng([seed, *text[-24:].encode()])
        sample = scenario.draw(rng)
        tokens = output_tokens(body, CHAT, [sample.text], []) + sample.reasoning
        limit = body.get("max_completion_tokens") or tokens
        message = {"role": "assistant", "content": None if sample.refused else sample.text}
        if sample.refused:
            message["refusal"] = sample.text
        prompt = input_tokens(body)
        cached = prompt // 128 * 128 if scenario.cached and rng.random() < scenario.cached else 0
        return {
            "object": "chat.completion",
            "choices": [
                {"message": message, "finish_reason": "stop" if tokens <= limit else "length"}
            ],
            "usage": {
                "prompt_tokens": prompt,
                "prompt_tokens_details": {"cached_tokens": cached},
                "completion_tokens": min(tokens, limit),
                "completion_tokens_details": {"reasoning_tokens": min(sample.reasoning, limit)},
            },
        }

    return answer


def simulate(name: str, scenario: Scenario, seed: int) -> Result:
    """Run one job, with its pilot, in a new state folder."""
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(40, 100))
    prefix = "word " * scenario.prefix
    frame = pd.DataFrame({
        "text": [
            f"{prefix}{' '.join(rng.choice(_WORDS, rng.integers(3, 40)))} {seed} {row}"
            for row in range(rows)
        ]
    })  # fmt: skip
    with (
        tempfile.TemporaryDirectory() as home,
        batchframe.local.serve(answer=answering(scenario, seed)) as server,
    ):
        os.environ["BATCHFRAME_HOME"] = home
        client = server.client()
        requests = frame.bf.requests("Read this. {{ text }}", **scenario.options)
        estimate = requests.estimate(client=client)
        likely = None
        if scenario.pilot:
            likely = requests.pilot(scenario.pilot, client=client).estimate
            estimate = requests.estimate(client=client)
        job = requests.submit(client=client).wait(timeout=120)
        cost = job.cost
        return Result(
            name,
            Decimal(0) if cost is None else cost,
            _ends(estimate) if estimate.bounded else None,
            None if likely is None else _ends(likely),
        )


def _ends(estimate: bf.Estimate) -> tuple[Decimal, Decimal] | None:
    cost = estimate.cost
    return None if cost is None or cost.high is None else (cost.low, cost.high)


def _width(ends: Sequence[tuple[Decimal, Decimal] | None]) -> str:
    widths = [float(one[1] / one[0]) for one in ends if one is not None and one[0]]
    return f"{statistics.median(widths):.2f} (max {max(widths):.2f})" if widths else "-"


def table(results: Sequence[Result]) -> Iterator[str]:
    """Yield the lines of a table of scenarios."""
    yield "| jobs | n | in bounds | width | in likely range | width |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for name in dict.fromkeys(one.scenario for one in results):
        group = [one for one in results if one.scenario == name]
        bounds = [one.in_bound for one in group if one.in_bound is not None]
        likely = [one.in_likely for one in group if one.in_likely is not None]
        yield (
            f"| {name} | {len(group)} | {_share(bounds)} | "
            f"{_width([one.bound for one in group])} | {_share(likely)} | "
            f"{_width([one.likely for one in group])} |"
        )


def _share(flags: Sequence[bool]) -> str:
    return f"{sum(flags)} of {len(flags)}" if flags else "-"


def problems(results: Sequence[Result]) -> Iterator[str]:
    """Yield the violations of the promises."""
    above = [one for one in results if one.in_bound is False]
    if above:
        yield f"{len(above)} jobs outside their bounds: {[one.scenario for one in above]}"
    likely = [one.in_likely for one in results if one.in_likely is not None]
    if likely and sum(likely) < LIKELY_SHARE * len(likely):
        yield f"only {_share(likely)} jobs within their likely range"
    wide = [
        float(one.bound[1] / one.bound[0])
        for one in results
        if one.scenario.startswith("labels")
        and "limit" not in one.scenario
        and one.bound is not None
    ]
    if wide and max(wide) > WIDEST_LABELS:
        yield f"bounds of labels are {max(wide):.2f} wide"


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate jobs, print a table, and fail if a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ranges", description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="share of the jobs to simulate")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    started, results = time.perf_counter(), []
    for number, (name, scenario) in enumerate(SCENARIOS.items()):
        run = functools.partial(simulate, name, scenario)
        jobs = max(1, round(scenario.jobs * options.share))
        results += [run(1_000 * number + job) for job in range(jobs)]
    print(*table(results), sep="\n")
    print(f"{len(results)} jobs in {time.perf_counter() - started:.0f} s")
    found = list(problems(results))
    print(*found, sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
