"""Validation of the parameters of uploads, batches and lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from batchframe.local._batches.dialects import Dialect
from batchframe.local._batches.store import LIFETIME
from batchframe.local._problems import Problem

_PURPOSES: Final = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
_METADATA_PAIRS: Final = 16
_METADATA_KEY: Final = 64
_METADATA_VALUE: Final = 512


def batch_request(body: dict[str, Any], dialect: Dialect) -> dict[str, Any]:
    """Validate the body of `POST /batches`; return arguments of `add_batch`.

    Raises
    ------
    Problem
        If a parameter is invalid.
    """
    input_file_id = _string(body, "input_file_id")
    spelling = _string(body, "endpoint")
    endpoint = dialect.find_endpoint(spelling)
    if endpoint is None:
        supported = _quote(dialect.spell(endpoint) for endpoint in dialect.endpoints)
        raise Problem.wrong_value("endpoint", spelling, supported)
    window = _string(body, "completion_window")
    if not dialect.accepts_window(window):
        supported = " to ".join(f"'{hours}h'" for hours in dict.fromkeys(dialect.hours))
        raise Problem.wrong_value("completion_window", window, supported)
    expiry = "output_expires_after"
    return {
        "endpoint": endpoint,
        "input_file_id": input_file_id,
        "completion_window": window,
        "metadata": _metadata(body.get("metadata")),
        "output_lifetime": _lifetime(body.get(expiry), expiry, dialect) or LIFETIME,
    }


def upload_request(fields: Mapping[str, str], dialect: Dialect) -> tuple[str, int | None]:
    """Validate the form fields of `POST /files`.

    Returns
    -------
    The purpose, and the lifetime in seconds; None means that the file does not expire.

    Raises
    ------
    Problem
        If a field is invalid.
    """
    purpose = fields.get("purpose")
    if purpose is None:
        raise Problem.missing("purpose")
    batch_purpose = dialect.service.purpose
    purposes = [batch_purpose if name == "batch" else name for name in _PURPOSES]
    if purpose not in purposes:
        raise Problem.wrong_value("purpose", purpose, _quote(purposes))
    names = {name: f"expires_after[{name}]" for name in ("anchor", "seconds")}
    expiry = {name: fields[key] for name, key in names.items() if key in fields}
    lifetime = _lifetime(expiry or None, "expires_after", dialect)
    return purpose, lifetime or (LIFETIME if purpose == batch_purpose else None)


def parse_limit(query: Mapping[str, str], maximum: int, default: int) -> int:
    """Validate and return the parameter `limit` of a list.

    Raises
    ------
    Problem
        If it is not an integer from 1 to `maximum`.
    """
    return _integer(query.get("limit", default), "limit", 1, maximum)


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


def _quote(values: Iterable[str]) -> str:
    return ", ".join(f"'{value}'" for value in values)


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
    """Parse an integer, a string in forms and queries, and check its range."""
    try:
        number = None if isinstance(value, bool) else int(value)
    except (TypeError, ValueError):
        number = None
    if number is None:
        raise Problem.wrong_type(name, "an integer", value)
    if not low <= number <= high:
        message = f"Invalid '{name}': expected an integer from {low} to {high}, but got {number}."
        raise Problem.invalid(name, message, "integer_out_of_range")
    return number
