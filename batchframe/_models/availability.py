"""Availability of models: shutdowns, batch support and misspelled names."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from batchframe._base.errors import RequestError, allow_hint, format_list
from batchframe._models.names import base_model
from batchframe._models.rules import MODEL, citation, is_known, load_rules, not_in_batch
from batchframe._services.connect import expected_profile
from batchframe._services.provider import OPENAI

ListedModels = Callable[[], Mapping[str, date | None]]
"""Asks the service for its models and their shutdown dates; empty if it does not say."""
_LETTERS: Final = re.compile(r"[a-z]+")
_SHORTEST: Final = 3
"""Minimum length of a misspelled word; a shorter one may be another word."""


@dataclass(frozen=True)
class Shutdown:
    """The shutdown date of a model, and its recommended successor."""

    on: date
    successor: str | None
    source: str


def check_spelling(model: str, allow: Collection[str]) -> None:
    """Raise for a name that differs from a model of OpenAI's by one letter.

    A name with other digits, another date or another suffix may be a newer model.

    Raises
    ------
    RequestError
        The message has the names that may be meant.

    Examples
    --------
    >>> check_spelling("gpt-5.6-luna", ())
    >>> check_spelling("gpt-5.7-luna", ())
    >>> check_spelling("gpt-5.6-lunna", ())
    Traceback (most recent call last):
        ...
    batchframe.errors.RequestError: model: not one of OpenAI's ('gpt-5.6-lunna'). Did you mean ...
    """
    name, names = model.strip().lower(), load_rules()["names"]["models"]
    if MODEL in allow or name in names:
        return
    if near := [other for other in names if _is_typo(name, other)]:
        raise RequestError(
            f"model: not one of OpenAI's ({model!r}). Did you mean {format_list(near[:3])}?",
            next_step=allow_hint("model"),
        )


def are_openais() -> bool:
    """Return whether models are OpenAI's, as far as the environment tells.

    The names of deployments on Azure, and of other services, are their owners'.
    """
    return "AZURE_OPENAI_ENDPOINT" not in os.environ and expected_profile().key == OPENAI.key


def _is_typo(name: str, other: str) -> bool:
    """Return whether two names differ by a single letter of a word."""
    if _LETTERS.sub("a", name) != _LETTERS.sub("a", other):
        return False
    pairs = zip(_LETTERS.findall(name), _LETTERS.findall(other), strict=True)
    differing = [pair for pair in pairs if pair[0] != pair[1]]
    return len(differing) == 1 and _differ_by_a_letter(*differing[0])


def _differ_by_a_letter(word: str, other: str) -> bool:
    """Return whether one letter is missing, added, wrong or out of place."""
    if min(len(word), len(other)) < _SHORTEST:
        return False
    return not _without_a_letter(word).isdisjoint(_without_a_letter(other))


def _without_a_letter(word: str) -> set[str]:
    return {word, *(word[:i] + word[i + 1 :] for i in range(len(word)))}


def check_model(model: str, on: date, listed: ListedModels = dict) -> None:
    """Raise for a model that OpenAI's Batch API rejects.

    Parameters
    ----------
    listed
        Called only if the table lists the model as shut down; the service's answer takes
        precedence.

    Raises
    ------
    RequestError
        If it is shut down, or not available in the Batch API.
    """
    if not is_known(model):
        return
    end = shutdown(model)
    if end is not None and end.on <= on and not _is_listed(model, on, listed()):
        instead = f'model="{end.successor}", its successor' if end.successor else "another model"
        raise RequestError(
            f"model: OpenAI shut {model} down on {end.on} ({end.source}). Fix: {instead}.",
            next_step=allow_hint("model"),
        )
    if not_in_batch(model):
        raise RequestError(
            f"model: {model} is not available in OpenAI's Batch API "
            f"({citation(load_rules()['not_in_batch'])}). Fix: use another model, "
            'such as model="gpt-6-luna".',
            next_step=allow_hint("model"),
        )


def _is_listed(model: str, on: date, listed: Mapping[str, date | None]) -> bool:
    last_day = listed.get(base_model(model), date.min)
    return last_day is None or last_day > on


def lifetime_notes(model: str, on: date) -> tuple[str, ...]:
    """Return notes on a model's shutdown or absence from the Batch API.

    Examples
    --------
    >>> print(*lifetime_notes("gpt-4.1-nano", date(2026, 11, 21)))
    OpenAI shut gpt-4.1-nano down on 2026-10-23 and recommends gpt-5.6-luna instead.
    >>> lifetime_notes("gpt-5.6-luna", date(2026, 11, 21))
    ()
    """
    end = shutdown(model)
    notes = []
    if end is not None:
        verb = "shut" if end.on <= on else "will shut"
        instead = f" and recommends {end.successor} instead" if end.successor else ""
        notes.append(f"OpenAI {verb} {model} down on {end.on}{instead}.")
    if is_known(model) and not_in_batch(model):
        notes.append(f"{model} is not available in OpenAI's Batch API.")
    return tuple(notes)


def shutdown(model: str) -> Shutdown | None:
    """Return the announced shutdown of a model, or None.

    Examples
    --------
    >>> shutdown("gpt-5-mini").on.isoformat(), shutdown("gpt-5-mini").successor
    ('2026-12-11', 'gpt-6.1-terra')
    """
    if not is_known(model):
        return None
    rows = (row for row in load_rules()["shutdown"] if base_model(model) in row["models"])
    row = next(rows, None)
    return None if row is None else Shutdown(row["on"], row.get("successor"), row["source"])
