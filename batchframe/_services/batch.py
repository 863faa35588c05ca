"""Batch objects, parsed defensively since services differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from batchframe._base.lenient_json import as_mapping
from batchframe._base.safe_text import visible

ENDED: Final = frozenset({"completed", "failed", "expired", "cancelled"})
"""Final statuses of a batch; any other status, even an unknown one, may change."""
_ENDS: Final = ("ended_at", "completed_at", "failed_at", "expired_at", "cancelled_at")
_LONGEST_STATUS: Final = 64
_MOST_ERRORS: Final = 1000
_SPELLINGS: Final = {"canceled": "cancelled", "canceling": "cancelling"}
_MOST_LINES: Final = 10**9


@dataclass(frozen=True)
class BatchError:
    """A validation error of a batch; `line` is the 1-based input line."""

    code: str | None
    message: str | None
    line: int | None


@dataclass(frozen=True, repr=False)
class Batch:
    """A batch as last reported; fields the service omits are None or 0.

    Examples
    --------
    >>> Batch("batch_1", "in_progress", total=60, completed=24, failed=1)
    <Batch batch_1: in_progress, 24 completed and 1 failed of 60 requests>
    """

    id: str
    status: str
    endpoint: str | None = None
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0
    errors: tuple[BatchError, ...] = ()
    created_at: float | None = None
    expires_at: float | None = None
    in_progress_at: float | None = None
    ended_at: float | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        counts = f"{self.completed:,} completed and {self.failed:,} failed of {self.total:,}"
        return visible(f"<Batch {self.id}: {self.status}, {counts} requests>")

    @property
    def ended(self) -> bool:
        """Whether the status is final."""
        return self.status in ENDED

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Batch:
        """Parse a batch object, tolerating missing and nonstandard fields.

        Examples
        --------
        >>> Batch.from_json({"id": "batch_1", "status": "completed", "error_file_id": ""})
        <Batch batch_1: completed, 0 completed and 0 failed of 0 requests>
        """
        counts = as_mapping(data.get("request_counts"))
        errors = data.get("errors")
        entries = errors.get("data") if isinstance(errors, Mapping) else errors
        return cls(
            id=_text(data["id"]) or "",
            status=_status(data.get("status")),
            endpoint=_text(data.get("endpoint")),
            input_file_id=_text(data.get("input_file_id")),
            output_file_id=_text(data.get("output_file_id")),
            error_file_id=_text(data.get("error_file_id")),
            total=_count(counts.get("total")),
            completed=_count(counts.get("completed")),
            failed=_count(counts.get("failed")),
            errors=tuple(map(_error, entries[:_MOST_ERRORS] if isinstance(entries, list) else ())),
            # Later timestamps have no representable date; milliseconds are rejected this way.
            created_at=_number(data.get("created_at"), most=1e11),
            expires_at=_number(data.get("expires_at"), most=1e11),
            in_progress_at=_number(data.get("in_progress_at"), most=1e11),
            ended_at=_number(_first(data, _ENDS), most=1e11),
            metadata={
                name: text
                for key, value in as_mapping(data.get("metadata")).items()
                if (text := _plain(value)) is not None and (name := _text(key)) is not None
            },
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form that :meth:`from_json` reads."""
        data = asdict(self)
        counts = {name: data.pop(name) for name in ("total", "completed", "failed")}
        errors = {"data": list(data["errors"])}
        return {**data, "errors": errors, "request_counts": counts}


def _first(data: Mapping[str, Any], keys: Iterable[str]) -> Any:
    return next((data[key] for key in keys if data.get(key)), None)


def _plain(value: Any) -> str | None:
    # Lone surrogates can be written neither to the journal nor to a terminal.
    return value.encode(errors="replace").decode() if isinstance(value, str) else None


def _text(value: Any) -> str | None:
    # A batch without errors may have an empty string in place of a file id.
    return _plain(value) or None


def _status(value: Any) -> str:
    word = str(_text(value) or "unknown").strip().lower()[:_LONGEST_STATUS]
    return _SPELLINGS.get(word, word)


def _number(value: Any, most: float) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if number and 0 <= value <= most else None  # NaN is not


def _count(value: Any) -> int:
    return int(_number(value, most=1e12) or 0)


def _error(value: Any) -> BatchError:
    if isinstance(value, str):
        return BatchError(None, _text(value), None)
    error = as_mapping(value)
    line = error.get("line")
    return BatchError(
        code=_text(error.get("code")),
        message=_text(error.get("message")),
        line=line if type(line) is int and 0 < line < _MOST_LINES else None,
    )
