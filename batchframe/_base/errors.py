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

from batchframe._base.safe_text import visible_lines
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


def allow_hint(name: str) -> str:
    """Say how to send a parameter that a check refuses."""
    return f' To send it all the same: requests(..., allow=["{name}"]).'


def shorten(reason: object, most: int = 200) -> str:
    """Return a reason on one line, without its final period, cut to `most` characters."""
    text = " ".join(str(reason).split()).rstrip(".")
    return text if len(text) <= most else f"{text[:most]}…"


def without_link(reason: object) -> str:
    """Return a reason without the link that Pydantic appends."""
    # Pydantic ends its messages with a link to a page about them.
    return shorten(str(reason).partition("For further information")[0])


class BatchframeError(Exception):
    """The root: ``except bf.errors.BatchframeError`` catches all that batchframe raises."""

    def __init__(self, message: object = "") -> None:
        # A service's words may be anything; a terminal obeys control characters.
        super().__init__(visible_lines(str(message)))

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
            f"The frame already has {format_list(names)}, where the answers would go. {remedy}"
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

    @classmethod
    def nothing_to_edit(cls, endpoint: str, on_missing: str) -> Self:
        return cls(
            f"{endpoint} would be asked without an image where a cell is missing, "
            f'on_missing={on_missing!r}. Pass on_missing="skip" to leave such rows out.'
        )

    @classmethod
    def no_detail(cls, endpoint: str) -> Self:
        return cls(
            f"{endpoint} is not told how closely to look: leave image_detail= out "
            '(gpt-image-1.5 takes input_fidelity="high").'
        )

    @classmethod
    def too_many_images(cls, endpoint: str, count: int, most: int) -> Self:
        return cls(
            f"images= names {count:,} columns, and {endpoint} takes {most:,} at most for each row."
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
            f"The service could not be reached: {reason}. Your job is safe in its folder; when the "
            "connection is back, run the cell again."
        )
        error.out_of_reach = True
        error.cause = f"the service could not be reached: {reason}"
        return error

    @classmethod
    def unusable(cls, *, got: str, what: str) -> Self:
        return cls(
            f"The service's answer was not {what} but {got}. A proxy or a login page may stand in "
            "between; check the client's base_url, then run the cell again."
        )

    @classmethod
    def too_slow(cls, what: str, got: int, seconds: float) -> Self:
        return cls(
            f"The service sent only {got:,} bytes of {what} in {seconds:,.0f} seconds, so reading "
            "it was given up. Nothing was replaced and nothing is lost: call job.refresh() to ask "
            "again."
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
    def skipped(cls, why: str) -> Self:
        return cls(f"One job is left out: {why}")


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
            f"There is no job {name!r} here.{meant} bf.jobs() lists those that are; a job of "
            'another machine is found by its folder: bf.job("path/to/folder"). BATCHFRAME_HOME '
            "says where jobs are kept."
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
            f"Another kernel is working on job {job} at this moment. Run the cell again in a "
            "moment: it will find the job."
        )

    @classmethod
    def not_sent(cls, job: str) -> Self:
        return cls(
            f"Job {job} was not sent, or not all of it, so there is nothing to wait for. Go on "
            f"with it: bf.job({job!r}).resume()."
        )


class ExtraError(BatchframeError, ImportError):
    """Something needs an optional package that is not installed."""


