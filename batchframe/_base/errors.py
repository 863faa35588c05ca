"""The exceptions and warnings of batchframe, and the parts that their messages share.

A message tells the person who must act *what* is wrong, *where* (row, column, file, batch) and the
*next step* as code. It is written where the check is; a constructor here has callers in several
packages. ``batchframe.errors`` is the public face.
"""

from __future__ import annotations

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


def format_row(position: int, label: object) -> str:
    """Name a row by its position and, where that tells more, by its index label."""
    label = plain_scalar(label)
    if isinstance(label, int) and label == position:
        return f"row {position}"
    return f"row {position} (index {label!r})"


def plain_scalar(label: object) -> object:
    """Return a numpy scalar as its Python value."""
    # numpy writes its scalars as np.int64(3), which is no help to a reader.
    return label.item() if isinstance(label, np.generic) else label


def format_list(names: Iterable[object], most: int = 12) -> str:
    """List names in quotes, and count those beyond `most`."""
    shown = [repr(name) for name in names]
    if len(shown) > most:
        shown = [*shown[:most], f"and {len(shown) - most:,} more"]
    return ", ".join(shown) or "none"


def quote(text: str, most: int = 60) -> str:
    """Quote a string, cut to `most` characters."""
    return repr(text if len(text) <= most else f"{text[:most]}…")


def allow_hint(name: str) -> NextStep:
    """Say how to send a parameter that a check refuses."""
    return "To send it all the same: " + requests_step(f'allow=["{name}"]') + "."


def shorten(reason: object, most: int = 200) -> str:
    """Return a reason on one line, without its final period, cut to `most` characters."""
    text = " ".join(str(reason).split()).rstrip(".")
    return text if len(text) <= most else f"{text[:most]}…"


def without_link(reason: object) -> str:
    """Return a reason without the link that Pydantic appends."""
    # Pydantic ends its messages with a link to a page about them.
    return shorten(str(reason).partition("For further information")[0])


class BatchframeError(Exception):
    """The root: ``except bf.errors.BatchframeError`` catches all that batchframe raises.

    Attributes
    ----------
    next_step
        What to do about it, which the message ends with; None where the message has it within.
    """

    def __init__(self, message: object = "", *, next_step: str | None = None) -> None:
        told = message if isinstance(message, str) else str(message)
        if next_step is not None:
            told = told + ("" if told.endswith("\n") else " ") + next_step
        # A service's words may be anything; a terminal obeys control characters.
        super().__init__(NextStep(visible_lines(told), visible_lines(in_shell(told))))
        self.next_step = next_step

    def _render_traceback_(self) -> list[str]:
        """Show the user's own lines in a notebook: IPython asks for this."""
        return notebook_lines(self)


class InputError(BatchframeError, ValueError):
    """Something given to batchframe cannot be used. Nothing was written and nothing was sent."""


class TemplateError(InputError):
    """A prompt template that cannot be rendered."""

    @classmethod
    def not_a_prompt(cls, prompt: object) -> Self:
        return cls(
            f"The prompt is a {type(prompt).__name__}. It must be a template such as "
            '"Classify: {{ text }}", a list of messages such as '
            '[{"role": "user", "content": "Classify: {{ text }}"}], or a function of a row that '
            "returns one of these."
        )


class SourceError(InputError):
    """Rows that cannot be read, or not twice the same."""

    @classmethod
    def unreadable(cls, path: str, reason: str) -> Self:
        return cls(
            f"{path} cannot be read as Parquet or Arrow: {reason.rstrip('.')}. Other formats are "
            "read first: batchframe.requests(pd.read_csv(path), ...)."
        )


