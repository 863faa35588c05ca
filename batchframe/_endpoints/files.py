"""Answers that bring files, or name what is fetched afterwards: read as columns of paths.

An answer's ``text`` is then a JSON object: what the response says beside the files, and under
"files" the names of those that are kept in the job's folder.

Must not know: folders, any one endpoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

_FILES: Final = "files"


class _Names(msgspec.Struct):
    files: list[str] = []


_decode_names = msgspec.json.Decoder(_Names).decode
_encode = msgspec.json.Encoder().encode


def with_files(text: str | None, names: Sequence[str]) -> str:
    """Write the names of an answer's files into its text.

    Examples
    --------
    >>> with_files('{"id":"video_1"}', ["a.mp4"])
    '{"id":"video_1","files":["a.mp4"]}'
    """
    told: dict[str, Any] = msgspec.json.decode(text) if text else {}
    return _encode({**told, _FILES: list(names)}).decode()


def files_of(text: str | None) -> list[str]:
    """Name the files of an answer.

    Examples
    --------
    >>> files_of('{"files":["a.png"]}'), files_of(None), files_of("no JSON")
    (['a.png'], [], [])
    """
    try:
        return _decode_names(text).files if text else []
    except (msgspec.DecodeError, RecursionError):
        return []


def good_texts(answers: pa.Table, good: pa.ChunkedArray) -> list[str | None]:
    """Return the texts of the good answers, None for all others."""
    texts = pc.if_else(good, answers["text"], pa.scalar(None, pa.large_string()))
    return list(texts.to_pylist())


def first_files(texts: Iterable[str | None]) -> pa.Array:
    """Return the name of each answer's first file, null where there is none."""
    return pa.array([next(iter(files_of(text)), None) for text in texts], pa.large_string())
