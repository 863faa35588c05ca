"""Help pages of the commands: purpose, example and exit codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

WHOLE: Final = """\
Turn the rows of a file into OpenAI Batch API requests, and match the answers back to
the rows. For scripts and schedulers such as cron, Airflow or Dagster.

Jobs are stored in BATCHFRAME_HOME, by default your user state folder; notebooks use
the same jobs. The API key is read from OPENAI_API_KEY. OPENAI_BASE_URL, OPENAI_ORG_ID
and OPENAI_PROJECT_ID are also used."""

CODES: Final = """\
exit codes:
  0    done
  1    done, but some rows have no answer
  2    failed; the reason is on standard error
  3    still running
  4    unknown whether a batch was created; nothing is sent again automatically
  130  interrupted (Ctrl-C); a submitted job keeps running on the service"""

_FAILED: Final = (2, "failed; the reason is on standard error")
_UNCERTAIN: Final = (4, "unknown whether a batch was created; run: batchframe resume JOB")
_DONE: Final = (
    (0, "the job is done, and every row has an answer (or was skipped)"),
    (1, "the job is done, but some rows have no answer"),
    _FAILED,
)
_OF_A_JOB: Final = (*_DONE, (3, "the job is still running"), _UNCERTAIN)
_SUBMITTED: Final = (
    (0, "submitted, or nothing to submit; with --wait: every row has an answer (or was skipped)"),
    (1, "with --wait: the job is done, but some rows have no answer"),
    _FAILED,
    (3, "the job is still running"),
    _UNCERTAIN,
)


@dataclass(frozen=True)
class Page:
    """Help page of one command."""

    purpose: str
    usage: str
    example: str
    codes: tuple[tuple[int, str], ...]
    details: str = ""

    @property
    def epilog(self) -> str:
        """Text below the options."""
        example = self.example.replace("\n", "\n  ")
        codes = "\n".join(f"  {code}  {meaning}" for code, meaning in self.codes)
        return f"example:\n  {example}\n\nexit codes:\n{codes}"

    @property
    def description(self) -> str:
        """Text above the options."""
        return f"{self.purpose}\n\n{self.details}".rstrip()


_CELLS: Final = """\
INPUT is a .csv or .parquet file, or - for CSV on standard input. The cells of a CSV
are read as strings, unchanged (007 keeps its zeros, NA is a string); an empty cell is
missing. Parquet keeps its types."""

PAGES: Final[Mapping[str, Page]] = {
    "demo": Page(
        "Label the sample reviews with a local server; no API key, no cost.",
        "batchframe demo [options]",
        "batchframe demo",
        _DONE,
    ),
    "doctor": Page(
        "Check the API key, the network, the jobs folder and the installed packages.",
        "batchframe doctor [options]",
        "batchframe doctor\nbatchframe doctor --live --yes",
        ((0, "no problem found, but maybe warnings"), (2, "there is a problem")),
        "Each line is ok, a warning or a problem, with the next step. The API key is never\n"
        "printed. --live measures how soon a new batch appears in the service's list, and\n"
        "whether the service rejects a batch of a deleted file; batchframe relies on both\n"
        "never to send a request twice. It creates one batch of one request and cancels it.",
    ),
    "estimate": Page(
        "Estimate the cost of the requests of a file; send and write nothing.",
        "batchframe estimate INPUT --prompt TEMPLATE --model MODEL [options]",
        "batchframe estimate reviews.csv --prompt 'Classify: {{ text }}' \\\n"
        "    --model gpt-5.6-luna --output positive,negative,mixed",
        ((0, "the estimate is printed"), _FAILED),
        _CELLS,
    ),
    "submit": Page(
        "Submit the requests of a file as a job, which is billed.",
        "batchframe submit INPUT --prompt TEMPLATE --model MODEL [options]",
        "batchframe submit reviews.csv --prompt-file prompt.txt --model gpt-5.6-luna \\\n"
        "    --output positive,negative,mixed --name sentiment --max-cost 2.00\n"
        "batchframe submit ... --wait --to labeled.parquet",
        _SUBMITTED,
        "With the same rows and options, the command finds the same job and bills nothing\n"
        f"again, even if the first run was interrupted.\n\n{_CELLS}",
    ),
    "jobs": Page(
        "List the jobs on this machine, newest first, as of their last poll.",
        "batchframe jobs [options]",
        "batchframe jobs",
        ((0, "the list is printed"), _FAILED),
    ),
    "show": Page(
        "Poll a job once; show its status, cost and next step.",
        "batchframe show JOB [options]",
        "batchframe show sentiment",
        _OF_A_JOB,
    ),
    "wait": Page(
        "Wait until a job is done. Ctrl-C does not stop the job.",
        "batchframe wait JOB [options]",
        "batchframe wait sentiment --timeout 3600",
        _OF_A_JOB,
    ),
    "cancel": Page(
        "Cancel a job. Finished answers are billed and remain available.",
        "batchframe cancel JOB [options]",
        "batchframe cancel sentiment && batchframe wait sentiment",
        ((0, "cancellation was requested, or the job has ended"), _FAILED),
    ),
    "fetch": Page(
        "Write the answers of a job to a file, alone or joined to the rows of INPUT.",
        "batchframe fetch JOB [JOB ...] --to OUTPUT [--input INPUT] [options]",
        "batchframe fetch sentiment --input reviews.csv --to labeled.parquet\n"
        "batchframe fetch sentiment 0a1b2c3d4e5f60718293 --input reviews.csv --to all.csv",
        _OF_A_JOB,
        "Rows are matched by the content of their requests, so you may sort or filter INPUT\n"
        "first. With several jobs, a row takes the first valid answer. While a job is\n"
        f"running, nothing is written without --partial.\n\n{_CELLS}\n\n"
        "OUTPUT is a .csv or .parquet file, or - for CSV on standard output. An existing file\n"
        "is replaced once the new one is complete.",
    ),
    "unanswered": Page(
        "Submit the requests without an answer again, as a separate job.",
        "batchframe unanswered JOB [options]",
        "batchframe unanswered sentiment --max-cost 0.50 --name 'sentiment, again'\n"
        "batchframe fetch sentiment 'sentiment, again' --input reviews.csv --to all.csv",
        _SUBMITTED,
        "These are the requests that failed, expired, were cancelled or are missing, exactly\n"
        "as they were sent. While JOB is running, nothing is sent.",
    ),
    "resume": Page(
        "Resume a submission that was interrupted, rejected or uncertain.",
        "batchframe resume JOB [options]",
        "batchframe resume sentiment",
        ((0, "the job is completely submitted"), _FAILED, _UNCERTAIN),
    ),
    "abandon": Page(
        "Close a job whose batches are lost or never end, without their answers.",
        "batchframe abandon JOB [options]",
        "batchframe abandon sentiment --yes && batchframe unanswered sentiment",
        ((0, "closed, or the job was done"), (2, "not closed (not confirmed, or in use)")),
        "Nothing is sent or canceled: the service may still answer and bill the batches.\n"
        "The rows without an answer are missing, and can be submitted again.",
    ),
    "recover": Page(
        "Recover the jobs on the server that have no folder on this machine.",
        "batchframe recover [options]",
        "batchframe recover && batchframe jobs",
        ((0, "the jobs found are recovered"), _FAILED),
    ),
    "forget": Page(
        "Delete a job's folder, with its requests and answers.",
        "batchframe forget JOB [options]",
        "batchframe forget sentiment --remote --yes",
        ((0, "deleted"), (2, "not deleted (job is running, or not confirmed), or not completely")),
    ),
    "serve": Page(
        "Run a local batch server, for testing or with your own model.",
        "batchframe serve [options]",
        "batchframe serve --port 8000 --folder server-state\n"
        "OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=local batchframe doctor",
        ((0, "stopped with Ctrl-C"), _FAILED),
    ),
}  # fmt: skip

DAY: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("try", ("demo", "doctor")),
    ("send", ("estimate", "submit")),
    ("monitor", ("jobs", "show", "wait", "cancel")),
    ("get answers", ("fetch", "unanswered")),
    ("repair", ("resume", "recover", "abandon")),
    ("clean up", ("forget",)),
    ("run locally", ("serve",)),
)
"""Commands in the order of use."""


def table_of_contents() -> str:
    """Format the list of commands, grouped by purpose."""
    lines = []
    for group, names in DAY:
        lines.append(f"{group}:")
        lines += [f"  {name:<11} {PAGES[name].purpose}" for name in names]
    return "\n".join(lines)
