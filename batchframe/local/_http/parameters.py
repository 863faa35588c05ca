"""The parameters of uploads, batches and lists, checked as the service checks them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from batchframe.local._batches.dialects import Dialect
from batchframe.local._batches.store import LIFETIME
from batchframe.local._problems import Problem

_PURPOSES: Final = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
_METADATA_PAIRS: Final = 16
_METADATA_KEY: Final = 64
_METADATA_VALUE: Final = 512
_MISSING: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRequest:
    """The parameters of `POST /batches`; `output_lifetime` in seconds."""

    endpoint: str
    input_file_id: str
    completion_window: str
    metadata: dict[str, str] | None
    output_lifetime: int


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """The parameters of `POST /files` beside the file; `lifetime` in seconds, `None` for ever."""

    purpose: str
    lifetime: int | None


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for."""

    after: str | None
    limit: int


def batch_request(body: dict[str, Any], dialect: Dialect) -> BatchRequest:
    """Check the body of `POST /batches`.

    Raises
    ------
    Problem
        With status 400.
    """
    input_file_id = _string(body, "input_file_id")
    word = _string(body, "endpoint")
    endpoint = dialect.find_endpoint(word)
    if endpoint is None:
        supported = _quoted(dialect.spell(each) for each in dialect.endpoints)
        raise Problem.wrong_value(name="endpoint", value=word, supported=supported)
    window = _string(body, "completion_window")
    if not dialect.accepts_window(window):
        supported = " to ".join(f"'{hours}h'" for hours in dict.fromkeys(dialect.hours))
        raise Problem.wrong_value(name="completion_window", value=window, supported=supported)
    expiry = "output_expires_after"
    return BatchRequest(
        endpoint=endpoint,
        input_file_id=input_file_id,
        completion_window=window,
        metadata=_metadata(body.get("metadata")),
        output_lifetime=_lifetime(body.get(expiry), expiry, dialect) or LIFETIME,
    )


def upload_request(fields: Mapping[str, str], dialect: Dialect) -> UploadRequest:
    """Check the form fields of `POST /files`.

    Raises
    ------
    Problem
        With status 400.
    """
    purpose = fields.get("purpose")
    if purpose is None:
        raise Problem.missing(name="purpose")
    own = dialect.service.purpose
    purposes = [own if each == "batch" else each for each in _PURPOSES]
    if purpose not in purposes:
        raise Problem.wrong_value(name="purpose", value=purpose, supported=_quoted(purposes))
    names = {name: f"expires_after[{name}]" for name in ("anchor", "seconds")}
    given = {name: fields[key] for name, key in names.items() if key in fields}
    lifetime = _lifetime(given or None, "expires_after", dialect)
    return UploadRequest(purpose, lifetime or (LIFETIME if purpose == own else None))


def parse_page(query: Mapping[str, str], *, most: int, default: int) -> Page:
    """Check `after` and `limit` of a list.

    Raises
    ------
    Problem
        With status 400.
    """
    given = query.get("limit", default)
    limit = _whole(given)
    if limit is None:
        raise Problem.wrong_type(name="limit", expected="an integer", value=given)
    if not 1 <= limit <= most:
        raise Problem.out_of_range(name="limit", low=1, high=most, value=limit)
    return Page(query.get("after"), limit)


def _string(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        raise Problem.missing(name)
    if not isinstance(value, str):
        raise Problem.wrong_type(name, "a string", value)
    return value


def _metadata(value: Any) -> dict[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise Problem.wrong_type(name="metadata", expected="an object", value=value)
    if len(value) > _METADATA_PAIRS:
        raise Problem.too_long(
            name="metadata", what="object", limit=_METADATA_PAIRS, found=len(value)
        )
    for key, text in value.items():
        name = f"metadata.{key}"
        if not isinstance(text, str):
            raise Problem.wrong_type(name, "a string", text)
        if len(key) > _METADATA_KEY:
            raise Problem.too_long(
                name="metadata", what="string", limit=_METADATA_KEY, found=len(key)
            )
        if len(text) > _METADATA_VALUE:
            raise Problem.too_long(name=name, what="string", limit=_METADATA_VALUE, found=len(text))
    return value


def _quoted(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


def _lifetime(value: Any, name: str, dialect: Dialect) -> int | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise Problem.wrong_type(name, "an object", value)
    anchor = value.get("anchor")
    if anchor != "created_at":
        if anchor is None:
            raise Problem.missing(name=f"{name}.anchor")
        raise Problem.wrong_value(name=f"{name}.anchor", value=anchor, supported="'created_at'")
    given = value.get("seconds", _MISSING)
    if given is _MISSING:
        raise Problem.missing(name=f"{name}.seconds")
    seconds = _whole(given)
    if seconds is None:
        raise Problem.wrong_type(name=f"{name}.seconds", expected="an integer", value=given)
    low = dialect.min_lifetime
    if not low <= seconds <= LIFETIME:
        raise Problem.out_of_range(name=f"{name}.seconds", low=low, high=LIFETIME, value=seconds)
    return seconds


def _whole(value: Any) -> int | None:
    """Read an integer that a form or a query may have written as text."""
    if isinstance(value, bool):
        return None
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
