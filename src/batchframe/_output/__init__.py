"""What ``output=`` asks for: a strict JSON schema on the wire, typed columns from the answers.

:mod:`._spec` turns what the user wrote into a frozen :class:`OutputSpec`, with the help of
:mod:`._strict` (the schema as strict mode wants it) and :mod:`._limits` (what the service takes).
:mod:`._shape` reads a strict schema as columns, :mod:`._columns` fills them from answer texts, and
:mod:`._bounds` bounds the tokens of an answer, for the price.

Must not know: pandas, requests, endpoints, files.
"""

from __future__ import annotations

from batchframe._output._bounds import AnswerBounds, answer_bounds
from batchframe._output._columns import ParsedAnswers, parse_answers
from batchframe._output._spec import Field, OutputSpec, output_spec

__all__ = [
    "AnswerBounds",
    "Field",
    "OutputSpec",
    "ParsedAnswers",
    "answer_bounds",
    "output_spec",
    "parse_answers",
]
