"""What a pilot was answered in real time: its journal → a result file, as a batch would have it.

In: a job's folder. Out: the result file. Must not know: the network, frames, what a line answers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from batchframe._base.private_files import replacing, sha256_of
from batchframe._services.protocol import Batch
from batchframe._store.folder import JobFolder
from batchframe._store.journal import Fetched

_GOOD = 200


def answered(folder: JobFolder) -> dict[str, dict[str, Any]]:
    """Return the last result line of each request that was answered, by ``custom_id``."""
    lines = [event["line"] for event in folder.read_journal() if event.get("event") == "ANSWERED"]
    return {line["custom_id"]: line for line in lines}


def not_to_ask_again(folder: JobFolder) -> set[str]:
    """Name the requests that were asked and may be billed: all but those the service refused."""
    asked = {
        event["custom_id"] for event in folder.read_journal() if event.get("event") == "ASKING"
    }
    return asked - {name for name, line in answered(folder).items() if _was_refused(line)}


def _was_refused(line: dict[str, Any]) -> bool:
    # A 5xx proves nothing; what was refused outright is not billed.
    status = (line.get("response") or {}).get("status_code")
    return isinstance(status, int) and 400 <= status < 500  # noqa: PLR2004 - HTTP's own numbers


def end(folder: JobFolder, batch: Batch) -> tuple[Batch, Fetched]:
    """Write the result file of all that was answered so far, and say that the pilot has ended."""
    lines = list(answered(folder).values())
    with replacing(folder.output(0)) as file:
        file.writelines(msgspec.json.encode(line) + b"\n" for line in lines)
    good = sum((line.get("response") or {}).get("status_code") == _GOOD for line in lines)
    ended = replace(batch, status="completed", completed=good, failed=len(lines) - good)
    return ended, Fetched(folder.output(0).stat().st_size, sha256_of(folder.output(0)))
