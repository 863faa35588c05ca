"""Storage of uploaded files, batches and the port in a folder.

```
<folder>/                 0700
  server.json             layout version, port
  lock                    held by the running server
  files/<file id>.json    the File object
  files/<file id>.data    its bytes
  batches/<batch id>.json the Batch object
  batches/<batch id>/     input, answers and errors of a batch that has not ended
```

JSON files are written to a temporary file and renamed, so that a killed server leaves either the
old or the new version. There is no fsync: a power failure may lose answers, which cost nothing. The
name of an uploaded file is stored in its JSON and is never part of a path.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import secrets
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import filelock
import msgspec

from batchframe._base.errors import LocalServerError, shorten
from batchframe._base.private_files import create_private
from batchframe.local._objects import (
    Batch,
    BilledBatch,
    FileObject,
    StoredBatch,
    StoredFile,
    billed,
)

_LAYOUT: Final = 1
_DAY: Final = 24 * 60 * 60

LIFETIME: Final = 30 * _DAY
"""Lifetime of a batch's input and result files in seconds (OpenAI Batch guide, 2026-11)."""

_T = TypeVar("_T", StoredFile, StoredBatch)


class Workspace:
    """Files of a batch that has not ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.input = folder / "input.jsonl"
        self.output = folder / "output.jsonl"
        self.errors = folder / "errors.jsonl"

    def remove(self) -> None:
        """Remove the files; the published result files are elsewhere."""
        shutil.rmtree(self.folder, ignore_errors=True)


class Store:
    """Files and batches in a folder, cached in memory.

    Not thread-safe: only the server's event loop may write. Other threads may read `ledger`, since
    every value is frozen.

    Raises
    ------
    LocalServerError
        If the folder is in use by another server, damaged, or of another version.
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
                f"folder: in use by another local server ({folder}). Fix: stop that server "
                "(server.close(), or Ctrl-C in its terminal), or pass another folder."
            ) from None
        try:
            self._check_layout()
            self._files = {entry.file.id: entry for entry in _load(self._files_folder, StoredFile)}
            self._batches = {
                entry.batch.id: entry for entry in _load(self._batches_folder, StoredBatch)
            }
        except BaseException:
            self._lock.release()
            raise
        for path in self._batches_folder.iterdir():
            if path.is_dir() and path.name not in self._batches:
                Workspace(path).remove()
        entries: list[StoredFile | StoredBatch] = [*self._files.values(), *self._batches.values()]
        self._sequence = max((entry.sequence for entry in entries), default=0)

    def close(self) -> None:
        """Release the lock on the folder."""
        self._lock.release()

    @property
    def ledger(self) -> list[BilledBatch]:
        """Batches that a service would have billed, oldest first."""
        return [entry for stored in list(self._batches.values()) if (entry := billed(stored))]

    def stored_port(self) -> int | None:
        """Return the port of the folder's last server, or None."""
        port = self._settings().get("port")
        return port if isinstance(port, int) else None

    def store_port(self, port: int) -> None:
        """Store the port for the next server on this folder."""
        _write_json(self.folder / "server.json", {"layout": _LAYOUT, "port": port})

    def upload_path(self) -> Path:
        """Return a new path in the folder for an upload in progress."""
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
        """Move the file at `path` into the store.

        `lifetime` is in seconds; None means that the file does not expire.
        """
        now = int(time.time())
        file = FileObject(
            id=file_id or f"file-{secrets.token_hex(12)}",
            bytes=path.stat().st_size,
            created_at=now,
            filename=filename,
            purpose=purpose,
            expires_at=None if lifetime is None else now + lifetime,
        )
        stored = StoredFile(sequence=self._next(), sha256=sha256, file=file)
        path.replace(self.content(file.id))
        _write_json(self._files_folder / f"{file.id}.json", stored)
        self._files[file.id] = stored
        return file

    def file(self, file_id: str) -> StoredFile | None:
        """Return a file; None if it is unknown, deleted or expired."""
        stored = self._files.get(file_id)
        if stored and (stored.file.expires_at or math.inf) <= time.time():
            self.delete_file(file_id)
            return None
        return stored

    def files(self) -> list[FileObject]:
        """Return every file, oldest first."""
        return [stored.file for file_id in list(self._files) if (stored := self.file(file_id))]

    def content(self, file_id: str) -> Path:
        """Return the path of a file's bytes."""
        return self._files_folder / f"{file_id}.data"

    def delete_file(self, file_id: str) -> None:
        """Delete a file and its bytes."""
        stored = self._files.pop(file_id)
        for suffix in ("json", "data"):
            (self._files_folder / f"{stored.file.id}.{suffix}").unlink(missing_ok=True)

    def add_batch(self, input_file_id: str, *, output_lifetime: int, **fields: Any) -> Batch:
        """Create a batch with its own link to the input file."""
        now = int(time.time())
        batch = Batch(
            id=f"batch_{secrets.token_hex(16)}",
            input_file_id=input_file_id,
            created_at=now,
            expires_at=now + _DAY,
            **fields,
        )
        file = self.file(input_file_id)
        if file is not None:
            workspace = self.workspace(batch.id)
            workspace.folder.mkdir(mode=0o700)
            _link(self.content(input_file_id), workspace.input)
        stored = StoredBatch(
            sequence=self._next(),
            input_sha256=None if file is None else file.sha256,
            output_lifetime=output_lifetime,
            batch=batch,
        )
        self._save(stored)
        self._batches[batch.id] = stored
        return batch

    def batch(self, batch_id: str) -> Batch | None:
        """Return a batch; None if it is unknown."""
        stored = self._batches.get(batch_id)
        return None if stored is None else stored.batch

    def batches(self) -> list[Batch]:
        """Return every batch, oldest first."""
        return [stored.batch for stored in self._batches.values()]

    def update(self, batch_id: str, *, durable: bool = True, **changes: Any) -> None:
        """Change a batch; in memory only if not `durable`."""
        stored = self._batches[batch_id]
        stored = replace(stored, batch=replace(stored.batch, **changes))
        if durable:
            self._save(stored)
        self._batches[batch_id] = stored

    def workspace(self, batch_id: str) -> Workspace:
        """Return the files of a batch that has not ended."""
        return Workspace(self._batches_folder / batch_id)

    def publish(
        self, batch_id: str, kind: str, path: Path, *, even_empty: bool = False
    ) -> str | None:
        """Publish `path` as a result file and return its id.

        An empty file is published only with `even_empty`; otherwise the id is None. `kind` is
        ``"output"`` or ``"error"``. The id depends on the batch and the kind, so a server killed
        here publishes the same file after a restart.
        """
        if not (path.stat().st_size or even_empty):
            return None
        digest = hashlib.sha256(f"{batch_id}/{kind}".encode()).hexdigest()
        # The workspace is needed until the final status is saved.
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

    def _save(self, stored: StoredBatch) -> None:
        _write_json(self._batches_folder / f"{stored.batch.id}.json", stored)

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

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
                f"folder: written by another version of the local server ({self.folder}, "
                f"layout {layout!r}). Fix: pass a new folder, or use that version of batchframe."
            )


def _load(folder: Path, kind: type[_T]) -> list[_T]:
    for leftover in (*folder.glob("*.partial"), *folder.glob("*.tmp")):
        leftover.unlink()
    decoder = msgspec.json.Decoder(kind)
    entries: list[_T] = []
    for path in folder.glob("*.json"):
        try:
            entries.append(decoder.decode(path.read_bytes()))
        except msgspec.DecodeError as error:
            raise _damaged(path, error) from None
    return sorted(entries, key=lambda entry: entry.sequence)


def _damaged(path: Path, reason: Exception) -> LocalServerError:
    return LocalServerError(
        f"folder: {path} is damaged ({shorten(reason)}). "
        "Fix: move the file away, or pass another folder."
    )


def _write_json(path: Path, value: object) -> None:
    temporary = path.with_suffix(".tmp")
    with create_private(temporary) as handle:
        handle.write(msgspec.json.encode(value))
    temporary.replace(path)


def _link(source: Path, target: Path) -> None:
    with contextlib.suppress(OSError):
        target.hardlink_to(source)
        return
    # Some file systems have no hard links.
    shutil.copyfile(source, target)
    target.chmod(0o600)
