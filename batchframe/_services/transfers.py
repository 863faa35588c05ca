"""Prefetched transfers, since services handle several at once.

Callers keep their order and journal, as without prefetching. The threads only transfer bytes into
temporary files, and never move them to their final path.
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

_WORKERS: Final = 4
_INTERVAL: Final = 0.2
"""Seconds between updates of the progress bar."""

Limit = Callable[[int | None], int]
"""The maximum bytes to download of a file of a reported size."""
_T = TypeVar("_T")


class _Cancelled(BaseException):
    """Aborts a cancelled transfer; error handlers must not catch it."""


class PendingUpload(NamedTuple):
    """A file to upload under a name, if its content is unchanged."""

    path: Path
    filename: str
    sha256: str
    purpose: str
    lifetime: int | None
    by_redirect: bool = False


class Prefetcher:
    """Transfers of a service, several of which run ahead of the caller.

    Only free or read-only calls start early: uploads, polls, downloads.
    """

    def __init__(self, service: Service, advance: Advance) -> None:
        self._service = service
        self._advance = advance
        self._workers = ThreadPoolExecutor(
            _WORKERS, initializer=FOLLOWED.set, initargs=(self._count,)
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
        """Start uploading files in the order in which callers will request them.

        The next upload starts when one is requested, so that a rejection leaves only a few unused
        files on the server.
        """
        self._queue.extend(files)
        for _ in range(_WORKERS):
            self._start_next_upload()

    def prefetch(self, batch: Batch, path: Path, limit: Limit, *, poll: bool) -> None:
        """Start polling a batch, and download its files if it has ended.

        Parameters
        ----------
        path
            Path next to which the temporary files are written.
        limit
            Maps the reported size of a file to the maximum bytes to download.
        poll
            Whether the caller will retrieve the batch itself.
        """
        if poll:
            self._batches[batch.id] = self._workers.submit(self._poll, batch.id, path, limit)
        else:
            self._start_downloads(batch, path, limit)

    def upload(
        self,
        path: Path,
        filename: str,
        purpose: str = "batch",
        lifetime: int | None = None,
        *,
        by_redirect: bool = False,
    ) -> RemoteFile:
        """See :class:`Transfers`."""
        stored = self._result(self._uploads, filename) or self._service.upload(
            path, filename, purpose, lifetime, by_redirect=by_redirect
        )
        self._start_next_upload()
        return stored

    def retrieve_batch(self, batch_id: str) -> Batch:
        """See :class:`Transfers`."""
        return self._result(self._batches, batch_id) or self._service.retrieve_batch(batch_id)

    def retrieve_file(self, file_id: str) -> RemoteFile:
        """See :class:`Transfers`."""
        return self._result(self._files, file_id) or self._service.retrieve_file(file_id)

    def download(self, file_id: str, path: Path, most: int) -> int:
        """See :class:`Transfers`."""
        content = self._result(self._contents, file_id)
        if content is None:
            return self._service.download(file_id, path, most)
        partial, size = content
        partial.replace(path)
        return size

    def unused_uploads(self) -> dict[str, RemoteFile]:
        """Return the uploaded files that were never requested, by name."""
        return {
            name: stored
            for name, task in self._uploads.items()
            if task.done() and not task.exception() and (stored := task.result()) is not None
        }

    def cancel(self) -> None:
        """Cancel running transfers without waiting for them."""
        with self._lock:
            self._cancelled = True
        self._workers.shutdown(wait=False, cancel_futures=True)
        for path in tuple(self._partial):
            with suppress(OSError):  # still open; its own thread removes it
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
            return None  # the caller of the transfer reports the error
        return self._service.upload(
            file.path, file.filename, file.purpose, file.lifetime, by_redirect=file.by_redirect
        )

    def _poll(self, batch_id: str, path: Path, limit: Limit) -> Batch:
        batch = self._service.retrieve_batch(batch_id)
        if batch.ended:
            self._start_downloads(batch, path, limit)
        return batch

    def _start_downloads(self, batch: Batch, path: Path, limit: Limit) -> None:
        ids = dict.fromkeys((batch.output_file_id, batch.error_file_id))
        for number, file_id in enumerate(ids):
            if file_id is not None:
                partial = path.with_name(f"{path.name}.ahead-{number}-{threading.get_ident()}.part")
                file = self._workers.submit(self._service.retrieve_file, file_id)
                content = self._workers.submit(self._download, file_id, file, partial, limit)
                self._files[file_id], self._contents[file_id] = file, content

    def _download(
        self, file_id: str, file: Future[RemoteFile], path: Path, limit: Limit
    ) -> tuple[Path, int]:
        # Workers take tasks in order, so another worker already retrieves the metadata.
        size = None if file.exception() else file.result().bytes
        self._partial.add(path)
        try:
            return path, self._service.download(file_id, path, limit(size))
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _result(self, tasks: dict[str, Future[_T]], name: str) -> _T | None:
        """Wait for the transfer started under a name; None if there is none."""
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
    """Yield a prefetcher that uploads these files; None for a single file.

    Parameters
    ----------
    note
        Called at the end with uploaded files that were not requested: a later run uses or deletes
        them.
    """
    if len(files) <= 1:
        yield None
        return
    with prefetching(service, "uploading") as prefetcher:
        prefetcher.prefetch_uploads(files.values())
        try:
            yield prefetcher
        finally:
            stored = prefetcher.unused_uploads()
            with suppress(JobError):  # a full disk; another error is already being reported
                for number, file in files.items():
                    if file.filename in stored:
                        note(number, stored[file.filename])


@contextmanager
def prefetching(service: Service, text: str) -> Iterator[Prefetcher]:
    """Yield an idle prefetcher; cancel its running transfers at the end."""
    with progress(text, None, BYTES) as advance:
        prefetcher = Prefetcher(service, advance)
        try:
            yield prefetcher
        finally:
            prefetcher.cancel()
