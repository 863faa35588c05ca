"""The commands: each is one step into a room, and what it has to say afterwards.

In: parsed options. Out: an :class:`Outcome`: an exit code, facts for ``--json``, words for people.
Must not know: how options are written, where the words go.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import pandas as pd

from batchframe._api.functions import job as find_job
from batchframe._api.functions import join
from batchframe._api.functions import recover as recover_jobs
from batchframe._api.job import Job
from batchframe._api.listing import jobs as list_jobs
from batchframe._base.errors import CommandError, JobError, JobTimeout
from batchframe._cli import exit_codes as codes
from batchframe._cli.demo import demo as run_demo
from batchframe._cli.doctor import Finding, examine, probe, words_of
from batchframe._cli.json_facts import (
    estimate_facts,
    estimate_words,
    job_facts,
    job_words,
    jobs_facts,
)
from batchframe._cli.options import asking, prices_of
from batchframe._cli.shell_words import in_shell
from batchframe._cli.streams import agreed, answer, aside_from_json, document, tell
from batchframe._cli.tables import check_destination, read_table, write_table
from batchframe._display import money, plural
from batchframe._endpoints.endpoint import ASKED_AGAIN
from batchframe._frames.spreadsheet import escape_formulas

_LISTED: Final = ["name", "id", "status", "rows", "ok", "failed", "cost", "submitted"]


@dataclass(frozen=True)
class Outcome:
    """What became of a command.

    Attributes
    ----------
    facts
        The document that ``--json`` prints; None if it was printed before.
    words
        What is printed otherwise.
    """

    code: int
    facts: Mapping[str, Any] | None
    words: str = ""


def estimate(got: argparse.Namespace) -> Outcome:
    asked = asking(got, read_table(got.input))
    known = asked.estimate(
        prices=prices_of(got.price), reuse=not got.no_reuse, provider=got.provider
    )
    return Outcome(codes.OK, estimate_facts(known), estimate_words(known, asked))


def submit(got: argparse.Namespace) -> Outcome:
    if got.to is not None:
        if not got.wait:
            raise CommandError(
                "--to writes the answers, for which the job must be done: add --wait, or leave "
                "--to out and write them later: batchframe fetch JOB --input INPUT --to OUTPUT"
            )
        check_destination(got.to, got.input)
    frame = read_table(got.input)
    job = asking(got, frame).submit(
        got.name,
        max_cost=got.max_cost,
        prices=prices_of(got.price),
        provider=got.provider,
        reuse=not got.no_reuse,
        rerun=got.rerun,
        on_uncertain=got.on_uncertain,
    )
    if not got.wait:
        return _of(job, codes.OK)
    outcome = _waited(job, got.timeout)
    if got.to is not None and job.done:
        _write(join(frame, job, details=got.details), got)
    return outcome


def wait(got: argparse.Namespace) -> Outcome:
    return _waited(find_job(got.job), got.timeout)


def show(got: argparse.Namespace) -> Outcome:
    job = find_job(got.job)
    if not got.offline:
        _look(job)
    return _of(job, codes.code_of(job))


def jobs(_got: argparse.Namespace) -> Outcome:
    found = list_jobs()
    submitted = found["submitted"].dt.strftime("%Y-%m-%d %H:%M UTC")
    shown = found[_LISTED].assign(submitted=submitted, cost=found["cost"].map(money))
    words = shown.fillna("").to_string(index=False) if len(found) else "There is no job here yet."
    return Outcome(codes.OK, {"jobs": jobs_facts(found)}, words)


def fetch(got: argparse.Namespace) -> Outcome:
    check_destination(got.to, got.input)
    found = [find_job(name) for name in got.job]
    if got.input is None and len(found) > 1:
        raise CommandError(
            "Several jobs are joined row by row, for which the frame is needed: --input FILE."
        )
    for job in found:
        _look(job)
    behind = next((job for job in found if not job.done), None)
    if behind is not None and not got.partial:
        called = behind.name or behind.id
        sent = _is_sent(behind)
        tell(
            str(
                CommandError(
                    f"Job {called} is not done, so nothing was written. Wait for it, or write what "
                    "is here, the other rows as pending: --partial."
                )
                if sent
                else JobError.not_sent(called)
            )
        )
        return _of(behind, codes.code_of(behind))
    rows = _rows_of(found, got)
    _write(rows, got)
    code = codes.OK if rows[f"{got.prefix}bf_status"].isin(["ok", "skipped"]).all() else codes.ROWS
    facts = {"to": got.to, "rows": len(rows), "jobs": [job_facts(job) for job in found]}
    words = f"{plural(len(rows), 'row')} written to {got.to}\n{_status_words(rows, got.prefix)}"
    return Outcome(code if behind is None else codes.code_of(behind), facts, words)


def _write(rows: pd.DataFrame, got: argparse.Namespace) -> None:
    write_table(escape_formulas(rows) if got.escape_formulas else rows, got.to)


def _rows_of(found: list[Job], got: argparse.Namespace) -> pd.DataFrame:
    if got.input is None:
        return found[0].results(details=got.details).add_prefix(got.prefix)
    return join(
        read_table(got.input),
        *found,
        prefix=got.prefix,
        details=got.details,
        overwrite=got.overwrite,
    )


def _status_words(rows: pd.DataFrame, prefix: str) -> str:
    counts = rows[f"{prefix}bf_status"].value_counts()
    return ", ".join(f"{number:,} {status}" for status, number in counts.items() if number)


def cancel(got: argparse.Namespace) -> Outcome:
    return _of(find_job(got.job).cancel(), codes.OK)


def resume(got: argparse.Namespace) -> Outcome:
    return _of(find_job(got.job).resume(recreate=got.recreate), codes.OK)


def unanswered(got: argparse.Namespace) -> Outcome:
    job = find_job(got.job)
    _look(job)
    if not job.done:
        return _of(job, codes.code_of(job))
    if not any(job.counts.get(status) for status in (*ASKED_AGAIN, *got.also)):
        return Outcome(codes.OK, {"job": None}, f"Nothing of job {got.job} is to be asked again.")
    asked = job.unanswered(also=got.also)
    again = asked.submit(got.name, max_cost=got.max_cost, prices=prices_of(got.price))
    return _waited(again, got.timeout) if got.wait else _of(again, codes.OK)


def recover(_got: argparse.Namespace) -> Outcome:
    found = recover_jobs()
    words = "\n\n".join(map(job_words, found)) or "There is no job on the server that is not here."
    return Outcome(codes.OK, {"jobs": [job_facts(job) for job in found]}, words)


def forget(got: argparse.Namespace) -> Outcome:
    job = find_job(got.job)
    also = " and its files on the server" if got.remote else ""
    if not (got.yes or agreed(f"Remove {job.folder}{also}? It cannot be brought back.")):
        raise CommandError(
            "Nobody said yes, so nothing was done. Where nobody can be asked, add --yes."
        )
    folder = job.folder
    gone = job.forget(remote=got.remote)
    return Outcome(codes.USAGE if folder.exists() else codes.OK, asdict(gone), str(gone))


def doctor(got: argparse.Namespace) -> Outcome:
    found = [_said(finding, got) for finding in examine()]
    if got.live and _has_problem(found):
        found.append(_said(_NOT_TRIED, got))
    elif got.live:
        asked = probe(got.model, lambda question: got.yes or agreed(question))
        found += [_said(finding, got) for finding in asked]
    code = codes.USAGE if _has_problem(found) else codes.OK
    return Outcome(code, {"findings": [asdict(finding) for finding in found]})


_NOT_TRIED: Final = Finding("live", "warning", "not tried: mend what is a problem above first")


def _said(finding: Finding, got: argparse.Namespace) -> Finding:
    """Say a finding as soon as it is made: a check of the network may take its time."""
    next_step = finding.next_step and in_shell(finding.next_step)
    finding = replace(finding, told=in_shell(finding.told), next_step=next_step)
    answer(words_of(finding), aside=got.json)
    return finding


def _has_problem(found: list[Finding]) -> bool:
    return any(finding.verdict == "problem" for finding in found)


def demo(got: argparse.Namespace) -> Outcome:
    ended: list[dict[str, Any]] = []
    with aside_from_json(wanted=got.json):
        code = run_demo(
            live=got.live,
            model=got.model,
            yes=got.yes,
            ended=lambda job: ended.append(job_facts(job)),
        )
    return Outcome(code, {"job": ended[0] if ended else None})


def serve(got: argparse.Namespace) -> Outcome:
    # Optional: the extra "local" brings the server.
    from batchframe.local import run  # noqa: PLC0415

    def ready(url: str) -> None:
        client = _OPENAI.format(url=url)
        if got.profile == "azure":
            client = _AZURE.format(url=url.removesuffix("/openai"))
        answer(_READY.format(url=url, client=client), aside=got.json)
        if got.json:
            document({"url": url})

    run(
        host=got.host,
        port=got.port,
        folder=got.folder,
        profile=got.profile,
        upstream=got.upstream,
        seconds=got.seconds,
        ready=ready,
    )
    return Outcome(codes.OK, None)


_READY: Final = """\
Batch server at {url}
    client = {client}
Stop it with Ctrl-C."""
_OPENAI: Final = 'openai.OpenAI(base_url="{url}", api_key="local")'
_AZURE: Final = (
    'openai.AzureOpenAI(azure_endpoint="{url}", api_version="2024-10-21", api_key="local")'
)


def _look(job: Job) -> None:
    """Look once at the service; what was not sent has nothing to look at."""
    try:
        job.refresh()
    except JobError:
        if _is_sent(job):
            raise


def _is_sent(job: Job) -> bool:
    return job.status not in {*codes.UNSENT, "uncertain"}


def _waited(job: Job, timeout: float | None) -> Outcome:
    try:
        job.wait(timeout)
    except JobTimeout as reason:
        tell(str(reason))
        return _of(job, codes.RUNNING)
    except JobError as reason:
        if job.status != "uncertain":
            raise
        tell(str(reason))
        return _of(job, codes.UNCERTAIN)
    return _of(job, codes.code_of(job))


def _of(job: Job, code: int) -> Outcome:
    return Outcome(code, job_facts(job), job_words(job))
