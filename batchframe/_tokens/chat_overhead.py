"""What the service adds around the texts of a chat, in tokens.

In: a model's name, and the few constant texts around a prompt. Out: a number of tokens. These are
facts about the service, each with its source; nothing here knows a request's shape.

The sources: "How to count tokens" of the OpenAI Cookbook, and requests recorded with the number of
tokens that the API counted (the test cassettes of pydantic-ai, openllmetry and openai-python).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from batchframe._models.names import base_model, is_reasoning

if TYPE_CHECKING:
    from batchframe._tokens.counter import TokenCounter

# OpenAI Cookbook, "How to count tokens": tokens_per_message and tokens_per_name.
MESSAGE_TOKENS: Final = 3
NAME_TOKENS: Final = 1

# Recorded: o1-mini and the search models do not follow the rule of their family, and nothing is
# recorded of the audio models, the chat aliases and the old snapshot with four tokens a message.
_CONFIRMED = re.compile(
    r"(gpt-3\.5-turbo|gpt-4|gpt-4o|gpt-4\.1|gpt-4\.5|gpt-5|o1|o3|o4)(?![a-z0-9])"
)
_EXCEPTION = re.compile(r"^o1-(mini|preview)|-(search|audio|realtime|vision|chat|0301)(-|$)")


def overhead_is_known(model: str) -> bool:
    """Say whether the rules of this module are confirmed for a model's family.

    Examples
    --------
    >>> [overhead_is_known(m) for m in ("gpt-5.6-luna", "gpt-4o-search-preview", "gpt-oss-20b")]
    [True, False, False]
    """
    name = base_model(model)
    return _CONFIRMED.match(name) is not None and _EXCEPTION.search(name) is None


def priming_tokens(model: str) -> int:
    """Give the tokens that open the reply of a model, once a request.

    Three (OpenAI Cookbook), but two for models that reason (recorded for o3-mini, o3, gpt-5,
    gpt-5.2, gpt-5.5 and gpt-5.6).

    Examples
    --------
    >>> priming_tokens("gpt-4o-mini"), priming_tokens("gpt-5.6-luna")
    (3, 2)
    """
    return 2 if is_reasoning(model) else 3


def message_tokens(counter: TokenCounter, role: str, name: str | None = None) -> int:
    """Give the tokens around the content of one message: three, its role, and its name if any.

    Examples
    --------
    >>> from batchframe._tokens.counter import token_counter
    >>> message_tokens(token_counter("gpt-4o"), "user")
    4
    """
    around = MESSAGE_TOKENS + counter.count_one(role)
    return around if name is None else around + NAME_TOKENS + counter.count_one(name)


def schema_tokens(
    counter: TokenCounter,
    name: str,
    schema: Mapping[str, Any],
    *,
    has_system: bool,
    description: str | None = None,
) -> int:
    """Give the tokens that a JSON schema adds to a request.

    The schema as compact JSON, and twice its name, less two; ``additionalProperties`` of the whole
    is not counted. Four more where nothing carries it: no system or developer message, nor what
    the service makes of tools (recorded for gpt-4o). Of nine recorded requests the API counted from
    three fewer to two more, so the number is never exact.

    Parameters
    ----------
    counter
        Counts in the model's encoding.
    name
        The schema's name.
    schema
        The schema, its keys in the order they are sent.
    has_system
        Whether the request has a system or developer message, ``instructions``, or tools.
    description
        The schema's description, if it has one: shown above it, as a comment.

    Examples
    --------
    >>> from batchframe._tokens.counter import token_counter
    >>> schema_tokens(token_counter("gpt-4o"), "label", {"type": "object"}, has_system=True)
    5
    """
    carrier = 0 if has_system else 4
    comment = f"// {description}\n" if description else ""
    shown = {key: value for key, value in schema.items() if key != "additionalProperties"}
    texts = counter.count([msgspec.json.encode(shown).decode(), name, comment])
    return max(0, int(texts[0]) + 2 * int(texts[1]) - 2 + int(texts[2]) + carrier)
