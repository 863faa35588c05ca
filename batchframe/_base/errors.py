"""Exceptions and warnings, and the formatting that their messages share.

A message says *what* is wrong, *where* (row, column, file, batch), and the *next step* as code.
Most messages are written next to their check; the constructors here are shared by several packages.
``batchframe.errors`` re-exports the classes.
"""

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Self

import numpy as np

from batchframe._base.safe_text import (
    BASE_URL,
    JOBS,
    REFRESH,
    RUN_AGAIN,
    NextStep,
    in_shell,
    job_step,
    requests_step,
    visible_lines,
)
from batchframe._base.traceback import notebook_lines

__all__ = [  # noqa: RUF022 - the public names, in order of definition
    "BatchframeError", "InputError", "TemplateError", "SourceError", "ColumnError",
    "CellError", "TemplateWarning", "OutputSpecError", "RequestError", "FileIsThereError",
    "CommandError", "CostError", "WebhookError", "ClientError", "SubmissionError",
    "SentElsewhere", "SubmissionUncertain", "ServiceError", "SeveralBatchesWarning",
    "UnverifiedBatchWarning", "ParameterWarning", "ReasoningWarning", "IntervalWarning",
    "OpenFolderWarning", "UnreadableJobWarning", "UnrecoveredBatchWarning", "NamesakeWarning",
    "JoinWarning", "JobError", "ExtraError", "LocalServerError", "JobTimeout",
]  # fmt: skip


def format_row(position: int, label: object) -> str:
    """Format a row as its position and, if different, its index label."""
    label = plain_scalar(label)
    if isinstance(label, int) and label == position:
        return f"row {position}"
    return f"row {position} (index {label!r})"


def plain_scalar(label: object) -> object:
    """Return a numpy scalar as its Python value."""
    # The repr of a numpy scalar is np.int64(3), which is hard to read.
    return label.item() if isinstance(label, np.generic) else label


def format_list(names: Iterable[object], most: int = 12) -> str:
    """Format up to `most` names in quotes, and count the rest."""
    quoted = [repr(name) for name in names]
    if len(quoted) > most:
        quoted = [*quoted[:most], f"and {len(quoted) - most:,} more"]
    return ", ".join(quoted) or "none"


def quote(text: str, most: int = 60) -> str:
    """Quote a string, truncated to `most` characters."""
    return repr(text if len(text) <= most else f"{text[:most]}…")


def allow_hint(name: str) -> NextStep:
    """Return the hint on how to skip the check of a parameter."""
    return "To send it anyway: " + requests_step(f'allow=["{name}"]') + "."


def shorten(reason: object, most: int = 200) -> str:
    """Format a reason on one line, truncated, without the final period."""
    text = " ".join(str(reason).split()).rstrip(".")
    return text if len(text) <= most else f"{text[:most]}…"


def without_link(reason: object) -> str:
    """Return a reason without the link that Pydantic appends."""
    # Pydantic appends a link to its documentation.
    return shorten(str(reason).partition("For further information")[0])


class BatchframeError(Exception):
    """Base class of all exceptions that batchframe raises.

    Attributes
    ----------
    next_step
        The next step, which ends the message; None if the message contains it.
    """

    def __init__(self, message: object = "", *, next_step: str | None = None) -> None:
        text = message if isinstance(message, str) else str(message)
        if next_step is not None:
            text = text + ("" if text.endswith("\n") else " ") + next_step
        # Text from a service may contain control characters, which a terminal executes.
        super().__init__(NextStep(visible_lines(text), visible_lines(in_shell(text))))
        self.next_step = next_step

    def _render_traceback_(self) -> list[str]:
        """Return the traceback for IPython: only the user's own lines."""
        return notebook_lines(self)


class InputError(BatchframeError, ValueError):
    """Invalid input; nothing was written and nothing was sent."""


class TemplateError(InputError):
    """Invalid prompt template."""

    @classmethod
    def not_a_prompt(cls, prompt: object) -> Self:
        return cls(
            "prompt: not a template, a list of chat messages or a function "
            f'({type(prompt).__name__}). Fix: "Classify: {{{{ text }}}}".'
        )


