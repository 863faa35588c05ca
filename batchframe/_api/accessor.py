"""The pandas accessor ``df.bf``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from itertools import dropwhile
from typing import Any, Concatenate, ParamSpec, TypeVar

import pandas as pd

from batchframe._api.functions import join, requests
from batchframe._display import plural
from batchframe._evaluation.agreement import agreement
from batchframe._evaluation.evaluation import evaluate
from batchframe._frames.spreadsheet import escape_formulas

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _method(
    function: Callable[Concatenate[Any, _P], _T],
) -> Callable[Concatenate[Any, _P], _T]:
    """Wrap a function of a frame as a method of the accessor."""

    @wraps(function)
    def method(self: Any, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return function(self._frame, *args, **kwargs)

    signature = inspect.signature(function)
    frame, *parameters = signature.parameters.values()
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[itself, *parameters]
    )
    method.__doc__ = _without_entry(inspect.cleandoc(function.__doc__ or ""), frame.name)
    return method


def _without_entry(doc: str, parameter: str) -> str:
    """Remove a parameter from a docstring, and its title if that is empty."""
    start, _, rest = doc.partition(f"\n{parameter}\n")
    others = dropwhile(lambda line: line.startswith(" "), rest.splitlines(keepends=True))
    return f"{start}\n{''.join(others)}".replace("Parameters\n----------\n\n", "")


_VERBS = """\
df.bf of {what}:
  plan = df.bf.requests("Classify: {{{{ text }}}}", model=..., output=[...])  builds requests
  labeled = df.bf.join(job)  adds the answers as columns
  labeled.bf.evaluate(truth=..., predicted=...)  compares answers with gold labels
  labeled.bf.agreement([...])  compares two columns of labels
  labeled.bf.escape_formulas()  makes cells safe for a spreadsheet"""


@pd.api.extensions.register_dataframe_accessor("bf")
class Accessor:
    """Accessor that builds requests from a frame and joins their answers.

    Examples
    --------
    >>> import pandas as pd, batchframe as bf
    >>> len(pd.DataFrame({"text": ["a", "b"]}).bf.requests("{{ text }}", model="gpt-6-luna"))
    2
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def __repr__(self) -> str:
        return _VERBS.format(what=plural(len(self._frame), "row"))

    requests = _method(requests)  # type: ignore[arg-type] # no body parameter is named source
    join = _method(join)
    evaluate = _method(evaluate)
    agreement = _method(agreement)
    escape_formulas = _method(escape_formulas)


@pd.api.extensions.register_series_accessor("bf")
class SeriesAccessor:
    """Accessor for one column, which the prompt names.

    Examples
    --------
    >>> import pandas as pd, batchframe as bf
    >>> text = pd.Series(["Great!", "Broke at once."], name="text")
    >>> plan = text.bf.requests("Classify: {{ text }}", model="gpt-4.1", output=["+", "-"])
    >>> plan.preview(1)[0]["body"]["messages"][0]["content"]
    'Classify: Great!'
    """

    def __init__(self, series: pd.Series) -> None:
        self._frame = series.to_frame()

    def __repr__(self) -> str:
        return _VERBS.format(what=f"column {self._frame.columns[0]!r}, as a frame")

    requests = _method(requests)  # type: ignore[arg-type] # as above
    join = _method(join)
