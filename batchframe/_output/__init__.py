"""What ``output=`` asks for: a strict JSON schema to send, and typed columns from the answers.

:mod:`.spec` turns what the user wrote into a frozen :class:`OutputSpec`, with the help of
:mod:`.strict` (the schema as strict mode wants it) and :mod:`.limits` (what the service takes).
:mod:`.schema` reads a strict schema as columns, :mod:`.columns` fills them from answer texts, and
:mod:`.token_bounds` bounds the tokens of an answer, for the price.
"""

from __future__ import annotations

from batchframe._output.columns import ParsedAnswers, parse_answers
from batchframe._output.spec import Field, OutputSpec, output_spec
from batchframe._output.token_bounds import AnswerBounds, answer_bounds

__all__ = [
    "AnswerBounds",
    "Field",
    "OutputSpec",
    "ParsedAnswers",
    "answer_bounds",
    "output_spec",
    "parse_answers",
]