class SourceError(InputError):
    """Rows that cannot be read, or that changed between two reads."""

    @classmethod
    def unreadable(cls, path: str, reason: str) -> Self:
        return cls(
            f"{path} cannot be read as Parquet or Arrow: {reason.rstrip('.')}. Fix, for other "
            "formats: batchframe.requests(pd.read_csv(path), ...)."
        )


class ColumnError(InputError):
    """Column that is missing, ambiguous or already exists."""

    @classmethod
    def taken(cls, names: Sequence[str], remedy: str) -> Self:
        return cls(
            f"The frame already has {format_list(names)}, the name of an answer column.",
            next_step=remedy,
        )

    @classmethod
    def not_there(cls, name: object, columns: Sequence[object]) -> Self:
        near = difflib.get_close_matches(str(name), map(str, columns), n=1)
        guess = f"Did you mean {near[0]!r}? " if near else ""
        return cls(
            f"The frame has no column {plain_scalar(name)!r}. {guess}Columns: "
            f"{format_list(columns)}."
        )

    @classmethod
    def several(cls, name: object, positions: Sequence[int]) -> Self:
        return cls(
            f"{len(positions)} columns are named {plain_scalar(name)!r} (positions "
            f"{format_list(positions)}). Fix: rename them, df.columns = [...]."
        )

    @classmethod
    def compared_with_itself(cls, name: object) -> Self:
        column = plain_scalar(name)
        return cls(f"Column {column!r} would be compared with itself. Fix: pass another column.")


class CellError(InputError):
    """Cell without an exact string form, or with an invalid image."""


class TemplateWarning(UserWarning):
    """Likely mistake in a template."""


class OutputSpecError(InputError):
    """Output spec that the service's strict mode rejects."""

    @classmethod
    def repeated_columns(cls, names: Sequence[str]) -> Self:
        return cls(
            f"output: two answer columns would both be named {format_list(names)} (a nested field "
            "is named parent.field). Fix: rename one of the fields."
        )


class RequestError(InputError):
    """Request body that the service would reject."""

    @classmethod
    def not_a_frame(cls, frame: object) -> Self:
        return cls(
            f"frame: not a DataFrame or Arrow table ({type(frame).__name__}). Fix: pass one of "
            "these, or write the rows to a file: job.to_parquet(path, source)."
        )

    @classmethod
    def invalid_argument(cls, keyword: str, value: object, wanted: str) -> Self:
        return cls(f"{keyword}: not {wanted} ({shorten(repr(value), 60)}).")


class FileIsThereError(InputError, FileExistsError):
    """Existing file that would be replaced."""


class CommandError(InputError):
    """Invalid argument on the command line."""


class CostError(InputError):
    """Cost that is too high or unknown, or an invalid price."""

    @classmethod
    def unknown_tier(cls, tier: str, tiers: Sequence[str]) -> Self:
        return cls(f"tier: unknown price tier {tier!r}. Fix: use one of {format_list(tiers)}.")


class WebhookError(BatchframeError):
    """Webhook request without a valid signature: respond with HTTP 400."""


class ClientError(BatchframeError):
    """Missing client, or one that this job cannot use."""


class SubmissionError(BatchframeError):
    """Rejected or unsent input file; no batch was created for it."""


class SentElsewhere(SubmissionError):
    """Job that was sent before, from a deleted folder or by another client."""

    batches: frozenset[str] = frozenset()


class SubmissionUncertain(BatchframeError):
    """Batch that may or may not exist; batchframe does not create another."""


class ServiceError(BatchframeError):
    """Unreachable service, or an invalid response."""

    status: int | None = None
    """HTTP status of the response; None without a response."""

    out_of_reach: bool = False
    """Whether the service is unreachable, so that other requests fail too."""

    broke_off: bool = False
    """Whether the connection closed before the response was complete."""

    cause: str = ""
    """The cause alone, without the next step; empty if not separated."""

    @property
    def passing(self) -> bool:
        """Whether a retry may succeed."""
        return self.status is None or self.status in {408, 409, 425, 429, *range(500, 600)}

    @classmethod
    def unreachable(cls, reason: str) -> Self:
        error = cls(
            f"The service could not be reached: {reason}. The job is saved in its folder. Fix: "
            "once the connection is back, " + RUN_AGAIN + "."
        )
        error.out_of_reach = True
        error.cause = f"the service could not be reached: {reason}"
        return error

    @classmethod
    def unusable(cls, *, got: str, what: str) -> Self:
        return cls(
            f"The service's response is not {what} ({got}); it may come from a proxy or a login "
            "page. Fix: check " + BASE_URL + ", then " + RUN_AGAIN + "."
        )

    @classmethod
    def too_slow(cls, what: str, got: int, seconds: float) -> Self:
        cause = f"reading {what} timed out ({got:,} B in {seconds:,.0f} s)"
        error = cls(f"{cause[0].upper()}{cause[1:]}. No data was lost. Fix: " + REFRESH + ".")
        error.cause = cause
        return error


