"""Error responses of the local server, in OpenAI's format.

Messages are those reported for OpenAI's Batch API (2025-08 to 2026-11), where known.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Final

from batchframe._base.errors import shorten

_JSON_TYPES: Final = {
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}


class Problem(Exception):  # noqa: N818 - a response of the API, not an error of batchframe
    """Error response: an HTTP status code and an OpenAI-shaped body."""

    def __init__(
        self,
        status_code: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        type: str = "invalid_request_error",  # noqa: A002 - the wire name
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.body: dict[str, Any] = error_body(message, type=type, param=param, code=code)

    @classmethod
    def invalid(cls, param: str, message: str, code: str | None = None) -> Problem:
        """Return the error for an invalid parameter."""
        return cls(400, message, code=code, param=param)

    @classmethod
    def missing(cls, name: str) -> Problem:
        """Return the error for a missing required parameter."""
        return cls.invalid(name, missing(name), "missing_required_parameter")

    @classmethod
    def wrong_type(cls, name: str, expected: str, value: object) -> Problem:
        """Return the error for a parameter of the wrong JSON type."""
        message = f"Invalid type for '{name}': expected {expected}, but got {json_type(value)}"
        return cls.invalid(name, f"{message} instead.", "invalid_type")

    @classmethod
    def wrong_value(cls, name: str, value: object, supported: str) -> Problem:
        """Return the error for a parameter with an unsupported value."""
        message = f"Invalid value: '{value}'. Supported values are: {supported}."
        return cls.invalid(name, message, "invalid_value")

    @classmethod
    def too_long(cls, name: str, what: str, limit: int, found: int) -> Problem:
        """Return the error for a parameter that is too long."""
        message = f"Invalid '{name}': {what} too long. Expected at most {limit}, but got {found}."
        code = "string_above_max_length" if what == "string" else "object_above_max_properties"
        return cls.invalid(name, message, code)


def missing(name: str) -> str:
    """Return the message for a missing required parameter."""
    return f"Missing required parameter: '{name}'."


def error_body(
    message: str,
    *,
    type: str = "invalid_request_error",  # noqa: A002 - the wire name
    param: str | None = None,
    code: str | None = None,
) -> dict[str, Any]:
    """Return an error body in OpenAI's format."""
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def json_type(value: object) -> str:
    """Return the JSON type of a decoded value, with its article."""
    return _JSON_TYPES.get(type(value), "null")


def guess(name: object, names: Iterable[str]) -> str:
    """Return a "Did you mean" hint with the closest name, or an empty string."""
    matches = difflib.get_close_matches(str(name), names, n=1)
    return f"Did you mean {matches[0]!r}? " if matches else ""


def short_repr(value: object) -> str:
    """Return the `repr` of a value on one line, at most 60 characters long.

    Examples
    --------
    >>> short_repr("azur")
    "'azur'"
    """
    return shorten(repr(value), 60)
