"""The server's folder: uploaded files, batches, and the port.

Comes in: File and Batch objects. Goes out: the same, also after the process was killed. Must not
know: HTTP, or how a batch is worked off.

```
<folder>/                 0700
  server.json             layout version, port
  lock                    one server a folder
  files/<file id>.json    the File object
  files/<file id>.data    its bytes
  batches/<batch id>.json the Batch object
  batches/<batch id>/     input, answers and errors of a batch that has not ended
```

Every JSON file is written beside its place and renamed, so that a killed server leaves the old one
or the new one. Nothing is forced to the disk: a power cut may lose answers, which cost nothing. A
file's name as uploaded is data in its JSON, never part of a path.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
import os
import secrets
import shutil
import time
from pathlib import Path
from typing import Any, Final, TypeVar

import filelock
import msgspec

from batchframe._base.errors import LocalServerError
from batchframe.local._objects import (
    Batch,
    BatchRequest,
    BilledBatch,
    FileObject,
    KeptBatch,
    KeptFile,
    billed,
)

_LAYOUT: Final = 1
_DAY: Final = 24 * 60 * 60

LIFETIME: Final = 30 * _DAY
"""Seconds that a batch's input and result files are kept (OpenAI Batch guide, 2026-11)."""

_T = TypeVar("_T", KeptFile, KeptBatch)


