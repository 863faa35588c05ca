"""Result files of a running batch, written line by line.

After a crash, their counts and usage are read from the files.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import msgspec

from batchframe.local._answers.answerers import Answer
from batchframe.local._answers.usage import usage_of
from batchframe.local._batches.dialects import Dialect
from batchframe.local._batches.store import Workspace
from batchframe.local._objects import RequestCounts, Usage

_FIRST_ERROR: Final = 400
_EXPIRED: Final = "This request could not be executed before the completion window expired."


class _Response(msgspec.Struct):
    body: dict[str, Any] | None = None


class _ResultLine(msgspec.Struct):
    custom_id: str
    response: _Response | None


class Spool:
    """Open result files of a batch.

    Every line is flushed before the next request is answered, so a killed server loses no answer
    that it counted. Opening the files drops an incomplete last line.
    """

    def __init__(self, workspace: Workspace, batch_id: str, dialect: Dialect) -> None:
        self._dialect = dialect
        self._batch_id = batch_id
        self._encode = msgspec.json.Encoder().encode
        self.answered: set[str] = set()
        self.completed = 0
        self.failed = 0
        self.usage = Usage()
        self._recover(workspace.output, succeeded=True)
        self._recover(workspace.errors, succeeded=False)
        self._output = workspace.output.open("ab")
        self._errors = workspace.errors.open("ab")

    def close(self) -> None:
        """Close both files."""
        self._output.close()
        self._errors.close()

    def counts(self, total: int) -> RequestCounts:
        """Return the request counts of the batch."""
        return RequestCounts(total=total, completed=self.completed, failed=self.failed)

    def answer(self, custom_id: str, answer: Answer) -> None:
        """Write the answer to one request."""
        name = hashlib.blake2b(f"{self._batch_id}/{custom_id}".encode(), digest_size=16).hexdigest()
        line = {
            "id": f"batch_req_{name}",
            "custom_id": custom_id,
            "response": {
                "status_code": answer.status_code,
                "request_id": f"req_{name}",
                "body": answer.body,
            },
            "error": None,
        }
        self._write(line, succeeded=answer.status_code < _FIRST_ERROR)
        if answer.status_code < _FIRST_ERROR:
            self.usage += usage_of(answer.body)

    def expire(self, custom_id: str) -> None:
        """Write the error of a request that was not answered in time."""
        line = {
            "id": f"batch_req_{hashlib.sha256(custom_id.encode()).hexdigest()[:32]}",
            "custom_id": custom_id,
            "response": None,
            "error": {"code": "batch_expired", "message": _EXPIRED},
        }
        self._write(line, succeeded=False)

    def _write(self, line: dict[str, Any], *, succeeded: bool) -> None:
        handle = self._output if succeeded else self._errors
        handle.write(self._encode(self._dialect.line(line)) + b"\n")
        handle.flush()
        self.completed += succeeded
        self.failed += not succeeded

    def _recover(self, path: Path, *, succeeded: bool) -> None:
        if not path.exists():
            path.touch(mode=0o600)
            return
        size = 0
        decoder = msgspec.json.Decoder(_ResultLine)
        with path.open("rb+") as handle:
            for line in handle:
                if not line.endswith(b"\n"):
                    break
                size += len(line)
                result = decoder.decode(line)
                self.answered.add(result.custom_id)
                if succeeded and result.response is not None:
                    self.usage += usage_of(result.response.body or {})
                self.completed += succeeded
                self.failed += not succeeded
            handle.truncate(size)
