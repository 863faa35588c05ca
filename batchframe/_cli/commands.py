"""Commands: each calls the Python API and reports the outcome."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import nullcontext, redirect_stdout
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import pandas as pd

from batchframe._api.functions import job as find_job
from batchframe._api.functions import join
from batchframe._api.functions import recover as recover_jobs
from batchframe._api.job import Job
from batchframe._api.listing import RECOVERABLE
from batchframe._api.listing import jobs as list_jobs
from batchframe._base.errors import CommandError, JobError, JobTimeout
from batchframe._base.safe_text import in_shell, job_step
from batchframe._cli import exit_codes as codes
from batchframe._cli.demo import demo as run_demo
from batchframe._cli.doctor import Finding, examine, probe
from batchframe._cli.json_facts import (
    costs_facts,
    costs_text,
    estimate_facts,
    estimate_text,
    job_facts,
    job_text,
    jobs_facts,
    pilot_facts,
    pilot_text,
)
from batchframe._cli.options import prices_of, requests_of
from batchframe._cli.streams import confirm, print_error, print_json, print_result
from batchframe._cli.tables import check_destination, read_table, write_table
from batchframe._display import money, plural
from batchframe._frames.spreadsheet import escape_formulas

_ABANDON: Final = (
    "Close job {job!r} without its missing answers? The service may still answer and bill them."
)
_COLUMNS: Final = ["name", "id", "status", "rows", "ok", "failed", "cost", "submitted"]
_SKIPPED: Final = Finding("live", "warning", "skipped: fix the problems above first")
_READY: Final = """\
Batch server at {url}
    client = {client}