class Workspace:
    """The files of one batch that has not ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.input = folder / "input.jsonl"
        self.output = folder / "output.jsonl"
        self.errors = folder / "errors.jsonl"

    def remove(self) -> None:
        """Remove the files; what was published has been moved out before."""
        shutil.rmtree(self.folder, ignore_errors=True)


class Store:
    """Files and batches in one folder, held in memory as well.

    Not thread-safe: the server's event loop is its only writer. Reading `ledger` from another
    thread is safe, as every value is frozen.

    Raises
    ------
    LocalServerError
        The folder is in use by another server, damaged, or of another version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files_folder = folder / "files"
        self._batches_folder = folder / "batches"
        for path in (folder, self._files_folder, self._batches_folder):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._lock = filelock.FileLock(folder / "lock", mode=0o600, thread_local=False)
        try:
            self._lock.acquire(timeout=0)
        except filelock.Timeout:
            raise LocalServerError(
                f"Another local server runs on the folder {folder}. Close that one "
                "(`server.close()`, or Ctrl-C where it was started), or give this one a folder of "
                "its own."
            ) from None
        try:
            self._check_layout()
            self._files = {kept.file.id: kept for kept in _load(self._files_folder, KeptFile)}
            self._batches = {kept.batch.id: kept for kept in _load(self._batches_folder, KeptBatch)}
        except BaseException:
            self._lock.release()
            raise
        for path in self._batches_folder.iterdir():
            if path.is_dir() and path.name not in self._batches:
                Workspace(path).remove()
        kept: list[KeptFile | KeptBatch] = [*self._files.values(), *self._batches.values()]
        self._sequence = max((each.sequence for each in kept), default=0)

    def close(self) -> None:
        """Let another server use the folder."""
        self._lock.release()

    @property
    def ledger(self) -> list[BilledBatch]:
        """Every batch that would have been billed, oldest first."""
        return [entry for kept in list(self._batches.values()) if (entry := billed(kept))]

    def remembered_port(self) -> int | None:
        """Return the port that the folder's server had, if it had one."""
        port = self._settings().get("port")
        return port if isinstance(port, int) else None

    def remember_port(self, port: int) -> None:
        """Keep the port for the next server on this folder."""
        _write_json(self.folder / "server.json", {"layout": _LAYOUT, "port": port})

    def upload_path(self) -> Path:
        """Return a new path in the folder for bytes that are still arriving."""
        return self._files_folder / f"{secrets.token_hex(8)}.partial"

    def add_file(
        self,
        path: Path,
        *,
        filename: str,
        purpose: str,
        lifetime: int | None,
        sha256: str | None = None,
        file_id: str | None = None,
    ) -> FileObject:
        """Take over the file at `path`; `lifetime` in seconds, `None` for ever."""
        now = int(time.time())
        file = FileObject(
            id=file_id or f"file-{secrets.token_hex(12)}",
            bytes=path.stat().st_size,
            created_at=now,
            filename=filename,
            purpose=purpose,
            expires_at=None if lifetime is None else now + lifetime,
        )
        kept = KeptFile(sequence=self._next(), sha256=sha256, file=file)
        path.replace(self._data_path(file.id))
        _write_json(self._files_folder / f"{file.id}.json", kept)
        self._files[file.id] = kept
        return file

    def file(self, file_id: str) -> KeptFile | None:
        """Return a file, unless it is unknown, deleted or past its expiry."""
        kept = self._files.get(file_id)
        if kept and (kept.file.expires_at or math.inf) <= time.time():
            self.delete_file(file_id)
            return None
        return kept

    def files(self) -> list[FileObject]:
        """Return every file, oldest first."""
        return [kept.file for file_id in list(self._files) if (kept := self.file(file_id))]

    def content(self, file_id: str) -> Path:
        """Return where a known file's bytes are."""
        return self._data_path(self._files[file_id].file.id)

    def delete_file(self, file_id: str) -> None:
        """Forget a known file and remove its bytes."""
        kept = self._files.pop(file_id)
        for suffix in ("json", "data"):
            (self._files_folder / f"{kept.file.id}.{suffix}").unlink(missing_ok=True)

    def add_batch(self, asked: BatchRequest) -> Batch:
        """Create a batch, and keep its input even if the file is deleted later."""
        now = int(time.time())
        batch = Batch(
            id=f"batch_{secrets.token_hex(16)}",
            endpoint=asked.endpoint,
            input_file_id=asked.input_file_id,
            completion_window=asked.completion_window,
            created_at=now,
            expires_at=now + _DAY,
            metadata=asked.metadata,
        )
        file = self.file(asked.input_file_id)
        if file is not None:
            workspace = self.workspace(batch.id)
            workspace.folder.mkdir(mode=0o700)
            _link(self.content(asked.input_file_id), workspace.input)
        kept = KeptBatch(
            sequence=self._next(),
            input_sha256=None if file is None else file.sha256,
            output_lifetime=asked.output_lifetime,
            batch=batch,
        )
        self._keep(kept)
        return batch

    def batch(self, batch_id: str) -> Batch | None:
        """Return a batch, unless it is unknown."""
        kept = self._batches.get(batch_id)
        return None if kept is None else kept.batch

    def batches(self) -> list[Batch]:
        """Return every batch, oldest first."""
        return [kept.batch for kept in self._batches.values()]

    def save(self, batch: Batch) -> None:
        """Replace a batch, in memory and in the folder."""
        self._keep(self._with(batch))

    def show(self, batch: Batch) -> None:
        """Replace a batch in memory only: its workspace holds the progress."""
        self._batches[batch.id] = self._with(batch)

    def workspace(self, batch_id: str) -> Workspace:
        """Return the files of a batch that has not ended."""
        return Workspace(self._batches_folder / batch_id)

    def publish(
        self, batch_id: str, kind: str, path: Path, *, even_empty: bool = False
    ) -> str | None:
        """Make a result file of `path` and return its id; `None` when there is nothing in it.

        `even_empty` makes one of 0 bytes then.

        `kind` is ``"output"`` or ``"error"``. The id follows from the batch and the kind, so a
        server that was killed here publishes the same file again.
        """
        if not (path.stat().st_size or even_empty):
            return None
        digest = hashlib.sha256(f"{batch_id}/{kind}".encode()).hexdigest()
        # The batch's own copy stays until its end is saved.
        published = self.upload_path()
        _link(path, published)
        file = self.add_file(
            published,
            filename=f"{batch_id}_{kind}.jsonl",
            purpose="batch_output",
            lifetime=self._batches[batch_id].output_lifetime,
            file_id=f"file-{digest[:24]}",
        )
        return file.id

    def _with(self, batch: Batch) -> KeptBatch:
        return dataclasses.replace(self._batches[batch.id], batch=batch)

    def _keep(self, kept: KeptBatch) -> None:
        _write_json(self._batches_folder / f"{kept.batch.id}.json", kept)
        self._batches[kept.batch.id] = kept

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    def _data_path(self, file_id: str) -> Path:
        return self._files_folder / f"{file_id}.data"

    def _settings(self) -> dict[str, Any]:
        try:
            settings = msgspec.json.decode((self.folder / "server.json").read_bytes())
        except FileNotFoundError:
            return {}
        except msgspec.DecodeError as error:
            raise _damaged(self.folder / "server.json", error) from None
        return settings if isinstance(settings, dict) else {}

    def _check_layout(self) -> None:
        layout = self._settings().get("layout", _LAYOUT)
        if layout != _LAYOUT:
            raise LocalServerError(
                f"The folder {self.folder} was written by another version of the local server "
                f"(layout {layout!r}). Start on a new folder, or use the batchframe that wrote it."
            )


def _load(folder: Path, kind: type[_T]) -> list[_T]:
    for leftover in (*folder.glob("*.partial"), *folder.glob("*.tmp")):
        leftover.unlink()
    decoder = msgspec.json.Decoder(kind)
    found: list[_T] = []
    for path in folder.glob("*.json"):
        try:
            found.append(decoder.decode(path.read_bytes()))
        except msgspec.DecodeError as error:
            raise _damaged(path, error) from None
    return sorted(found, key=lambda kept: kept.sequence)


def _damaged(path: Path, reason: Exception) -> LocalServerError:
    return LocalServerError(
        f"The local server cannot read {path}: {reason}. Move that file away to go on without it, "
        "or start on another folder: `batchframe.local.serve(folder=...)`."
    )


def _write_json(path: Path, value: object) -> None:
    beside = path.with_suffix(".tmp")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(msgspec.json.encode(value))
    beside.replace(path)


def _link(source: Path, target: Path) -> None:
    with contextlib.suppress(OSError):
        target.hardlink_to(source)
        return
    # Some file systems have no hard links.
    shutil.copyfile(source, target)
    target.chmod(0o600)
