"""What a job's folder tells about it: a handle that never asks the network.

Each method is its documentation and one step into the room that does the work.
"""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from batchframe._base.errors import SourceError
from batchframe._frames.tabular import tabular
from batchframe._results.billing import Usage, billed, job_cost, usage_of
from batchframe._results.job_answers import JobAnswers, read_job, row_counts
from batchframe._results.join import ledger
from batchframe._results.parquet import to_parquet
from batchframe._results.report import Report, report
from batchframe._services.batch import Batch
from batchframe._store.folder import JobFolder
from batchframe._store.journal import status_word
from batchframe._store.manifest import Record, read_record


class JobAtHome:
    """A job as it stood at the last look."""

    def __init__(self, folder: JobFolder) -> None:
        self._folder = folder
        self._read: tuple[tuple[Record, int, int], JobAnswers] | None = None

    @property
    def id(self) -> str:
        """The job's id: 20 hexadecimal digits that name its content and its account."""
        return self._record.manifest.id

    @property
    def name(self) -> str | None:
        """What the job is called, if anything."""
        return self._record.manifest.name

    @property
    def folder(self) -> Path:
        """Where the job is kept."""
        return self._folder.path

    @property
    def status(self) -> str:
        """Where the job stood at the last look, in one word.

        OpenAI's words for a batch; of several batches the one furthest behind. Before: "preparing",
        "submitting", or "uncertain" if it is not known whether a batch was created.
        """
        return status_word(self._record.state)

    @property
    def done(self) -> bool:
        """Whether every batch has ended and its answers are at home."""
        return self._record.done

    @property
    def batches(self) -> list[Batch]:
        """The batches on the server, as they were at the last look."""
        return [shard.batch for shard in self._record.state.shards if shard.batch is not None]

    @property
    def counts(self) -> dict[str, int]:
        """How many rows have each status; they add up to the rows of the frame."""
        return row_counts(self._answers(self._record))

    @property
    def usage(self) -> Usage:
        """The tokens that this job's own answers at home used, added up line by line."""
        return usage_of(self._answers(self._record).sent)

    @property
    def cost(self) -> Decimal | None:
        """What this job's own answers at home cost, in USD; None if no batch price is known."""
        return job_cost(self._answers(self._record))

    def results(self, *, details: bool = False) -> pd.DataFrame:
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
        self,
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
        to_parquet(
            billed(answers) if details else answers,
            tabular(record.manifest.source if source is None else source),
            place,
            prefix=prefix,
            details=details,
            overwrite=overwrite,
        )
        return place

    def report(self) -> Report:
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
        return report(self._answers(self._record))

    @property
    def _record(self) -> Record:
        return read_record(self._folder)

    def _answers(self, record: Record) -> JobAnswers:
        # Parsed again only when a batch came home or the cell that submitted ran again.
        stamp = (record, self._folder.rows_written_at(), self._folder.files_changed_at())
        if self._read is None or self._read[0] != stamp:
            self._read = (stamp, read_job(record))
        return self._read[1]
