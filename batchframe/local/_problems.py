"""What the local server says when it refuses a request, in OpenAI's shape and words.

The wordings are those reported for OpenAI's Batch API (2025-08 to 2026-11) where one is known.
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


class Problem(Exception):  # noqa: N818 - it is an answer of the service, named as such
    """A refusal: an HTTP status code and an OpenAI-shaped error body."""

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
        """Refuse a request for one of its parameters."""
        return cls(400, message, code=code, param=param)

    @classmethod
    def missing(cls, name: str) -> Problem:
        """Refuse a request without a required parameter."""
        return cls.invalid(name, missing(name), "missing_required_parameter")

    @classmethod
    def wrong_type(cls, name: str, expected: str, value: object) -> Problem:
        """Refuse a parameter of the wrong JSON type."""
        message = f"Invalid type for '{name}': expected {expected}, but got {json_type(value)}"
        return cls.invalid(name, f"{message} instead.", "invalid_type")

    @classmethod
    def wrong_value(cls, name: str, value: object, supported: str) -> Problem:
        """Refuse a parameter whose value is not one of the allowed."""
        message = f"Invalid value: '{value}'. Supported values are: {supported}."
        return cls.invalid(name, message, "invalid_value")

    @classmethod
    def too_long(cls, name: str, what: str, limit: int, found: int) -> Problem:
        """Refuse a parameter that is longer than allowed."""
        message = f"Invalid '{name}': {what} too long. Expected at most {limit}, but got {found}."
        code = "string_above_max_length" if what == "string" else "object_above_max_properties"
        return cls.invalid(name, message, code)

    @classmethod
    def out_of_range(cls, name: str, low: int, high: int, value: object) -> Problem:
        """Refuse a number that is out of its range."""
        message = f"Invalid '{name}': expected an integer from {low} to {high}, but got {value}."
        return cls.invalid(name, message, "integer_out_of_range")


def missing(name: str) -> str:
    """Say that a required parameter is not there."""
    return f"Missing required parameter: '{name}'."


def error_body(
    message: str,
    *,
    type: str = "invalid_request_error",  # noqa: A002 - the wire name
    param: str | None = None,
    code: str | None = None,
) -> dict[str, Any]:
    """Return an error in OpenAI's shape."""
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def json_type(value: object) -> str:
    """Name a decoded value's JSON type, with its article."""
    return _JSON_TYPES.get(type(value), "null")


def guess(word: object, known: Iterable[str]) -> str:
    """Ask whether the nearest known word was meant, if one is near."""
    near = difflib.get_close_matches(str(word), known, n=1)
    return f"Did you mean {near[0]!r}? " if near else ""


def short_repr(value: object) -> str:
    """Return a value's `repr` on one line, of at most 60 characters.

    Examples
    --------
    >>> short_repr("azur")
    "'azur'"
    """
    return shorten(repr(value), 60)
