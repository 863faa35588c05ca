"""Pictures of a job and of its answers, drawn with matplotlib: the extra ``plot``.

Each function draws the frame that its namesake in :mod:`batchframe.plot.tables` returns, so nothing
can only be seen. Each takes ``ax=``, the axes to draw on (by default a new figure of a fitting
size), and returns the axes. Colours and fonts are those of the style in use, light or dark.

matplotlib is imported when something is drawn, not before; the tables never need it.

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