class SeveralBatchesWarning(UserWarning):
    """Input file with more than one batch; each is billed."""

    @classmethod
    def found(cls, job: str, number: int, batches: Sequence[str]) -> Self:
        return cls(
            f"Job {job!r} has {len(batches)} batches for input file {number} on the server "
            f"({format_list(batches)}); each is billed, and batchframe uses the oldest. Fix: "
            "client.batches.cancel(id) for the others."
        )


class UnverifiedBatchWarning(UserWarning):
    """New batch whose input file the service does not name."""


class ParameterWarning(UserWarning):
    """Body parameter that is unknown to OpenAI."""


class ReasoningWarning(UserWarning):
    """Cost limit that reasoning tokens may exceed."""


class IntervalWarning(UserWarning):
    """Cost limit compared with an interval, where no upper bound is known."""


class OpenFolderWarning(UserWarning):
    """Folder of batchframe that other users of the machine can access."""


class UnreadableJobWarning(UserWarning):
    """Job folder that was omitted from a list."""

    @classmethod
    def skipped(cls, why: Exception) -> Self:
        return cls("One job is omitted: " + NextStep(str(why), in_shell(why)))


class UnrecoveredBatchWarning(UserWarning):
    """Batch on the server that could not be recovered."""


class NamesakeWarning(UserWarning):
    """New job with the name of another."""


class JoinWarning(UserWarning):
    """Join that finds few of the rows."""


class JobError(BatchframeError):
    """Job folder that is missing, damaged, newer, or in use elsewhere."""

    @classmethod
    def not_found(cls, name: str, near: Sequence[str] = ()) -> Self:
        suggestion = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        return cls(
            f"Job {name!r} not found.{suggestion}",
            next_step=JOBS
            + " lists the jobs in BATCHFRAME_HOME. To open a job elsewhere, pass its folder: "
            + NextStep('bf.job("path/to/folder")', "`batchframe show path/to/folder`")
            + ".",
        )

    @classmethod
    def damaged(cls, path: str, why: str) -> Self:
        return cls(
            f"{path} is damaged: {why}. Fix: restore the job's folder from a copy; its batches on "
            "the server are not affected."
        )

    @classmethod
    def is_a_link(cls, path: str) -> Self:
        return cls(
            f"{path}: symbolic links are not followed inside BATCHFRAME_HOME, because they could "
            "point anywhere. Fix: copy the target there, or set BATCHFRAME_HOME to the real folder."
        )

    @classmethod
    def busy(cls, job: str) -> Self:
        return cls(
            NextStep("Another kernel", "Another process") + f" is using job {job!r}.",
            next_step="Fix: " + RUN_AGAIN + " in a moment.",
        )

    @classmethod
    def not_sent(cls, job: str) -> Self:
        resume, cancel = job_step(job, "resume"), job_step(job, "cancel")
        return cls(
            f"Job {job!r} is not fully submitted, so waiting for it would never end.",
            next_step="Fix: " + resume + ". To drop what was not sent: " + cancel + ".",
        )


class ExtraError(BatchframeError, ImportError):
    """Missing optional dependency."""


class LocalServerError(BatchframeError):
    """Local batch server that cannot start, or an unsupported request."""


class JobTimeout(JobError, TimeoutError):
    """Timeout of ``wait()``; the job continues at the service."""


_PACKAGE: Final = Path(__file__).parents[1]


def warn_user(warning: Warning) -> None:
    """Issue a warning that points at the first line outside batchframe."""
    depth, frame = 1, inspect.currentframe()
    while frame is not None and Path(frame.f_code.co_filename).is_relative_to(_PACKAGE):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(warning, stacklevel=depth)
