"""What the local server says when it refuses a request, in OpenAI's shape and words.

The wordings are those reported for OpenAI's Batch API (2025-08 to 2026-11) where one is known.
"""

from __future__ import annotations

from typing import Any, Final

_LONGEST_REPR: Final = 60


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
    def missing(cls, name: str) -> Problem:
        """Refuse a request without a required parameter."""
        return cls(
            400,
            f"Missing required parameter: '{name}'.",
            code="missing_required_parameter",
            param=name,
        )

    @classmethod
    def wrong_type(cls, name: str, expected: str, value: object) -> Problem:
        """Refuse a parameter of the wrong JSON type."""
        return cls(
            400,
            f"Invalid type for '{name}': expected {expected}, but got {json_type(value)} instead.",
            code="invalid_type",
            param=name,
        )

    @classmethod
    def wrong_value(cls, name: str, value: object, supported: str) -> Problem:
        """Refuse a parameter whose value is not one of the allowed."""
        return cls(
            400,
            f"Invalid value: '{value}'. Supported values are: {supported}.",
            code="invalid_value",
            param=name,
        )

    @classmethod
    def too_long(cls, name: str, what: str, limit: int, found: int) -> Problem:
        """Refuse a parameter that is longer than allowed."""
        return cls(
            400,
            f"Invalid '{name}': {what} too long. Expected at most {limit}, but got {found}.",
            code="string_above_max_length" if what == "string" else "object_above_max_properties",
            param=name,
        )

    @classmethod
    def out_of_range(cls, name: str, low: int, high: int, value: object) -> Problem:
        """Refuse a number that is out of its range."""
        return cls(
            400,
            f"Invalid '{name}': expected an integer from {low} to {high}, but got {value}.",
            code="integer_out_of_range",
            param=name,
        )


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
    names = {
        bool: "a boolean",
        int: "an integer",
        float: "a number",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    return names.get(type(value), "null")


def short_repr(value: object) -> str:
    """Return a value's `repr` on one line, of at most 60 characters.

    Examples
    --------
    >>> short_repr("azur")
    "'azur'"
    """
    text = " ".join(repr(value).split()).rstrip(".")
    return text if len(text) <= _LONGEST_REPR else f"{text[:_LONGEST_REPR]}…"
