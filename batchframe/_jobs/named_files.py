"""Files that answers only name → the files at home.

In: a job's folder whose answers have come home, and a service. Out: the files, below the folder.
Must not know: batches, prices, frames.

What the service will never give is noted, with its reason, so that it is not asked for again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from batchframe._base.errors import ServiceError
from batchframe._base.file_types import VIDEOS, ending_of
from batchframe._base.private_files import open_private
from batchframe._base.progress import progress
from batchframe._endpoints import endpoint_of, file_named_in
from batchframe._results.job_answers import read_job
from batchframe._services.protocol import RemoteVideo, Service
from batchframe._store.answer_files import AnswerFiles
from batchframe._store.manifest import Record

_MOST: Final = 10 * 10**9
_GONE: Final = frozenset({404, 410})
_HEAD: Final = 4096


def names_files(record: Record) -> bool:
    """Tell whether the answers of a job name files that must be fetched."""
    return endpoint_of(record.manifest.recipe.endpoint).brings == "names"


def fetch_named(record: Record, service: Service) -> None:
    """Fetch every file that is named and not at home yet. The caller holds the job's lock.

    Raises
    ------
    ServiceError
        If the service cannot be reached, or one file gives trouble; the others are fetched all the
        same.
    JobError
        If the disk does not take them.
    """
    wanted = list(_wanted(record))
    files = AnswerFiles(record.folder.files)
    troubles: list[ServiceError] = []
    with progress("fetching videos", len(wanted), " videos") as advance:
        for custom_id, name in wanted:
            try:
                _fetch(service, files, custom_id, name)
            except ServiceError as trouble:
                troubles.append(trouble)
                if trouble.out_of_reach:
                    break
            advance(1)
    if troubles:
        raise troubles[0]


def _wanted(record: Record) -> Iterator[tuple[str, str]]:
    job = read_job(record)
    told = (job.custom_ids, job.answers["status"], job.answers["text"])
    columns = (column.to_pylist() for column in told)
    for custom_id, status, text in zip(*columns, strict=True):
        name = file_named_in(text)
        if custom_id is not None and status == "pending" and name is not None:
            yield custom_id, name


def _fetch(service: Service, files: AnswerFiles, custom_id: str, name: str) -> None:
    try:
        video = service.retrieve_video(name)
        if video.status == "completed":
            _download(service, files, custom_id, name)
        elif video.status in {"failed", "expired", "cancelled"}:
            files.mark_gone(custom_id, _why(video))
    except ServiceError as reason:
        if reason.status not in _GONE:
            raise
        files.mark_gone(custom_id, f"the service has video {name} no more: {reason}")


def _download(service: Service, files: AnswerFiles, custom_id: str, name: str) -> None:
    partial = files.partial(custom_id)
    try:
        service.download_video(name, partial, _MOST)
        with open_private(partial) as file:
            if ending_of(file.read(_HEAD)) not in VIDEOS:
                raise ServiceError.unusable(got="something else", what=f"the content of {name}")
        files.adopt(custom_id, partial)
    finally:
        partial.unlink(missing_ok=True)


def _why(video: RemoteVideo) -> str:
    return f"video {video.id} {video.status}" + (f": {video.error}" if video.error else "")
