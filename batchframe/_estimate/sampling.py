"""Estimate the tokens of all requests from a random sample.

Tokens are nearly linear in the bytes of a request, so a regression on the sample predicts the rest
(the regression estimator, Cochran, *Sampling Techniques*, 1977, 7.1). The confidence interval
comes from the residuals of the sample.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from batchframe._base.ranges import Range

CONFIDENCE: Final = 0.99
_QUANTILE: Final = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)

Numbers = npt.NDArray[np.int64]


def sample_of(rows: int, most: int, seed: int) -> Numbers:
    """Draw random positions without replacement, in random order.

    Examples
    --------
    >>> sample_of(1_000, 3, seed=0).tolist() == sample_of(1_000, 3, seed=0).tolist()
    True
    """
    positions = np.random.default_rng(seed).choice(rows, size=min(most, rows), replace=False)
    return positions.astype(np.int64)


def extrapolate(sizes: Numbers, positions: Numbers, tokens: Numbers) -> tuple[Numbers, Range[int]]:
    """Extrapolate the tokens of a sample to every request.

    Parameters
    ----------
    sizes
        The bytes of each request.
    positions
        The positions of the sample, at least two.
    tokens
        The tokens of each request of the sample.

    Returns
    -------
    tuple
        The tokens of each request, counted or predicted from its size; and the range of their
        sum, a 99% confidence interval.

    Examples
    --------
    >>> extrapolate(np.array([10, 20, 30, 40]), np.array([0, 3]), np.array([3, 9]))
    (array([3, 5, 7, 9]), Range(low=24, expected=24, high=24))
    """
    sampled = sizes[positions].astype(float)
    variance = float(np.var(sampled))
    slope = float(np.cov(sampled, tokens, bias=True)[0, 1]) / variance if variance else 0.0
    # A small sample may suggest a negative slope, but more bytes never mean fewer tokens.
    slope = max(slope, 0.0)
    predicted = tokens.mean() + slope * (sizes - sampled.mean())
    residuals = tokens - predicted[positions]
    # Rounding the cumulative sum avoids the bias of rounding small numbers one by one.
    np.cumsum(np.maximum(predicted, 1), out=predicted)
    predicted += 0.5
    estimates = np.diff(np.floor(predicted, out=predicted), prepend=0.0).astype(np.int64)
    estimates[positions] = tokens
    rest = len(sizes) - len(positions)
    # The regression uses two degrees of freedom.
    freedom = max(len(positions) - 2, 1)
    error = np.sqrt(float(np.sum(residuals**2)) / freedom * (rest * len(sizes) / len(positions)))
    margin = int(np.ceil(_QUANTILE * error))
    total = int(estimates.sum())
    return estimates, Range(max(total - margin, int(tokens.sum())), total, total + margin)
