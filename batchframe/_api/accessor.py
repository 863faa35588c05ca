"""The pandas accessor ``df.bf``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from itertools import dropwhile
from typing import Any, Concatenate, ParamSpec, TypeVar

import pandas as pd

from batchframe._api.functions import join, requests
from batchframe._evaluation.agreement import agreement
from batchframe._evaluation.evaluation import evaluate
from batchframe._frames.spreadsheet import escape_formulas

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _method(
    function: Callable[Concatenate[Any, _P], _T],
) -> Callable[Concatenate[Accessor, _P], _T]:
    """Wrap a function of a frame as a method of the accessor."""

    @wraps(function)
    def method(self: Accessor, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
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
    """Remove a parameter from a docstring, and the title if it is the only one."""
    start, _, rest = doc.partition(f"\n{parameter}\n")
    others = dropwhile(lambda line: line.startswith(" "), rest.splitlines(keepends=True))
    return f"{start}\n{''.join(others)}".replace("Parameters\n----------\n\n", "")


@pd.api.extensions.register_dataframe_accessor("bf")
class Accessor:
    """Accessor that builds requests from a frame and joins their answers.

    Examples
    --------
    >>> import pandas as pd, batchframe as bf
    >>> len(pd.DataFrame({"text": ["a", "b"]}).bf.requests("{{ text }}", model="gpt-4.1"))
    2
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    requests = _method(requests)  # type: ignore[arg-type] # no body parameter is named source
    join = _method(join)
    evaluate = _method(evaluate)
    agreement = _method(agreement)
    escape_formulas = _method(escape_formulas)
