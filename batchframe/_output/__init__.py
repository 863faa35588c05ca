"""Output specs: strict JSON schemas to send, and typed columns of answers.

:mod:`.spec` converts ``output=`` to a frozen :class:`OutputSpec`, using :mod:`.strict` (the rules
of strict mode) and :mod:`.limits` (the service's size limits). :mod:`.schema` maps a strict schema
to columns, :mod:`.columns` parses answers into them, and :mod:`.token_bounds` bounds the tokens of
an answer, to estimate its price.
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
