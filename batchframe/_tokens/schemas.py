r"""Tokens of an output schema, as the service writes it into the request.

Recorded requests agree with the layout "# Response Formats" that OpenAI published in 2025 with its
open models (openai/harmony), but with the schema as JSON, without the keywords that only the
decoder needs.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from typing import Any, Final

from batchframe._tokens.framing import framing

# Their keys are names, not keywords.
_NAMES: Final = frozenset({"properties", "$defs", "definitions", "patternProperties"})


def schema_block(spec: Mapping[str, Any], *, with_unrecorded: bool = False) -> str:
    r"""Return the text that a schema adds to a request.

    Parameters
    ----------
    spec
        The schema, its name and its optional description.
    with_unrecorded
        Whether to keep the keywords that no recorded request had.

    Examples
    --------
    >>> schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}
    >>> print(schema_block({"name": "label", "schema": schema}))
    # Response Formats
    <BLANKLINE>
    ## label
    <BLANKLINE>
    {"type":"object","properties":{"a":{"type":"string"}}}
    """
    keywords = framing().schema
    unbilled = keywords.unbilled if with_unrecorded else keywords.unbilled | keywords.unrecorded
    comment = f"// {spec['description']}\n" if spec.get("description") else ""
    # The service escapes other characters than ASCII.
    text = json.dumps(_billed(spec.get("schema") or {}, unbilled), separators=(",", ":"))
    return f"# Response Formats\n\n## {spec.get('name', '')}\n\n{comment}{text}"


def _billed(node: Any, unbilled: Container[str], *, names: bool = False) -> Any:
    """Remove the keywords that take no tokens, at every depth."""
    if isinstance(node, list):
        return [_billed(item, unbilled) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _billed(value, unbilled, names=not names and key in _NAMES)
        for key, value in node.items()
        if names or key not in unbilled
    }
