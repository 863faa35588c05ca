"""Methods of a job that read its folder: results, Parquet, report."""

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
    """Return the answers, one row per submitted row, in the order submitted.

    Parameters
    ----------
    details
        Also return the columns ``bf_custom_id``, ``bf_input_tokens``, ``bf_output_tokens``,
        ``bf_cached_tokens``, ``bf_cache_write_tokens`` (read from the prompt cache, and written
        to it), ``bf_reasoning_tokens``, ``bf_cost``, ``bf_finish_reason``, ``bf_reasoning``
        (the reasoning summary, where the model returns one) and ``bf_raw``.
        ``bf_cost`` is in USD, as `Decimal` in a column of dtype object:
        ``df["bf_cost"].sum()`` equals :attr:`cost`, to the last digit. Duplicate rows share
        one request: the first row has its cost, the others 0. Missing where the row has no
        request, or the price is unknown.

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
    """Write the rows and their answers to Parquet, streaming the rows.

    The columns of the source keep their stored types. ``pd.read_parquet(path)`` returns the
    answers with the same dtypes as `join`.

    Parameters
    ----------
    path
        Path of the Parquet file to write. The file appears once it is complete.
    source
        The rows, as in :func:`batchframe.requests`; by default the file or folder that the
        requests were built from.
    prefix, details, overwrite
        As in :func:`batchframe.join`. ``bf_cost`` is a decimal rounded to 18 places.

    Returns
    -------
    The path.

    Raises
    ------
    SourceError
        If the rows cannot be read or stored as Parquet; if they were not a local file and
        you do not pass them; or if `source` is `path`.
    ColumnError
        If a new column name is taken.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd, batchframe as bf, batchframe.local
    >>> folder = tempfile.TemporaryDirectory()
    >>> many, labeled = f"{folder.name}/many.parquet", f"{folder.name}/labeled.parquet"
    >>> pd.DataFrame({"text": ["fine", "poor"]}).to_parquet(many)
    >>> with batchframe.local.serve(answer=lambda body: {"label": "+"}) as server:
    ...     plan = bf.requests(many, "{{ text }}", model="gpt-6-luna", output=["+", "-"])
    ...     job = plan.submit(client=server.client()).wait()
    >>> pd.read_parquet(job.to_parquet(labeled))[["text", "label", "bf_status"]]
       text label bf_status
    0  fine     +        ok
    1  poor     +        ok
    >>> folder.cleanup()
    """
    record = self._record
    if source is None:
        source = record.manifest.source
        if source is None:
            raise SourceError(
                "source: required, because this job's rows are not a local file or folder. "
                f"Fix: job.to_parquet({str(path)!r}, df)."
            )
        if not Path(source).exists():
            raise SourceError(
                f"source: not found ({str(source)!r}). Fix: job.to_parquet({str(path)!r}, source)."
            )
    answers = self._answers(record)
    if "://" in str(path):
        raise SourceError(
            f"path: an address, not a local file ({str(path)!r}). Fix: "
            'job.to_parquet("labeled.parquet"), then upload the file.'
        )
    # Path.expanduser() fails for an unknown user.
    destination = Path(os.path.expanduser(path))  # noqa: PTH111
    parquet.to_parquet(
        billed(answers) if details else answers,
        tabular(source),
        destination,
        prefix=prefix,
        details=details,
        overwrite=overwrite,
    )
    return destination


def report(self: Job) -> Report:
    """Compare the estimate of the job with its usage, and explain differences.

    Returns
    -------
    Tokens and USD of input, cached input and output, with an explanation where they differ by
    more than 5%.

    Examples
    --------
    >>> import pandas as pd, batchframe as bf, batchframe.local
    >>> frame = pd.DataFrame({"t": ["a", "b"]})
    >>> with batchframe.local.serve(answer=lambda body: {"label": "+"}) as server:
    ...     plan = frame.bf.requests("{{ t }}", model="gpt-6-luna", output=["+", "-"])
    ...     job = plan.submit("signs", client=server.client()).wait()
    >>> job.report().to_frame().columns.tolist()
    ['estimated_tokens', 'tokens', 'estimated_cost', 'cost', 'difference']
    """
    return compare_with_estimate(self._answers(self._record))
