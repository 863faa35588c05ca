"""Transfers that begin before they are asked for: up to four at once.

In: a service, and what will be asked of it. Out: the same service, which answers from what is under
way or there already.
Must not know: the protocol, the journal, what the files hold.

Whoever asks goes on asking in its own order, and keeps its journal as if nothing were ahead. The
threads here only move bytes, into files of names of their own: they put nothing in its place.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from batchframe._base.errors import BatchframeError, JobError
from batchframe._base.private_files import sha256_of
from batchframe._base.progress import BYTES, FOLLOWED, Advance, progress
from batchframe._services.batch import Batch
from batchframe._services.protocol import RemoteFile, Service

AT_ONCE: Final = 4
_SEVERAL: Final = 2
_BEAT: Final = 0.2
"""Seconds between two looks at how much was moved."""

Outcomes = dict[tuple[str, str], Any]
"""What was asked → what came back: a value, or what was raised."""


class _GivenUp(BaseException):
    """Ends a transfer that nobody waits for any more; no handler of errors may stop it."""


class ToUpload(NamedTuple):
    """A file that will be asked to be uploaded, under a name, if it is still what was written."""

    path: Path
    filename: str
    sha256: str
    purpose: str
    lifetime: int | None


@dataclass(frozen=True)
class _Content:
    path: Path
    size: int


class Ahead:
    """A service and what was asked of it ahead.

    Only what changes nothing or costs nothing is asked ahead: uploads, looks, downloads.
    """

    def __init__(self, service: Service, advance: Advance) -> None:
        self._service = service
        self._advance = advance
        self._workers = ThreadPoolExecutor(AT_ONCE)
        self._begun: dict[tuple[str, str], Future[Outcomes]] = {}
        self._there: Outcomes = {}
        self._moving = threading.Lock()
        self._moved = self._shown = 0
        self._stopped = False
        self._waiting: deque[ToUpload] = deque()
        self._parts: set[Path] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._service, name)

    def begin_uploads(self, files: Iterable[ToUpload]) -> None:
        """Begin to upload files in the order in which they will be asked for.

        The next one begins when one is asked for: there are never more than a few that a refusal
        would leave on the server for nothing.
        """
        self._waiting.extend(files)
        for _ in range(AT_ONCE):
            self._begin_next_upload()

    def _begin_next_upload(self) -> None:
        if self._waiting:
            file = self._waiting.popleft()
            self._begin([("upload", file.filename)], lambda: self._uploaded(file))

    def _uploaded(self, file: ToUpload) -> Outcomes:
        with suppress(BatchframeError):
            if sha256_of(file.path) == file.sha256:
                told = _told(
                    self._service.upload, file.path, file.filename, file.purpose, file.lifetime
                )
                return {("upload", file.filename): told}
        return {}  # who asks for it will say what is wrong with it

    def begin_fetch(
        self, batch: Batch, home: Path, most: Callable[[int | None], int], *, look: bool
    ) -> None:
        """Begin to look at a batch, and to download its files if it has ended.

        Parameters
        ----------
        home
            Beside which the files are put for the time being.
        most
            The stated size of a file → how many bytes of it to take at most.
        look
            Whether the batch itself will be asked for.
        """
        keys = [("batch", batch.id)] if look else [("file", name) for name in _files(batch)]
        self._begin(keys, lambda: self._fetched(batch, home, most, look=look))

    def upload(
        self, path: Path, filename: str, purpose: str = "batch", lifetime: int | None = None
    ) -> RemoteFile:
        """As of :class:`Service`."""

        def ask() -> RemoteFile:
            return self._service.upload(path, filename, purpose, lifetime)

        told = self._answer("upload", filename, ask)
        self._begin_next_upload()
        return cast("RemoteFile", told)

    def retrieve_batch(self, batch_id: str) -> Batch:
        """As of :class:`Service`."""
        told = self._answer("batch", batch_id, lambda: self._service.retrieve_batch(batch_id))
        return cast("Batch", told)

    def retrieve_file(self, file_id: str) -> RemoteFile:
        """As of :class:`Service`."""
        told = self._answer("file", file_id, lambda: self._service.retrieve_file(file_id))
        return cast("RemoteFile", told)

    def download(self, file_id: str, path: Path, most: int) -> int:
        """As of :class:`Service`."""
        found = self._answer("content", file_id, lambda: None)
        if found is None:
            return self._service.download(file_id, path, most)
        found.path.replace(path)
        return int(found.size)

    def uploaded(self) -> dict[str, RemoteFile]:
        """Return the files that were uploaded and not asked for, by name."""
        for future in set(self._begun.values()):
            if future.done() and not future.cancelled():
                self._there |= future.result()
        return {
            name: told
            for (kind, name), told in self._there.items()
            if kind == "upload" and isinstance(told, RemoteFile)
        }

    def give_up(self) -> None:
        """Stop what is under way, without waiting for it."""
        with self._moving:
            self._stopped = True
        self._workers.shutdown(wait=False, cancel_futures=True)
        for part in tuple(self._parts):
            with suppress(OSError):  # one that is still open; its own thread removes it
                part.unlink(missing_ok=True)

    def _begin(self, keys: list[tuple[str, str]], act: Callable[[], Outcomes]) -> None:
        future = self._workers.submit(self._in_thread, act)
        self._begun |= dict.fromkeys(keys, future)

    def _in_thread(self, act: Callable[[], Outcomes]) -> Outcomes:
        FOLLOWED.set(self._follow)
        try:
            return act()
        except _GivenUp:
            return {}

    def _follow(self, more: int) -> None:
        with self._moving:
            self._moved += more
            if self._stopped:
                raise _GivenUp

    def _fetched(
        self, batch: Batch, home: Path, most: Callable[[int | None], int], *, look: bool
    ) -> Outcomes:
        latest: Any = _told(self._service.retrieve_batch, batch.id) if look else batch
        told: Outcomes = {("batch", batch.id): latest} if look else {}
        ended = isinstance(latest, Batch) and latest.ended
        for number, name in enumerate(_files(latest) if ended else ()):
            described = _told(self._service.retrieve_file, name)
            told["file", name] = described
            size = most(described.bytes if isinstance(described, RemoteFile) else None)
            path = home.with_name(f"{home.name}.ahead-{number}-{threading.get_ident()}.part")
            told["content", name] = _told(self._content, name, path, size)
        return told

    def _content(self, file_id: str, path: Path, most: int) -> _Content:
        self._parts.add(path)
        try:
            return _Content(path, self._service.download(file_id, path, most))
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _answer(self, kind: str, name: str, otherwise: Callable[[], Any]) -> Any:
        future = self._begun.get((kind, name))
        if future is not None:
            self._begun = {key: one for key, one in self._begun.items() if one is not future}
            while not wait([future], timeout=_BEAT).done:
                self._show()
            self._show()
            self._there |= future.result()
        if (kind, name) not in self._there:
            return otherwise()
        told = self._there.pop((kind, name))
        if isinstance(told, BaseException):
            raise told
        return told

    def _show(self) -> None:
        with self._moving:
            more, self._shown = self._moved - self._shown, self._moved
        if more:
            self._advance(more)


def _told(ask: Callable[..., Any], *how: Any) -> Any:
    """Return what comes back, also if that is an error, for who asks to raise."""
    try:
        return ask(*how)
    except (BatchframeError, OSError) as reason:
        return reason


def _files(batch: Batch) -> list[str]:
    named = (batch.output_file_id, batch.error_file_id)
    return list(dict.fromkeys(name for name in named if name is not None))


@contextmanager
def uploading(
    service: Service, files: Mapping[int, ToUpload], note: Callable[[int, RemoteFile], None]
) -> Iterator[Service]:
    """Yield the service, with uploads of these files under way if they are several.

    Parameters
    ----------
    note
        Takes, at the end, what was uploaded and not asked for: a later look uses it, or deletes it.
    """
    if len(files) < _SEVERAL:
        yield service
        return
    with ahead_of(service, "uploading") as ahead:
        ahead.begin_uploads(files.values())
        try:
            yield cast("Service", ahead)
        finally:
            stored = ahead.uploaded()
            with suppress(JobError):  # of a disk that is full; there is another error to tell
                for number, file in files.items():
                    if file.filename in stored:
                        note(number, stored[file.filename])


@contextmanager
def ahead_of(service: Service, text: str) -> Iterator[Ahead]:
    """Yield the service with nothing begun; what is still under way at the end is given up."""
    with progress(text, None, BYTES) as advance:
        ahead = Ahead(service, advance)
        try:
            yield ahead
        finally:
            ahead.give_up()
