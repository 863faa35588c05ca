"""Download of a result file into the job's folder, verified and durable."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from batchframe._base.clock import NO_PAUSE, Retries
from batchframe._base.errors import ServiceError
from batchframe._base.private_files import (
    create_private,
    sha256_of,
    sync_folder,
    translate_os_errors,
)
from batchframe._base.safe_text import BASE_URL, REFRESH
from batchframe._results.line import count_lines
from batchframe._services.protocol import Transfers
from batchframe._store.events import Fetched

_ATTEMPTS: Final = 3
# A service may state a wrong size, so a file may exceed it, up to a limit.
_SLACK: Final = 1 << 26
_MOST: Final = 10 * 10**9
_GONE: Final = frozenset({404, 410})
_NOT_OFFERED: Final = frozenset({400, 405, 501}) | _GONE


def download_result_file(
    service: Transfers,
    file_id: str,
    destination: Path,
    requests: int,
    before: Fetched | None = None,
) -> Fetched | None:
    """Download a result file, verify it, and move it into place.

    Parameters
    ----------
    requests
        Number of lines of a complete file, regardless of the size that the service states.
    before
        The file of an earlier download, which stays if it has more lines.

    Returns
    -------
    None if the service has no such file.

    Raises
    ------
    ServiceError
        If the file cannot be downloaded completely; an earlier file stays.
    JobError
        If the file cannot be written.
    """
    partial = destination.with_name(destination.name + ".part")
    with translate_os_errors(destination):
        existing = before if before is not None and is_intact(destination, before) else None
        expected = _stated_size(service, file_id)
        try:
            _download(service, file_id, partial, expected, requests)
            if existing is not None and count_lines(partial).whole < count_lines(destination).whole:
                return existing
            return _move_into_place(partial, destination)
        except ServiceError as reason:
            if reason.status not in _GONE:
                raise
            if expected == 0 and existing is None:
                create_private(partial).close()
                return _move_into_place(partial, destination)
            return existing
        finally:
            partial.unlink(missing_ok=True)


def is_intact(path: Path, fetched: Fetched) -> bool:
    """Check whether a file is unchanged since its download."""
    return (
        path.is_file()
        and path.stat().st_size == fetched.bytes
        and sha256_of(path) == fetched.sha256
    )


def max_bytes(stated: int | None) -> int:
    """Return the maximum size of a download, given the stated size."""
    return stated + _SLACK if stated else _MOST


def _stated_size(service: Transfers, file_id: str) -> int | None:
    try:
        return service.retrieve_file(file_id).bytes
    except ServiceError as reason:
        # Some servers return the content of a file but not its metadata.
        if reason.status not in _NOT_OFFERED:
            raise
    return None


def _download(
    service: Transfers, file_id: str, partial: Path, expected: int | None, requests: int
) -> None:
    """Download until the size matches, or the retries are used up."""
    maximum = max_bytes(expected)
    retries = Retries(NO_PAUSE, attempts=_ATTEMPTS)
    while True:
        try:
            size = service.download(file_id, partial, maximum)
        except ServiceError as reason:
            if not reason.broke_off or not retries.pause():
                raise
            continue
        # A closed connection can look like a complete response.
        if size == expected:
            return
        if not expected or not retries.pause():
            break
    if expected:
        if not _is_whole(partial, size - expected, requests):
            raise ServiceError(
                f"Result file {file_id} is incomplete after {_ATTEMPTS} downloads ({size:,} of "
                f"{expected:,} bytes). No data was lost.",
                next_step="Fix: " + REFRESH + ".",
            )
    elif _is_html(partial):
        raise ServiceError(
            f"The service returned a web page instead of result file {file_id}, maybe from a proxy "
            "or a login. No data was lost.",
            next_step="Fix: check " + BASE_URL + ", then " + REFRESH + ".",
        )


def _is_whole(path: Path, surplus: int, requests: int) -> bool:
    """Check whether a file is complete although its size differs."""
    lines = count_lines(path)
    return lines.whole >= requests or (surplus > 0 and lines.whole > 0 and lines.broken == 0)


def _is_html(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1024).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")


def _move_into_place(partial: Path, destination: Path) -> Fetched:
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    fetched = Fetched(partial.stat().st_size, sha256_of(partial))
    partial.replace(destination)
    sync_folder(destination.parent)
    return fetched
