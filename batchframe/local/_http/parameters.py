"""The parameters of uploads, batches and lists, checked as the service checks them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from batchframe.local._batches.dialects import Dialect
from batchframe.local._batches.store import LIFETIME
from batchframe.local._objects import BatchRequest
from batchframe.local._problems import Problem

_PURPOSES: Final = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
_METADATA_PAIRS: Final = 16
_METADATA_KEY: Final = 64
_METADATA_VALUE: Final = 512


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
        raise Problem.wrong_value("endpoint", word, supported)
    window = _string(body, "completion_window")
    if not dialect.accepts_window(window):
        supported = " to ".join(f"'{hours}h'" for hours in dict.fromkeys(dialect.hours))
        raise Problem.wrong_value("completion_window", window, supported)
    expiry = "output_expires_after"
    return BatchRequest(
        endpoint=endpoint,
        input_file_id=input_file_id,
        completion_window=window,
        metadata=_metadata(body.get("metadata")),
        output_lifetime=_lifetime(body.get(expiry), expiry, dialect) or LIFETIME,
    )


def upload_request(fields: Mapping[str, str], dialect: Dialect) -> tuple[str, int | None]:
    """Check the form fields of `POST /files`, and return the purpose and the lifetime.

    That is in seconds, `None` for ever.

    Raises
    ------
    Problem
        With status 400.
    """
    purpose = fields.get("purpose")
    if purpose is None:
        raise Problem.missing("purpose")
    own = dialect.service.purpose
    purposes = [own if each == "batch" else each for each in _PURPOSES]
    if purpose not in purposes:
        raise Problem.wrong_value("purpose", purpose, _quoted(purposes))
    names = {name: f"expires_after[{name}]" for name in ("anchor", "seconds")}
    given = {name: fields[key] for name, key in names.items() if key in fields}
    lifetime = _lifetime(given or None, "expires_after", dialect)
    return purpose, lifetime or (LIFETIME if purpose == own else None)


def parse_page(query: Mapping[str, str], *, most: int, default: int) -> Page:
    """Check `after` and `limit` of a list.

    Raises
    ------
    Problem
        With status 400.
    """
    return Page(query.get("after"), _integer(query.get("limit", default), "limit", 1, most))


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
        raise Problem.wrong_type("metadata", "an object", value)
    if len(value) > _METADATA_PAIRS:
        raise Problem.too_long("metadata", "object", _METADATA_PAIRS, len(value))
    for key, text in value.items():
        name = f"metadata.{key}"
        if not isinstance(text, str):
            raise Problem.wrong_type(name, "a string", text)
        if len(key) > _METADATA_KEY:
            raise Problem.too_long("metadata", "string", _METADATA_KEY, len(key))
        if len(text) > _METADATA_VALUE:
            raise Problem.too_long(name, "string", _METADATA_VALUE, len(text))
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
            raise Problem.missing(f"{name}.anchor")
        raise Problem.wrong_value(f"{name}.anchor", anchor, "'created_at'")
    if "seconds" not in value:
        raise Problem.missing(f"{name}.seconds")
    return _integer(value["seconds"], f"{name}.seconds", dialect.min_lifetime, LIFETIME)


def _integer(value: Any, name: str, low: int, high: int) -> int:
    """Check an integer, which a form or a query may have written as text."""
    try:
        number = None if isinstance(value, bool) else int(value)
    except (TypeError, ValueError):
        number = None
    if number is None:
        raise Problem.wrong_type(name, "an integer", value)
    if not low <= number <= high:
        raise Problem.out_of_range(name, low, high, number)
    return number
