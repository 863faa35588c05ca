"""The verbs of a job that read its folder: results, Parquet, report."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from batchframe._base.errors import SourceError
from batchframe._frames.tabular import tabular
from batchframe._results import parquet
from batchframe._results.billing import billed
from batchframe._results.join import ledger
from batchframe._results.report import Report
from batchframe._results.report import report as compare_with_estimate

if TYPE_CHECKING:
    from batchframe._api.job import Job


def results(self: Job, *, details: bool = False) -> pd.DataFrame:
    """Return one row for each row of the frame that was submitted, in its order.

    Parameters
    ----------
    details
        Also return the columns ``bf_custom_id``, ``bf_input_tokens``, ``bf_output_tokens``,
        ``bf_cached_tokens``, ``bf_cache_write_tokens`` (read from the prompt cache, and written
        to it), ``bf_reasoning_tokens``, ``bf_cost``, ``bf_finish_reason``, ``bf_reasoning``
        (what the model tells of its reasoning, where it tells) and ``bf_raw``.
        ``bf_cost`` is in USD, as `Decimal` in a column of dtype object:
        ``df["bf_cost"].sum()`` is :attr:`cost`, to the last digit. Rows that ask the same are
        one request: the first of them carries its cost, the others 0. Missing where the row
        asked nothing, or no price is known.

    Returns
    -------
    The answer columns, ``bf_status`` and ``bf_error``. Before the job is done, rows are
    ``pending``.
    """
    answers = self._answers(self._record)
    return ledger(billed(answers) if details else answers, details=details)


def to_parquet(
    self: Job,
    path: str | Path,
    source: Any = None,
    *,
    prefix: str = "",
    details: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write the rows and, behind their columns, their answers, without holding the rows.

    The columns of the source stay as they are stored. ``pd.read_parquet(path)`` gives the
    answers the dtypes that `join` gives them.

    Parameters
    ----------
    path
        Of the Parquet file to write. It stands there once it is whole.
    source
        The rows, as :func:`batchframe.requests` takes them; by default the file or folder that
        the requests were made of.
    prefix, details, overwrite
        As for :func:`batchframe.join`. ``bf_cost`` is a decimal rounded to 18 places.

    Returns
    -------
    The path.

    Raises
    ------
    SourceError
        If the rows cannot be read, or Parquet cannot hold them; if they were in memory and are
        not given; or if they are read from `path`.
    ColumnError
        If a new column's name is taken.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd, batchframe as bf, batchframe.local
    >>> folder = tempfile.TemporaryDirectory()
    >>> many, labelled = f"{folder.name}/many.parquet", f"{folder.name}/labelled.parquet"
    >>> pd.DataFrame({"text": ["fine", "poor"]}).to_parquet(many)
    >>> with batchframe.local.serve(answer=lambda body: {"label": "+"}) as server:
    ...     asked = bf.requests(many, "{{ text }}", model="gpt-4.1", output=["+", "-"])
    ...     job = asked.submit(client=server.client()).wait()
    >>> pd.read_parquet(job.to_parquet(labelled))[["text", "label", "bf_status"]]
       text label bf_status
    0  fine     +        ok
    1  poor     +        ok
    >>> folder.cleanup()
    """
    record = self._record
    if source is None and record.manifest.source is None:
        raise SourceError(
            "This job's rows were in memory, so they are not known here. Give them: "
            f"job.to_parquet({str(path)!r}, df)."
        )
    if source is None and not Path(record.manifest.source or "").exists():
        moved_from = str(record.manifest.source)
        raise SourceError(
            f"The rows of this job were in {moved_from}, which is not there any more. Say "
            f"where they are: job.to_parquet({str(path)!r}, source)."
        )
    answers = self._answers(record)
    # As the path of a source is: Path.expanduser() fails for an unknown user.
    place = Path(os.path.expanduser(path))  # noqa: PTH111
    parquet.to_parquet(
        billed(answers) if details else answers,
        tabular(record.manifest.source if source is None else source),
        place,
        prefix=prefix,
        details=details,
        overwrite=overwrite,
    )
    return place


def report(self: Job) -> Report:
    """Set what the job was estimated to take beside what it took, and say why they differ.

    Returns
    -------
    Tokens and dollars of input, cached input and output, with a reason in words where they
    differ by more than 5 %.

    Examples
    --------
    >>> import pandas as pd, batchframe as bf, batchframe.local
    >>> frame = pd.DataFrame({"t": ["a", "b"]})
    >>> with batchframe.local.serve(answer=lambda body: {"label": "+"}) as server:
    ...     requests = frame.bf.requests("{{ t }}", model="gpt-4.1", output=["+", "-"])
    ...     job = requests.submit("signs", client=server.client()).wait()
    >>> job.report().to_frame().columns.tolist()
    ['estimated_tokens', 'tokens', 'estimated_cost', 'cost', 'difference']
    """
    return compare_with_estimate(self._answers(self._record))
