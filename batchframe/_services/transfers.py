"""Transfers that start before they are asked for, since the service serves several at once.

Callers keep their own order and journal, as if nothing had started early. The threads here only
move bytes, into files of their own names, and put nothing in its final place.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from batchframe._base.errors import BatchframeError, JobError
from batchframe._base.private_files import sha256_of
from batchframe._base.progress import BYTES, FOLLOWED, Advance, progress
from batchframe._services.batch import Batch
from batchframe._services.protocol import RemoteFile, Service

_AT_ONCE: Final = 4
_SEVERAL: Final = 2
_INTERVAL: Final = 0.2
"""Seconds between two updates of the progress bar."""

_T = TypeVar("_T")


class _Cancelled(BaseException):
    """Ends a transfer that nobody waits for anymore; no handler of errors may stop it."""


class PendingUpload(NamedTuple):
    """A file to be uploaded under a name, if its content is still what was written."""

    path: Path
    filename: str
    sha256: str
    purpose: str
    lifetime: int | None


class Prefetcher:
    """The transfers of a service, of which several may be under way before they are asked for.

    Only what changes nothing or costs nothing starts early: uploads, polls, downloads.
    """

    def __init__(self, service: Service, advance: Advance) -> None:
        self._service = service
        self._advance = advance
        self._workers = ThreadPoolExecutor(
            _AT_ONCE, initializer=FOLLOWED.set, initargs=(self._count,)
        )
        self._queue: deque[PendingUpload] = deque()
        self._uploads: dict[str, Future[RemoteFile | None]] = {}
        self._batches: dict[str, Future[Batch]] = {}
        self._files: dict[str, Future[RemoteFile]] = {}
        self._contents: dict[str, Future[tuple[Path, int]]] = {}
        self._lock = threading.Lock()
        self._moved = self._shown = 0
        self._cancelled = False
        self._partial: set[Path] = set()

    def prefetch_uploads(self, files: Iterable[PendingUpload]) -> None:
        """Start uploading files in the order in which they will be asked for.

        The next one starts when one is asked for, so that a refusal leaves at most a few on the
        server for nothing.
        """
        self._queue.extend(files)
        for _ in range(_AT_ONCE):
            self._start_next_upload()

    def prefetch(
        self, batch: Batch, path: Path, limit: Callable[[int | None], int], *, poll: bool
    ) -> None:
        """Start polling a batch, and downloading its files if it has ended.

        Parameters
        ----------
        path
            Beside which the files are put for the time being.
        limit
            The stated size of a file → how many bytes of it to take at most.
        poll
            Whether the batch itself will be asked for.
        """
        if poll:
            self._batches[batch.id] = self._workers.submit(self._poll, batch.id, path, limit)
        else:
            self._start_downloads(batch, path, limit)

    def upload(
        self, path: Path, filename: str, purpose: str = "batch", lifetime: int | None = None
    ) -> RemoteFile:
        """As of :class:`Transfers`."""
        stored = self._result(self._uploads, filename)
        if stored is None:
            stored = self._service.upload(path, filename, purpose, lifetime)
        self._start_next_upload()
        return stored

    def retrieve_batch(self, batch_id: str) -> Batch:
        """As of :class:`Transfers`."""
        batch = self._result(self._batches, batch_id)
        return self._service.retrieve_batch(batch_id) if batch is None else batch

    def retrieve_file(self, file_id: str) -> RemoteFile:
        """As of :class:`Transfers`."""
        file = self._result(self._files, file_id)
        return self._service.retrieve_file(file_id) if file is None else file

    def download(self, file_id: str, path: Path, most: int) -> int:
        """As of :class:`Transfers`."""
        content = self._result(self._contents, file_id)
        if content is None:
            return self._service.download(file_id, path, most)
        partial, size = content
        partial.replace(path)
        return size

    def unused_uploads(self) -> dict[str, RemoteFile]:
        """Return the files that were uploaded and never asked for, by name."""
        tasks = self._uploads.items()
        return {
            name: stored
            for name, task in tasks
            if task.done() and not task.exception() and (stored := task.result()) is not None
        }

    def cancel(self) -> None:
        """Stop what is under way, without waiting for it."""
        with self._lock:
            self._cancelled = True
        self._workers.shutdown(wait=False, cancel_futures=True)
        for path in tuple(self._partial):
            with suppress(OSError):  # one that is still open; its own thread removes it
                path.unlink(missing_ok=True)

    def _start_next_upload(self) -> None:
        if self._queue:
            file = self._queue.popleft()
            self._uploads[file.filename] = self._workers.submit(self._upload, file)

    def _upload(self, file: PendingUpload) -> RemoteFile | None:
        try:
            intact = sha256_of(file.path) == file.sha256
        except BatchframeError:
            intact = False
        if not intact:
            return None  # whoever asks for it reports what is wrong with it
        return self._service.upload(file.path, file.filename, file.purpose, file.lifetime)

    def _poll(self, batch_id: str, path: Path, limit: Callable[[int | None], int]) -> Batch:
        batch = self._service.retrieve_batch(batch_id)
        if batch.ended:
            self._start_downloads(batch, path, limit)
        return batch

    def _start_downloads(
        self, batch: Batch, path: Path, limit: Callable[[int | None], int]
    ) -> None:
        ids = dict.fromkeys((batch.output_file_id, batch.error_file_id))
        for number, file_id in enumerate(ids):
            if file_id is not None:
                partial = path.with_name(f"{path.name}.ahead-{number}-{threading.get_ident()}.part")
                file = self._workers.submit(self._service.retrieve_file, file_id)
                content = self._workers.submit(self._download, file_id, file, partial, limit)
                self._files[file_id], self._contents[file_id] = file, content

    def _download(
        self,
        file_id: str,
        file: Future[RemoteFile],
        path: Path,
        limit: Callable[[int | None], int],
    ) -> tuple[Path, int]:
        # Workers take tasks in order, so another one describes the file already.
        stated = None if file.exception() else file.result().bytes
        self._partial.add(path)
        try:
            return path, self._service.download(file_id, path, limit(stated))
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _result(self, tasks: dict[str, Future[_T]], name: str) -> _T | None:
        """Wait for what was started under a name; None if nothing was."""
        task = tasks.pop(name, None)
        if task is None:
            return None
        while not wait([task], timeout=_INTERVAL).done:
            self._show()
        self._show()
        return task.result()

    def _count(self, more: int) -> None:
        with self._lock:
            self._moved += more
            if self._cancelled:
                raise _Cancelled

    def _show(self) -> None:
        with self._lock:
            more, self._shown = self._moved - self._shown, self._moved
        if more:
            self._advance(more)


@contextmanager
def uploading(
    service: Service,
    files: Mapping[int, PendingUpload],
    note: Callable[[int, RemoteFile], None],
) -> Iterator[Prefetcher | None]:
    """Yield a prefetcher that uploads these files; None if they are not several.

    Parameters
    ----------
    note
        Takes, at the end, what was uploaded and not asked for: a later run uses it, or deletes it.
    """
    if len(files) < _SEVERAL:
        yield None
        return
    with prefetching(service, "uploading") as prefetcher:
        prefetcher.prefetch_uploads(files.values())
        try:
            yield prefetcher
        finally:
            stored = prefetcher.unused_uploads()
            with suppress(JobError):  # of a disk that is full; there is another error to report
                for number, file in files.items():
                    if file.filename in stored:
                        note(number, stored[file.filename])


@contextmanager
def prefetching(service: Service, text: str) -> Iterator[Prefetcher]:
    """Yield a prefetcher with nothing started; cancel what is still under way at the end."""
    with progress(text, None, BYTES) as advance:
        prefetcher = Prefetcher(service, advance)
        try:
            yield prefetcher
        finally:
            prefetcher.cancel()
