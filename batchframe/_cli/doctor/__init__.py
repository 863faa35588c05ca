"""Checks of this machine and of the service."""

from __future__ import annotations

from collections.abc import Iterator

from batchframe._cli.doctor.finding import Finding
from batchframe._cli.doctor.machine import home_folder, tables, versions, vocabularies
from batchframe._cli.doctor.rehearsal import probe
from batchframe._cli.doctor.service import account, reach

__all__ = ["Finding", "examine", "probe"]


def examine() -> Iterator[Finding]:
    """Run the checks that change nothing and cost nothing."""
    yield versions()
    yield tables()
    yield home_folder()
    yield from vocabularies()
    findings = list(account())
    yield from findings
    if any(finding.verdict == "problem" for finding in findings):
        yield Finding("network", "warning", "skipped: no valid API key")
    else:
        yield from reach()
