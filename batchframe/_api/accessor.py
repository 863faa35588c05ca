"""The accessor ``df.bf``: the functions on a frame, as its methods."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Sequence
from itertools import dropwhile
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import pandas as pd

from batchframe._api.functions import join, requests
from batchframe._api.job import Job
from batchframe._api.requests import Requests
from batchframe._evaluation.agreement import Agreement, agreement
from batchframe._evaluation.evaluation import STATUS, Evaluation, evaluate
from batchframe._frames.spreadsheet import escape_formulas
from batchframe._recipe.arguments import Prompt

_P = ParamSpec("_P")
_T = TypeVar("_T")
_PARAMETERS: Final = "Parameters\n----------\n"


def _documented_by(
    function: Callable[..., object],
) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """Document a method as its function, without the frame, which is the first parameter."""
    summary, title, entries = inspect.cleandoc(function.__doc__ or "").partition(_PARAMETERS)
    _frame, *lines = entries.splitlines(keepends=True) or [""]
    others = "".join(dropwhile(lambda line: line.startswith(" "), lines))
    title = "" if others.startswith("\n") else title  # there was no other parameter

    def document(method: Callable[_P, _T]) -> Callable[_P, _T]:
        method.__doc__ = summary + title + others.lstrip("\n")
        return method

    return document


@pd.api.extensions.register_dataframe_accessor("bf")
class Accessor:
    """Rows to requests, and answers back to rows.

    Examples
    --------
    >>> import pandas as pd, batchframe as bf
    >>> len(pd.DataFrame({"text": ["a", "b"]}).bf.requests("{{ text }}", model="gpt-4.1"))
    2
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    @_documented_by(requests)
    def requests(
        self,
        prompt: Prompt,
        *,
        model: str,
        system: str | None = None,
        output: object = None,
        endpoint: str = "/v1/chat/completions",
        name: str | None = None,
        on_missing: str = "raise",
        dedupe: bool = True,
        allow: Sequence[str] = (),
        images: Hashable | list[Hashable] = None,
        image_root: str | Path | None = None,
        image_detail: str | None = None,
        image_max_size: int | None = None,
        **body: Any,
    ) -> Requests:
        """Turn rows and a prompt into requests: see :func:`batchframe.requests`."""
        return requests(
            self._frame,
            prompt,
            model=model,
            system=system,
            output=output,
            endpoint=endpoint,
            name=name,
            on_missing=on_missing,
            dedupe=dedupe,
            allow=allow,
            images=images,
            image_root=image_root,
            image_detail=image_detail,
            image_max_size=image_max_size,
            **body,
        )

    @_documented_by(join)
    def join(
        self,
        *jobs: Job | str,
        prefix: str = "",
        details: bool = False,
        overwrite: bool = False,
    ) -> pd.DataFrame:
        """Add the answers to these rows: see :func:`batchframe.join`."""
        return join(self._frame, *jobs, prefix=prefix, details=details, overwrite=overwrite)

    @_documented_by(evaluate)
    def evaluate(
        self, *, truth: Hashable, predicted: Hashable, status: Hashable | None = STATUS
    ) -> Evaluation:
        """Hold predictions against gold labels: see :func:`batchframe.evaluate`."""
        return evaluate(self._frame, truth=truth, predicted=predicted, status=status)

    @_documented_by(agreement)
    def agreement(self, columns: Sequence[Hashable]) -> Agreement:
        """Compare columns of labels with each other: see :func:`batchframe.agreement`."""
        return agreement(self._frame, columns)

    @_documented_by(escape_formulas)
    def escape_formulas(self) -> pd.DataFrame:
        """Make text safe to open in a spreadsheet: see :func:`batchframe.escape_formulas`."""
        return escape_formulas(self._frame)