class ColumnError(InputError):
    """A column that is absent, ambiguous or already there."""

    @classmethod
    def taken(cls, names: Sequence[str], remedy: str) -> Self:
        return cls(
            f"The frame already has {format_list(names)}, where the answers would go.",
            next_step=remedy,
        )

    @classmethod
    def not_there(cls, name: object, near: Sequence[str], columns: Sequence[object]) -> Self:
        guess = f"Did you mean {near[0]!r}? " if near else ""
        return cls(
            f"The frame has no column {plain_scalar(name)!r}. {guess}Columns: "
            f"{format_list(columns)}."
        )

    @classmethod
    def several(cls, name: object, positions: Sequence[int]) -> Self:
        return cls(
            f"{len(positions)} columns are named {plain_scalar(name)!r} (positions "
            f"{format_list(positions)}), so it is not clear which is meant. Rename them: "
            "df.columns = [...]."
        )

    @classmethod
    def given_twice(cls, name: object) -> Self:
        return cls(
            f"Column {plain_scalar(name)!r} would be compared with itself. Name another column."
        )


class CellError(InputError):
    """A cell that has no exact text, or is no image that may be sent."""


class TemplateWarning(UserWarning):
    """A template that may not say what was meant."""


class OutputSpecError(InputError):
    """An output spec that the service's strict mode would refuse."""

    @classmethod
    def repeated_columns(cls, names: Sequence[str]) -> Self:
        return cls(
            f"Two answer columns would both be named {format_list(names)} (a nested field is named "
            "parent.field). Rename one of the fields."
        )


class RequestError(InputError):
    """A request body that the service would refuse."""

    @classmethod
    def not_a_frame(cls, frame: object) -> Self:
        return cls(
            f"join() adds columns to a pandas DataFrame, and this is a {type(frame).__name__}. "
            "For rows that memory need not hold: job.to_parquet(path, source)."
        )

    @classmethod
    def not_a_word(cls, keyword: str, value: object, wanted: str) -> Self:
        return cls(f"{keyword}={shorten(repr(value), 60)} is not {wanted}.")

    @classmethod
    def unknown_endpoint(cls, path: str, near: Sequence[str], known: Sequence[str]) -> Self:
        guess = f"Did you mean {near[0]!r}? " if near else ""
        return cls(
            f"batchframe does not speak the endpoint {path!r}. {guess}It speaks "
            f"{format_list(known)}."
        )


class FileIsThereError(InputError, FileExistsError):
    """A file that would be replaced."""


class CommandError(InputError):
    """Something written on the command line that cannot be done."""


class CostError(InputError):
    """A cost that is too high, or that nobody can state."""

    @classmethod
    def unknown_tier(cls, tier: str, known: Sequence[str]) -> Self:
        return cls(f"There is no price tier {tier!r}. The tiers are {format_list(known)}.")


class WebhookError(BatchframeError):
    """What came to a web server is not what the service posts: answer it with HTTP 400."""


class ClientError(BatchframeError):
    """There is no client, or it is not one that this job can use."""


class SubmissionError(BatchframeError):
    """The service refused a part of the job, or was out of reach: it made no batch of it."""


class SentElsewhere(SubmissionError):
    """The job was sent before, from a folder that is not here."""

    batches: frozenset[str] = frozenset()


class SubmissionUncertain(BatchframeError):
    """A batch may or may not have been created; batchframe does not spend on a guess."""


class ServiceError(BatchframeError):
    """The service could not be reached, or what it answered could not be used."""

    status: int | None = None
    """The HTTP status, where the service answered with one."""

    out_of_reach: bool = False
    """Whether no connection held, so that asking for something else is of no use now."""

    broke_off: bool = False
    """Whether an answer began and did not come to its end."""

    cause: str = ""
    """What happened, without what to do about it, where that is known apart."""

    @property
    def passing(self) -> bool:
        """Whether asking again later may help."""
        return self.status is None or self.status in {408, 409, 425, 429, *range(500, 600)}

    @classmethod
    def unreachable(cls, reason: str) -> Self:
        error = cls(
            f"The service could not be reached: {reason}. Your job is safe in its folder; "
            "when the connection is back, " + RUN_AGAIN + "."
        )
        error.out_of_reach = True
        error.cause = f"the service could not be reached: {reason}"
        return error

    @classmethod
    def unusable(cls, *, got: str, what: str) -> Self:
        return cls(
            f"The service's answer was not {what} but {got}. A proxy or a login page may stand in "
            "between; check " + BASE_URL + ", then " + RUN_AGAIN + "."
        )

    @classmethod
    def too_slow(cls, what: str, got: int, seconds: float) -> Self:
        return cls(
            f"The service sent only {got:,} bytes of {what} in {seconds:,.0f} seconds, so reading "
            "it was given up. Nothing was replaced and nothing is lost: call "
            + REFRESH
            + " to ask again."
        )


