"""Fit the constants of framing.toml to recordings of all but one owner.

A count is linear in the constants. How often each one enters a count is measured by changing it.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from batchframe import TokenCount, count_tokens
from batchframe._tokens.attachments import clear_rendered
from batchframe._tokens.framing import Frame, framing, other_state
from benchmarks._recordings import Recording

# The constants of messages are published, except for that of earlier answers.
_FITTED: Final = {"schema", "tools", "calls"}
FITTED_KINDS: Final = {"schema", "tools", "tools+format", "tool history"}
"""The kinds of recordings that depend on fitted constants."""
_SWEEPS: Final = 6
_ITERATIONS: Final = 100
_RIDGE: Final = 1e-3
_SMALL: Final = 0.05

Constant = tuple[int, str]
"""The position of a frame in the table, and the name of the constant."""


@dataclass(frozen=True)
class Sample:
    """A recorded request: how often its count includes each constant."""

    recording: Recording
    count: TokenCount
    is_clear: bool
    features: Mapping[Constant, int] = field(hash=False)


def sample(one: Recording) -> Sample:
    """Measure how often each constant enters a count."""
    count = count_tokens(one.body, endpoint=one.endpoint)
    features = {}
    for position, frame in _frames(one.endpoint):
        for name in frame.constants:
            with _changed({(position, name): 1}):
                times = count_tokens(one.body, endpoint=one.endpoint).tokens - count.tokens
            if times:
                features[position, name] = times
    is_clear = count.more is not None and other_state(one.body["model"], one.endpoint) is None
    return Sample(one, count, is_clear, features)


def _frames(endpoint: str) -> Iterator[tuple[int, Frame]]:
    for position, frame in enumerate(framing().frame):
        if frame.kind in _FITTED and endpoint in frame.endpoints:
            yield position, frame


@contextlib.contextmanager
def _changed(by: Mapping[Constant, int]) -> Iterator[None]:
    """Change constants temporarily."""
    frames = framing().frame
    before = [dict(frame.constants) for frame in frames]
    try:
        for (position, name), change in by.items():
            frames[position].constants[name] += change
        clear_rendered()
        yield
    finally:
        for frame, constants in zip(frames, before, strict=True):
            frame.constants.update(constants)
        clear_rendered()


def fit(samples: Sequence[Sample]) -> dict[Constant, int]:
    """Fit changes of the constants, starting from zero.

    The sum of the absolute errors is minimized (reweighted least squares), the constants
    are rounded, and each is moved to where most counts are exact. A constant that no clear request
    depends on is not part of the result.
    """
    samples = [one for one in samples if one.is_clear]
    keys = list(dict.fromkeys(key for one in samples for key in one.features))
    current = np.array([framing().frame[key[0]].constants[key[1]] for key in keys], float)
    matrix = np.array([[one.features.get(key, 0) for key in keys] for one in samples], float)
    target = (
        np.array([one.recording.billed - one.count.tokens for one in samples], float)
        + matrix @ current
    )
    weights = np.ones(len(samples))
    for _ in range(_ITERATIONS):
        weighted = matrix * weights[:, None]
        solution = np.linalg.solve(
            matrix.T @ weighted + _RIDGE * np.eye(len(keys)), weighted.T @ target
        )
        weights = 1 / np.maximum(np.abs(target - matrix @ solution), _SMALL)
    changes = {
        key: int(value) for key, value in zip(keys, np.rint(solution) - current, strict=True)
    }
    for _ in range(_SWEEPS):
        before = dict(changes)
        for key in keys:
            changes[key] += _step(key, changes, samples)
        if changes == before:
            break
    return changes


def _step(key: Constant, changes: Mapping[Constant, int], samples: Sequence[Sample]) -> int:
    """Return the change of one constant that makes most counts exact."""
    votes: Counter[int] = Counter()
    for one in samples:
        if times := one.features.get(key):
            missing = one.recording.billed - one.count.tokens - shift(one, changes)
            if missing % times == 0:
                votes[missing // times] += 1
    if not votes:
        return 0
    best, count = votes.most_common(1)[0]
    return best if count > votes[0] else 0


def shift(one: Sample, changes: Mapping[Constant, int]) -> int:
    """Return the tokens by which changed constants change a count."""
    return sum(times * changes.get(key, 0) for key, times in one.features.items())
