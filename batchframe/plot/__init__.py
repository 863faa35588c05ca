"""Plots of a job and its answers with matplotlib (the extra ``plot``).

Each function draws the DataFrame that the function of the same name in
:mod:`batchframe.plot.tables` returns. Each takes ``ax=``, the axes to draw on (by default those of
a new figure), and returns the axes. Colors and fonts follow the current matplotlib style.

matplotlib is imported on the first call of a plot function; the tables do not need it.

>>> import pandas as pd
>>> import batchframe as bf
>>> frame = pd.DataFrame({"label": ["good", "bad", "good"]})
>>> bf.plot.tables.labels(frame)
       rows
label
good      2
bad       1
"""

from __future__ import annotations

from batchframe.plot import tables
from batchframe.plot._bars import cost, labels, statuses
from batchframe.plot._histogram import tokens
from batchframe.plot._matrix import confusion

__all__ = ["confusion", "cost", "labels", "statuses", "tables", "tokens"]
