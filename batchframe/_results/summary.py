"""A job → how many rows have each status, and what it cost, in a few bytes beside its answers.

In: a job's record. Out: a frozen :class:`Summary`, kept in ``summary.json`` so that a list of many
jobs reads no answers.
Must not know: frames, the network.

The file is a cache and says of which files it was made; if they changed since, or batchframe or its
price book did, it is made anew.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from batchframe._base.errors import JobError
from batchframe._base.private_files import read_private, replacing
from batchframe._results.billing import job_cost
from batchframe._results.job_answers import read_job, row_counts
from batchframe._store.manifest import Record
from batchframe._version import __version__

_LARGEST: Final = 1 << 16


@dataclass(frozen=True)
class Summary:
    """How many rows have each status, and what the answers at home cost in USD, if that is known.

    Attributes
    ----------
    made_of
        Of which files, by which versions.
    """

    made_of: str
    counts: Mapping[str, int]
    cost: Decimal | None


def summary_of(record: Record) -> Summary:
    """Sum up a job, from its summary if that is true still.

    Raises
    ------
    JobError
        If the folder is damaged.
    """
    made_of = _made_of(record)
    kept = _kept(record)
    if kept is not None and kept.made_of == made_of:
        return kept
    answers = read_job(record)
    made = Summary(made_of, row_counts(answers), job_cost(answers))
    # A cache only: a folder that cannot be written can still be read.
    with contextlib.suppress(OSError), replacing(record.folder.summary) as file:
        file.write(msgspec.json.encode(made))
    return made


def _kept(record: Record) -> Summary | None:
    try:
        content = read_private(record.folder.summary, _LARGEST)
        return None if content is None else msgspec.json.decode(content, type=Summary)
    except (JobError, msgspec.DecodeError):
        return None


def _made_of(record: Record) -> str:
    folder = record.folder
    files = [_stamp(path) for path in (folder.manifest, folder.journal, folder.rows, folder.files)]
    return " ".join([*files, *_versions()])


def _stamp(path: Path) -> str:
    try:
        info = path.lstat()
    except OSError:
        return "-"
    return f"{info.st_mtime_ns}/{info.st_size}"


@cache
def _versions() -> tuple[str, str]:
    return __version__, version("genai-prices")