class LocalServerError(BatchframeError):
    """The local batch server cannot start, or is asked for something it cannot do."""

    @classmethod
    def folder_in_use(cls, folder: str) -> LocalServerError:
        """Refuse a folder on which another server runs."""
        return cls(
            f"Another local server runs on the folder {folder}. Close that one (`server.close()`, "
            "or Ctrl-C where it was started), or give this one a folder of its own."
        )

    @classmethod
    def damaged(cls, path: str, reason: str) -> LocalServerError:
        """Refuse a folder with a file that cannot be read."""
        return cls(
            f"The local server cannot read {path}: {reason}. Move that file away to go on without "
            "it, or start on another folder: `batchframe.local.serve(folder=...)`."
        )

    @classmethod
    def unknown_profile(
        cls, profile: object, near: Sequence[str], known: Sequence[str]
    ) -> LocalServerError:
        """Refuse to imitate a service that nobody here knows."""
        guess = f" Did you mean {near[0]!r}?" if near else ""
        return cls(
            f"The local server does not know the habits of {shorten(repr(profile), 60)}.{guess} It "
            f"imitates {format_list(known)}: `batchframe.local.serve(profile=...)`."
        )

    @classmethod
    def never_expires(cls, profile: str) -> LocalServerError:
        """Refuse to let a batch expire where the service imitated does not."""
        return cls(
            f"Batches of the profile {profile!r} never expire: they go on until they are done or "
            "cancelled. Use another profile, or `client.batches.cancel(...)`."
        )

    @classmethod
    def other_layout(cls, folder: str, layout: object) -> LocalServerError:
        """Refuse a folder that another version has written."""
        return cls(
            f"The folder {folder} was written by another version of the local server (layout "
            f"{layout!r}). Start on a new folder, or use the batchframe that wrote it."
        )

    @classmethod
    def no_answerer(cls, keyword: str, given: object, wanted: str) -> LocalServerError:
        """Refuse what cannot answer."""
        return cls(f"`{keyword}=` is {shorten(repr(given), 60)}. It must be {wanted}.")

    @classmethod
    def two_answerers(cls) -> LocalServerError:
        """Refuse `answer=` together with `upstream=`."""
        return cls(
            "`answer=` and `upstream=` both say who answers. Give one: a function of the request "
            "body, or the URL of a server that runs a model."
        )

    @classmethod
    def not_started(cls) -> LocalServerError:
        """Refuse what needs a running server."""
        return cls("This local server is not running. Start it with `server.start()`.")

    @classmethod
    def not_a_failure(cls, status_code: object) -> LocalServerError:
        """Refuse an `AnswerError` whose status code is no error."""
        return cls(
            f"An AnswerError has a status code from 400 to 599, and {status_code!r} is none. "
            "For an answer, return it: a text, or a dict."
        )

    @classmethod
    def no_address(cls, host: str, port: int, reason: str) -> LocalServerError:
        """Report that the server cannot listen where it was told to."""
        return cls(
            f"The local server cannot listen on {host}, port {port}: {reason}. Leave out `port=` "
            "to take a free one."
        )

    @classmethod
    def unknown_route(
        cls, route: str, near: Sequence[str], known: Sequence[str]
    ) -> LocalServerError:
        """Refuse a fault on a route that the server does not have."""
        guess = f"Did you mean {near[0]!r}? " if near else ""
        return cls(
            f"The local server has no route {shorten(repr(route), 60)}. {guess}Its routes: "
            f"{', '.join(known)}. `*` stands for any one part, or alone for every route."
        )

    @classmethod
    def unknown_fault(
        cls, kind: object, near: Sequence[str], known: Sequence[str]
    ) -> LocalServerError:
        """Refuse a kind of fault that there is not."""
        guess = f"Did you mean {near[0]!r}? " if near else ""
        return cls(
            f"There is no fault {shorten(repr(kind), 60)}. {guess}Give an HTTP status from 200 to "
            f"599, or one of these: {', '.join(map(repr, known))}."
        )

    @classmethod
    def not_for_fault(cls, option: str, kind: object) -> LocalServerError:
        """Refuse an option that a kind of fault does not listen to."""
        return cls(
            f"`{option}=` means nothing to the fault {kind!r}. Leave it out, or see "
            "`help(batchframe.local.Fault)` for the kinds that take it."
        )

    @classmethod
    def not_an_amount(cls, option: str, value: object, wanted: str) -> LocalServerError:
        """Refuse an option of a fault whose value cannot be meant."""
        given = "is missing" if value is None else f"is {shorten(repr(value), 60)}"
        return cls(f"`{option}=` of the fault {given}. It must be {wanted}.")

    @classmethod
    def not_a_fault(cls, given: object) -> LocalServerError:
        """Refuse a fault that is none."""
        return cls(
            f"{shorten(repr(given), 60)} is no fault. Give a list of them, such as "
            '`faults=[batchframe.local.Fault("POST /v1/batches", "reset", after=True)]`.'
        )

    @classmethod
    def no_batch(cls, batch_id: object) -> LocalServerError:
        """Refuse a batch that the server does not know."""
        said = (
            f"no batch {batch_id!r}"
            if isinstance(batch_id, str)
            else f"to be told a batch's id, job.batches[0].id, and not a {type(batch_id).__name__}"
        )
        return cls(
            f"This local server has {said}. The ones it has: "
            "`[batch.id for batch in server.client().batches.list()]`."
        )


class JobTimeout(JobError, TimeoutError):
    """The time to wait is over; the job goes on."""


_PACKAGE: Final = Path(__file__).parents[1]


def warn_user(warning: Warning) -> None:
    """Warn as the first line outside of batchframe."""
    depth, frame = 1, inspect.currentframe()
    while frame is not None and Path(frame.f_code.co_filename).is_relative_to(_PACKAGE):
        depth, frame = depth + 1, frame.f_back
    warnings.warn(warning, stacklevel=depth)
