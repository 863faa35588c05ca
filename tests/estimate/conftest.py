"""tiktoken's encodings, from local vocabularies."""

from __future__ import annotations

from tests.support.vocabularies import fresh_engines, judge

__all__ = ["fresh_engines", "judge"]
