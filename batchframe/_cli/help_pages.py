"""Help pages of the commands: purpose, example and exit codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

WHOLE: Final = """\
DataFrame rows to OpenAI Batch API requests, and every answer back to its row: for
what outlives a notebook (cron, Airflow, Dagster).

Jobs are kept where BATCHFRAME_HOME says, the same for notebooks and this command.
The key is read from OPENAI_API_KEY; OPENAI_BASE_URL, OPENAI_ORG_ID and
OPENAI_PROJECT_ID are heeded too."""

CODES: Final = """\
exit codes:
  0    done
  1    done, and some rows have no answer
  2    it could not be done; the reason stands on the standard error stream
  3    still running
  4    not known whether a batch was created; nothing is sent again unasked
  130  interrupted (Ctrl-C); a job goes on at the service"""

_FAILED: Final = (2, "it could not be done; the reason stands on the standard error stream")
_RUNNING: Final = (3, "the job is still running")
_UNCERTAIN: Final = (4, "not known whether a batch was created: batchframe resume JOB looks again")
_ROWS: Final = (1, "the job is done, and some rows have no answer")
_ANSWERED: Final = (0, "the job is done, and every row has its answer (or was skipped)")
_OF_A_JOB: Final = (_ANSWERED, _ROWS, _FAILED, _RUNNING, _UNCERTAIN)


@dataclass(frozen=True)
class Page:
    """Help page of one command.

    Attributes
    ----------
    told
        Additional description.
    """

    purpose: str
    usage: str
    example: str
    codes: tuple[tuple[int, str], ...]
    told: str = ""

    @property
    def epilog(self) -> str:
        """Text below the options."""
        example = "\n".join(f"  {line}" for line in self.example.split("\n"))
        codes = "\n".join(f"  {code}  {told}" for code, told in self.codes)
        return f"example:\n{example}\n\nexit codes:\n{codes}"

    @property
    def description(self) -> str:
        """Text above the options."""
        return f"{self.purpose}\n\n{self.told}" if self.told else self.purpose


_CELLS: Final = """\
INPUT is a .csv or a .parquet file, or - for a CSV on the standard input. The cells
of a CSV are read as text, exactly as they stand (007 keeps its zeros, NA is a
word); an empty cell is missing. Parquet keeps its types."""

_TO: Final = """\
OUTPUT is a .csv or a .parquet file, or - for a CSV on the standard output. A file
is replaced only when all of the new one is on the disk."""

PAGES: Final[Mapping[str, Page]] = {
    "demo": Page(
        "Label the sample reviews, without a key and without a bill.",
        "batchframe demo [options]",
        "batchframe demo",
        (_ANSWERED, _ROWS, _FAILED),
    ),
    "doctor": Page(
        "Check the key, the network, the home folder and what is installed.",
        "batchframe doctor [options]",
        "batchframe doctor\nbatchframe doctor --live --yes",
        ((0, "no problem was found; there may be warnings"), (2, "there is a problem")),
        "Each line is ok, a warning or a problem, and says what to do. The key is never\n"
        "printed. --live measures on the service itself how soon a batch shows in its list\n"
        "and whether a batch of a deleted file is refused, which is what the promise of at\n"
        "most one batch rests on. It creates one batch of one request, and cancels it.",
    ),
    "estimate": Page(
        "Say what the requests of a file would cost; send nothing, write nothing.",
        "batchframe estimate INPUT --prompt TEMPLATE --model MODEL [options]",
        "batchframe estimate reviews.csv --prompt 'Classify: {{ text }}' \\\n"
        "    --model gpt-5.6-luna --output positive,negative,mixed",
        ((0, "the estimate is printed"), (2, "something cannot be asked as it stands")),
        _CELLS,
    ),
    "submit": Page(
        "Send the requests of a file: the command that spends.",
        "batchframe submit INPUT --prompt TEMPLATE --model MODEL [options]",
        "batchframe submit reviews.csv --prompt-file prompt.txt --model gpt-5.6-luna \\\n"
        "    --output positive,negative,mixed --name sentiment --max-cost 2.00\n"
        "batchframe submit ... --wait --to labelled.parquet",
        ((0, "submitted; with --wait: every row has its answer (or was skipped)"),
         (1, "with --wait: the job is done, and some rows have no answer"),
         _FAILED,
         (3, "with --timeout: the job is still running"),
         _UNCERTAIN),
        "Run again with the same rows and options it finds the same job and pays nothing,\n"
        f"whatever became of the first run.\n\n{_CELLS}",
    ),
    "jobs": Page(
        "List the jobs of this machine, newest first, as they were at the last look.",
        "batchframe jobs [options]",
        "batchframe jobs",
        ((0, "the list is printed"), _FAILED),
    ),
    "show": Page(
        "Look at a job once: where it stands, what it cost, and what to do next.",
        "batchframe show JOB [options]",
        "batchframe show sentiment",
        _OF_A_JOB,
    ),
    "wait": Page(
        "Wait until a job is done. Interrupting it leaves the job alone.",
        "batchframe wait JOB [options]",
        "batchframe wait sentiment --timeout 3600",
        (_ANSWERED, _ROWS, _FAILED, (3, "the time is over, and the job is still running"),
         _UNCERTAIN),
    ),
    "cancel": Page(
        "Ask the service to stop a job. What it finished is billed, and is kept.",
        "batchframe cancel JOB [options]",
        "batchframe cancel sentiment && batchframe wait sentiment",
        ((0, "the service was asked, or the job had ended"), _FAILED),
    ),
    "fetch": Page(
        "Write a job's answers: behind the columns of INPUT, or on their own.",
        "batchframe fetch JOB [JOB ...] --to OUTPUT [--input INPUT] [options]",
        "batchframe fetch sentiment --input reviews.csv --to labelled.parquet\n"
        "batchframe fetch sentiment 0a1b2c3d4e5f60718293 --input reviews.csv --to all.csv",
        (_ANSWERED, _ROWS, _FAILED,
         (3, "the job is still running; nothing was written, unless --partial"),
         _UNCERTAIN),
        "Rows are found by the content of their requests, so INPUT may have been sorted or\n"
        "filtered since. Of several jobs the first with a good answer to a row gives it.\n\n"
        f"{_CELLS}\n\n{_TO}",
    ),
    "unanswered": Page(
        "Submit anew what a job left without an answer, as a job of its own.",
        "batchframe unanswered JOB [options]",
        "batchframe unanswered sentiment --max-cost 0.50 --name 'sentiment, again'\n"
        "batchframe fetch sentiment 'sentiment, again' --input reviews.csv --to all.csv",
        ((0, "submitted, or there is nothing to ask again"),
         (1, "with --wait: the new job is done, and some rows have no answer"),
         _FAILED,
         (3, "the job is still running; nothing was sent"),
         _UNCERTAIN),
        "Asked again is what failed, expired, was cancelled or is missing, exactly as it\n"
        "was sent.",
    ),
    "resume": Page(
        "Go on with a submission that was interrupted, refused or left uncertain.",
        "batchframe resume JOB [options]",
        "batchframe resume sentiment",
        ((0, "all of the job is submitted"), _FAILED, _UNCERTAIN),
    ),
    "recover": Page(
        "Bring back the jobs that are on the server and have no folder here.",
        "batchframe recover [options]",
        "batchframe recover && batchframe jobs",
        ((0, "what there is was brought back"), _FAILED),
    ),
    "forget": Page(
        "Remove a job: its requests, its answers, everything about it that is here.",
        "batchframe forget JOB [options]",
        "batchframe forget sentiment --remote --yes",
        ((0, "removed"),
         (2, "refused (it is under way, or nobody said yes), or something remains")),
    ),
    "serve": Page(
        "Run a batch server on this machine, to rehearse or to use your own model.",
        "batchframe serve [options]",
        "batchframe serve --port 8000 --folder server-state\n"
        "OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=local batchframe doctor",
        ((0, "stopped with Ctrl-C"), _FAILED),
    ),
}  # fmt: skip

DAY: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("try it", ("demo", "doctor")),
    ("ask", ("estimate", "submit")),
    ("look, wait", ("jobs", "show", "wait", "cancel")),
    ("bring it home", ("fetch", "unanswered")),
    ("mend", ("resume", "recover")),
    ("clean up", ("forget",)),
    ("rehearse", ("serve",)),
)
"""Commands in the order of use."""


def table_of_contents() -> str:
    """Format the list of commands, grouped by purpose."""
    lines = []
    for work, names in DAY:
        lines.append(f"{work}:")
        lines += [f"  {name:<11} {PAGES[name].purpose}" for name in names]
    return "\n".join(lines)
