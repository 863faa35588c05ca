"""Model names, normalized across requests and results."""

from __future__ import annotations

import re

# The gpt-5 chat models do not reason; codex-mini is based on o4-mini.
_REASONING = re.compile(r"(o[134]|gpt-[56]|codex)(?![a-z0-9])")
# Reasoning models of other makers, by their model cards (2026-11).
_OTHER_REASONING = re.compile(
    r"(deepseek-r\d|gpt-oss|qwq|magistral)(?![a-z])|.*-(thinking|reasoner|reasoning)(?![a-z])"
)
_CHAT_ALIAS = re.compile(r"-chat(-latest)?$")


def base_model(model: str) -> str:
    """Return OpenAI's base name of a model.

    A path prefix (``openai/gpt-4o``), the parts of a fine-tune
    (``ft:gpt-4o-mini-2024-07-18:acme::id``) and Azure's ``gpt-35`` are normalized; the date of a
    snapshot is preserved.

    Examples
    --------
    >>> base_model("ft:gpt-4o-mini-2024-07-18:acme::8pGL1")
    'gpt-4o-mini-2024-07-18'
    >>> base_model("gpt-35-turbo")
    'gpt-3.5-turbo'
    """
    name = model.strip().lower()
    if name.startswith("ft:"):
        name = name.split(":")[1]
    return name.rsplit("/", 1)[-1].replace("gpt-35", "gpt-3.5")


def listed_name(model: str) -> str:
    """Return the name of a model in price books, without a fine-tune's owner.

    Examples
    --------
    >>> listed_name("ft:gpt-4o-mini-2024-07-18:acme::8pGL1"), listed_name("GPT-4.1")
    ('ft:gpt-4o-mini-2024-07-18', 'gpt-4.1')
    """
    name = model.lower()
    return ":".join(name.split(":")[:2]) if name.startswith("ft:") else name


def is_reasoning(model: str) -> bool:
    """Return whether a model is a reasoning model.

    True for o1, o3, o4, codex and the generations gpt-5 and gpt-6, except their ``chat`` aliases
    (OpenAI model pages, 2026-11).

    Examples
    --------
    >>> [is_reasoning(m) for m in ("gpt-5.6-luna", "o3-mini", "gpt-4.1", "gpt-5-chat-latest")]
    [True, True, False, False]
    """
    name = base_model(model)
    return _REASONING.match(name) is not None and _CHAT_ALIAS.search(name) is None


def reasons_elsewhere(model: str) -> bool:
    """Return whether a model outside OpenAI's API is known to reason.

    Examples
    --------
    >>> [reasons_elsewhere(m) for m in ("deepseek-r1", "openai/gpt-oss-120b", "llama-4-scout")]
    [True, True, False]
    """
    return _OTHER_REASONING.match(base_model(model)) is not None