Stop with Ctrl-C."""
_OPENAI: Final = 'openai.OpenAI(base_url="{url}", api_key={key})'
_AZURE: Final = (
    'openai.AzureOpenAI(azure_endpoint="{url}", api_version="2024-10-21", api_key={key})'
)
_SERVE_KEY: Final = "BATCHFRAME_SERVE_KEY"


@dataclass(frozen=True)
class Outcome:
    """Outcome of a command.

    Attributes
    ----------
    facts
        JSON document that ``--json`` prints; None if already printed.
    text
        Text that is printed without ``--json``.
    """

    code: int
    facts: Mapping[str, Any] | None
    text: str = ""


def estimate(args: argparse.Namespace) -> Outcome:
    requests = requests_of(args, read_table(args.input))
    result = requests.estimate(
        prices=prices_of(args.price), reuse=not args.no_reuse, provider=args.provider
    )
    return Outcome(codes.OK, estimate_facts(result), estimate_text(result, requests))


def submit(args: argparse.Namespace) -> Outcome:
    if args.to is not None:
        if not args.wait:
            raise CommandError(
                "--to: requires a finished job. Fix: add --wait, or run later: "
                "batchframe fetch JOB --input INPUT --to OUTPUT."
            )
        check_destination(args.to, args.input)
    frame = read_table(args.input)
    job = requests_of(args, frame).submit(
        args.name,
        max_cost=args.max_cost,
        on_unbounded=args.on_unbounded,
        prices=prices_of(args.price),
        provider=args.provider,
        max_enqueued_tokens=args.max_enqueued_tokens,
        reuse=not args.no_reuse,
        rerun=args.rerun,
        on_uncertain=args.on_uncertain,
    )
    if not args.wait:
        return _outcome_of(job, codes.OK)
    outcome = _wait_for(job, args.timeout)
    if args.to is not None and job.done:
        _write(join(frame, job, details=args.details), args)
    return outcome


def wait(args: argparse.Namespace) -> Outcome:
    return _wait_for(find_job(args.job), args.timeout)


def show(args: argparse.Namespace) -> Outcome:
    job = find_job(args.job)
    if not args.offline:
        _refresh(job)
    return _outcome_of(job)


def compare(args: argparse.Namespace) -> Outcome:
    args.model, *_ = models = [name.strip() for name in args.models.split(",")]
    frame = requests_of(args, read_table(args.input)).compare(
        models, tiers=args.tier or ("batch", "standard"), provider=args.provider
    )
    return Outcome(codes.OK, {"costs": costs_facts(frame)}, costs_text(frame))


def pilot(args: argparse.Namespace) -> Outcome:
    if args.to is not None:
        check_destination(args.to, args.input)
    result = requests_of(args, read_table(args.input)).pilot(
        args.n,
        max_cost=args.max_cost,
        on_unbounded=args.on_unbounded,
        seed=args.seed,
        prices=prices_of(args.price),
        provider=args.provider,
    )
    if args.to is not None:
        _write(result.frame, args)
    status = result.frame["bf_status"]
    code = codes.OK if status.isin(["ok", "skipped"]).all() else codes.ROWS
    return Outcome(code, pilot_facts(result), pilot_text(result))


def jobs(args: argparse.Namespace) -> Outcome:
    frame = list_jobs(remote=args.remote)
    if args.remote:
        frame = frame.replace({"where": {str(RECOVERABLE): RECOVERABLE.shell}})
    submitted = frame["submitted"].dt.strftime("%Y-%m-%d %H:%M UTC")
    columns = [*_COLUMNS, "where"] if args.remote else _COLUMNS
    costs = frame["cost"].map(lambda cost: money(None if pd.isna(cost) else cost))
    table = frame[columns].assign(submitted=submitted, cost=costs)
    cells = table.astype(object).where(table.notna(), "")
    text = cells.to_string(index=False) if len(frame) else "No jobs on this machine."
    return Outcome(codes.OK, {"jobs": jobs_facts(frame)}, text)


def fetch(args: argparse.Namespace) -> Outcome:
    check_destination(args.to, args.input)
    handles = [find_job(name) for name in args.job]
    if args.input is None and len(handles) > 1:
        raise CommandError("--input: required to join several jobs. Fix: --input FILE.")
    for job in handles:
        _refresh(job)
    unfinished = next((job for job in handles if not job.done), None)
    if unfinished is not None and not args.partial:
        name = unfinished.name or unfinished.id
        error: Exception = JobError.not_sent(name)
        if _is_sent(unfinished):
            fix = ", or --partial to write the other rows as pending."
            error = CommandError(
                f"Job {name!r} is not done; nothing was written.",
                next_step="Fix: " + job_step(name, "wait") + fix,
            )
        print_error(error)
        return _outcome_of(unfinished)
    if args.input is None:
        rows = handles[0].results(details=args.details).add_prefix(args.prefix)
    else:
        frame, prefix = read_table(args.input), args.prefix
        rows = join(frame, *handles, prefix=prefix, details=args.details, overwrite=args.overwrite)
    _write(rows, args)
    status = rows[f"{args.prefix}bf_status"]
    counts = ", ".join(f"{n:,} {name}" for name, n in status.value_counts().items() if n)
    text = f"{plural(len(rows), 'row')} written to {args.to}\n{counts}"
    facts = {"to": args.to, "rows": len(rows), "jobs": [job_facts(job) for job in handles]}
    if unfinished is not None:
        return Outcome(codes.code_of(unfinished), facts, text)
    return Outcome(codes.OK if status.isin(["ok", "skipped"]).all() else codes.ROWS, facts, text)


def _write(rows: pd.DataFrame, args: argparse.Namespace) -> None:
    write_table(escape_formulas(rows) if args.escape_formulas else rows, args.to)


def cancel(args: argparse.Namespace) -> Outcome:
    return _outcome_of(find_job(args.job).cancel(), codes.OK)


def resume(args: argparse.Namespace) -> Outcome:
    job = find_job(args.job).resume(recreate=args.recreate, batch=args.batch)
    return _outcome_of(job, codes.OK)


def unanswered(args: argparse.Namespace) -> Outcome:
    job = find_job(args.job)
    _refresh(job)
    if not job.done:
        return _outcome_of(job)
    requests = job.unanswered(also=args.also)
    if not len(requests):
        return Outcome(
            codes.OK, {"job": None}, f"Job {args.job!r} has no requests to submit again."
        )
    again = requests.submit(
        args.name,
        max_cost=args.max_cost,
        on_unbounded=args.on_unbounded,
        prices=prices_of(args.price),
    )
    return _wait_for(again, args.timeout) if args.wait else _outcome_of(again, codes.OK)


def abandon(args: argparse.Namespace) -> Outcome:
    job = find_job(args.job)
    if not (job.done or args.yes or confirm(_ABANDON.format(job=args.job))):
        raise CommandError("Not confirmed; nothing was closed. Fix: in a script, add --yes.")
    return _outcome_of(job.abandon(), codes.OK)


def recover(_args: argparse.Namespace) -> Outcome:
    items = recover_jobs()
    text = "\n\n".join(map(job_text, items)) or "No job on the server is missing on this machine."
    return Outcome(codes.OK, {"jobs": [job_facts(job) for job in items]}, text)


def forget(args: argparse.Namespace) -> Outcome:
    job = find_job(args.job)
    suffix = " and its files on the server" if args.remote else ""
    if not (args.yes or confirm(f"Permanently delete {job.folder}{suffix}?")):
        raise CommandError("Not confirmed; nothing was deleted. Fix: in a script, add --yes.")
    folder = job.folder
    forgotten = job.forget(remote=args.remote)
    forgotten = replace(forgotten, remaining=tuple(map(in_shell, forgotten.remaining)))
    code = codes.USAGE if folder.exists() else codes.OK
    return Outcome(code, asdict(forgotten), str(forgotten))


def doctor(args: argparse.Namespace) -> Outcome:
    findings: list[Finding] = []

    def report(new: Iterable[Finding]) -> bool:
        """Print findings as they come; return whether none is a problem."""
        for finding in new:
            print_result(str(finding), to_stderr=args.json)
            findings.append(finding)
        return all(finding.verdict != "problem" for finding in findings)

    is_good = report(examine())
    if args.live:
        live = probe(args.model, lambda question: args.yes or confirm(question))
        is_good = report(live if is_good else [_SKIPPED])
    code = codes.OK if is_good else codes.USAGE
    return Outcome(code, {"findings": [asdict(finding) for finding in findings]})


def demo(args: argparse.Namespace) -> Outcome:
    # Only the JSON document goes to standard output.
    with redirect_stdout(sys.stderr) if args.json else nullcontext():
        code, facts = run_demo(live=args.live, model=args.model, yes=args.yes)
    return Outcome(code, {"job": facts})


def serve(args: argparse.Namespace) -> Outcome:
    # The server needs the extra "local".
    from batchframe.local import run  # noqa: PLC0415

    key = os.environ.get(_SERVE_KEY)

    def ready(url: str) -> None:
        # The key itself is not printed.
        shown = '"local"' if key is None else f'os.environ["{_SERVE_KEY}"]'
        client = _OPENAI.format(url=url, key=shown)
        if args.profile == "azure":
            client = _AZURE.format(url=url.removesuffix("/openai"), key=shown)
        print_result(_READY.format(url=url, client=client), to_stderr=args.json)
        if args.json:
            print_json({"url": url})

    run(
        host=args.host,
        port=args.port,
        folder=args.folder,
        profile=args.profile,
        upstream=args.upstream,
        seconds=args.seconds,
        key=key,
        ready=ready,
    )
    return Outcome(codes.OK, None)


def _refresh(job: Job) -> None:
    """Refresh a job, unless it was not sent."""
    try:
        job.refresh()
    except JobError:
        if _is_sent(job):
            raise


def _is_sent(job: Job) -> bool:
    return job.status not in {*codes.UNSENT, "uncertain"}


def _wait_for(job: Job, timeout: float | None) -> Outcome:
    try:
        job.wait(timeout)
    except JobTimeout as reason:
        print_error(reason)
        return _outcome_of(job, codes.RUNNING)
    except JobError as reason:
        if job.status != "uncertain":
            raise
        print_error(reason)
    return _outcome_of(job)


def _outcome_of(job: Job, code: int | None = None) -> Outcome:
    """Return the outcome of a job; by default with the code of its status."""
    return Outcome(codes.code_of(job) if code is None else code, job_facts(job), job_text(job))