class SeveralBatchesWarning(UserWarning):
    """One input was found in more than one batch; each of them is billed."""

    @classmethod
    def found(cls, job: str, part: int, batches: Sequence[str]) -> Self:
        return cls(
            f"Part {part} of job {job} exists {len(batches)} times on the server: "
            f"{format_list(batches)}. Each is billed. The oldest is used; to stop the others, call "
            "client.batches.cancel(id)."
        )


class ParameterWarning(UserWarning):
    """A parameter of the body that OpenAI does not know."""


class ReasoningWarning(UserWarning):
    """A limit that reasoning tokens may pass."""


class IntervalWarning(UserWarning):
    """A limit that was held against what is likely, where nothing is certain."""


class OpenFolderWarning(UserWarning):
    """A folder of batchframe's that other users of the machine could use."""


class UnreadableJobWarning(UserWarning):
    """A job's folder that was left out of a list."""

    @classmethod
    def skipped(cls, why: Exception) -> Self:
        return cls("One job is left out: " + NextStep(str(why), in_shell(why)))


class UnrecoveredBatchWarning(UserWarning):
    """A batch on the server whose job could not be rebuilt here."""


class NamesakeWarning(UserWarning):
    """A new job has the name of another."""


class JobError(BatchframeError):
    """A job's folder is missing, damaged, of a newer version, or in use elsewhere."""

    @classmethod
    def not_found(cls, name: str, near: Sequence[str] = ()) -> Self:
        meant = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        return cls(
            f"There is no job {name!r} here.{meant}",
            next_step=JOBS
            + " lists those that are; a job of another machine is found by its folder: "
            + NextStep('bf.job("path/to/folder")', "`batchframe show path/to/folder`")
            + ". BATCHFRAME_HOME says where jobs are kept.",
        )

    @classmethod
    def damaged(cls, path: str, why: str) -> Self:
        return cls(
            f"{path} is damaged: {why}. It is not used. Restore the job's folder from a copy; the "
            "batches on the server are not touched."
        )

    @classmethod
    def is_a_link(cls, path: str) -> Self:
        return cls(
            f"{path} is a symbolic link, and batchframe follows none inside its home: whoever made "
            "it would choose what is read or written. Put the folder or file itself there, or set "
            "BATCHFRAME_HOME to where the jobs are."
        )

    @classmethod
    def busy(cls, job: str) -> Self:
        return cls(
            NextStep("Another kernel", "Another process")
            + f" is working on job {job} at this moment.",
            next_step=NextStep("Run the cell", "Run the command")
            + " again in a moment: it will find the job.",
        )

    @classmethod
    def not_sent(cls, job: str) -> Self:
        return cls(
            f"Job {job} was not sent, or not all of it, so there is nothing to wait for.",
            next_step="Go on with it: " + job_step(job, "resume") + ".",
        )


class ExtraError(BatchframeError, ImportError):
    """Something needs an optional package that is not installed."""


class LocalServerError(BatchframeError):
    """The local batch server cannot start, or is asked for something it cannot do."""


class JobTimeout(JobError, TimeoutError):
    """The time to wait is over; the job goes on."""


_PACKAGE: Final = Path(__file__).parents[1]


def warn_user(warning: Warning) -> None:
    """Warn as the first line outside of batchframe."""
    depth, frame = 1, inspect.currentframe()
    while frame is not None and Path(frame.f_code.co_filename).is_relative_to(_PACKAGE):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(warning, stacklevel=depth)
