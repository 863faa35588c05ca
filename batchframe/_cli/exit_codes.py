"""Exit codes of the commands."""

from __future__ import annotations

from typing import Final

from batchframe._api.job import Job

OK: Final = 0
ROWS: Final = 1
"""The job is done, and some rows have no answer."""
USAGE: Final = 2
"""The command failed: wrong arguments, invalid input, or an error."""
RUNNING: Final = 3
UNCERTAIN: Final = 4
"""It is unknown whether a batch was created."""
INTERRUPTED: Final = 130
"""Shell convention for a process that Ctrl-C ended."""
BROKEN_PIPE: Final = 141
"""Shell convention for a process whose output pipe was closed."""

UNSENT: Final = frozenset({"preparing", "submitting"})


def code_of(job: Job) -> int:
    """Return the exit code of a job, from its status at the last poll."""
    if job.status == "uncertain":
        return UNCERTAIN
    if job.status in UNSENT:
        return USAGE
    if not job.done:
        return RUNNING
    return OK if set(job.counts) <= {"ok", "skipped"} else ROWS
