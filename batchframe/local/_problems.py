"""What the local server says when a request cannot be served, in OpenAI's shape and words.

Comes in: the facts of a refusal. Goes out: `Problem`, an exception that carries the status code and
the error body. Must not know: routes, or the state of the server. The wordings are those reported
for OpenAI's Batch API (2025-08 to 2026-11) where one is known.
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
    def no_file(cls, file_id: str) -> Problem:
        """Refuse an unknown, deleted or expired file."""
        return cls(404, f"No such File object: {file_id}", param="id")

    @classmethod
    def unseen_file(cls, file_id: str) -> Problem:
        """Refuse to create a batch of a file that is not visible yet."""
        return cls(
            400,
            f"Cannot find file {file_id}, or organization local does not have access to it.",
            code="invalid_request",
            param="input_file_id",
        )

    @classmethod
    def no_batch(cls, batch_id: str) -> Problem:
        """Refuse an unknown batch."""
        return cls(404, f"No batch found with id '{batch_id}'.")

    @classmethod
    def no_route(cls, method: str, path: str) -> Problem:
        """Refuse an address that the server does not know."""
        return cls(404, f"Invalid URL ({method} {path})")

    @classmethod
    def no_cursor(cls, cursor: str) -> Problem:
        """Refuse an `after` that names nothing."""
        return cls(404, f"No object found with id '{cursor}'.", param="after")

    @classmethod
    def not_cancellable(cls, status: str) -> Problem:
        """Refuse to cancel a batch that has ended."""
        return cls(409, f"Cannot cancel a batch with status '{status}'.")

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
    def wrong_endpoint(cls, value: object, known: list[str]) -> Problem:
        """Refuse an endpoint that batches do not have."""
        return cls.wrong_value("endpoint", value, ", ".join(f"'{name}'" for name in known))

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

    @classmethod
    def wrong_purpose(cls, file_id: str, purpose: str) -> Problem:
        """Refuse a batch whose input file was uploaded for something else."""
        return cls(
            400,
            f"Invalid 'input_file_id': the purpose of {file_id} is '{purpose}', and a batch needs "
            "a file with purpose 'batch'.",
            code="invalid_value",
            param="input_file_id",
        )

    @classmethod
    def not_json(cls) -> Problem:
        """Refuse a body that is not a JSON object."""
        return cls(400, "We could not parse the JSON body of your request.")

    @classmethod
    def no_stream(cls) -> Problem:
        """Refuse to stream an answer."""
        return cls(
            400, "The local server does not stream.", code="streaming_unsupported", param="stream"
        )

    @classmethod
    def not_multipart(cls) -> Problem:
        """Refuse an upload that is not a form."""
        return cls(400, "Could not parse multipart form. The upload must be multipart/form-data.")

    @classmethod
    def not_jsonl(cls) -> Problem:
        """Refuse a batch file without the extension `.jsonl`."""
        return cls(400, "Invalid file format for Batch API. Must be .jsonl", param="file")

    @classmethod
    def file_too_large(cls, limit: int) -> Problem:
        """Refuse an upload over the Files API's limit."""
        return cls(413, f"File is too large. The maximum is {limit} bytes.", param="file")

    @classmethod
    def batch_file_too_large(cls, limit: int) -> Problem:
        """Refuse an upload over the Batch API's limit."""
        return cls(413, f"The batch input file is larger than the {limit} maximum.", param="file")

    @classmethod
    def stranger(cls, what: str) -> Problem:
        """Refuse a request that a web page made, or that came under another host name."""
        return cls(
            403,
            f"This server listens on loopback for programs on this machine; it refuses {what}.",
            code="forbidden",
        )

    @classmethod
    def broken(cls) -> Problem:
        """Report a fault of the server itself."""
        return cls(
            500,
            "The local server had an error while processing your request; its log has the reason.",
            type="server_error",
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
