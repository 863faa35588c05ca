"""Hosted tools, which charge a fee per call without an upper bound."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from batchframe._base.lenient_json import as_mapping
from batchframe._models.price_table import tool_fee

_RUN_BY_THE_CALLER: Final = frozenset(
    {
        "function", "custom", "namespace", "local_shell", "apply_patch", "computer",
        "computer_use_preview",
    }
)  # fmt: skip

_SEARCHES: Final = re.compile(r"-search-(preview|api)(?![a-z])")


def hosted_tools(body: Mapping[str, Any], model: str = "") -> list[str]:
    """Return the names of a request's hosted tools.

    Examples
    --------
    >>> hosted_tools({"tools": [{"type": "web_search"}, {"type": "function", "name": "look"}]})
    ['web_search']
    >>> hosted_tools({"web_search_options": {}})
    ['web_search']
    >>> hosted_tools({}, "gpt-4o-search-preview")
    ['web_search_preview']
    """
    tools = body.get("tools") if body.get("tool_choice") != "none" else None
    objects = map(as_mapping, tools) if isinstance(tools, list) else ()
    kinds = [str(tool.get("type", "function")) for tool in objects]
    # Chat completions have this parameter in place of a tool.
    kinds += ["web_search"] * (body.get("web_search_options") is not None)
    # These models search the web without a tool.
    kinds += ["web_search_preview"] * (_SEARCHES.search(model) is not None)
    return list(dict.fromkeys(kind for kind in kinds if kind not in _RUN_BY_THE_CALLER))


def hosted_notes(body: Mapping[str, Any], model: str = "") -> list[str]:
    """Return notes on the unbounded cost of hosted tools."""
    names = hosted_tools(body, model)
    if not names:
        return []
    fees = ", ".join(f"{name}: {tool_fee(name) or 'unknown'}" for name in names)
    note = (
        f"Hosted tools are billed per call ({fees}), and their results as input tokens. The "
        "number of calls is unknown, so the estimate excludes them and has no upper bound."
    )
    return [note]
