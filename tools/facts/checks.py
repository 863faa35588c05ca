"""Differences between batchframe's tables and the newest packages."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final

from batchframe._models.rules import context_window, is_known, not_in_batch
from tools.facts.wheels import Wheel, literal_values, shutdown_dates, typed_dict_keys

RULES: Final = files("batchframe._models") / "rules.toml"
NEAR: Final = timedelta(days=30)
_CHAT_MODEL: Final = "openai/types/shared/chat_model.py"
# The typed dicts of the bodies and of the calls whose names the rules list.
_BODIES: Final = {
    "/v1/chat/completions": ("chat/completion_create_params", "CompletionCreateParams"),
    "/v1/responses": ("responses/response_create_params", "ResponseCreateParams"),
    "/v1/embeddings": ("embedding_create_params", "EmbeddingCreateParams"),
    "/v1/images/generations": ("image_generate_params", "ImageGenerateParams"),
    "/v1/images/edits": ("image_edit_params", "ImageEditParams"),
    "batches.create": ("batch_create_params", "BatchCreateParams"),
    "files.create": ("file_create_params", "FileCreateParams"),
}
# Keywords of df.bf.requests(), which are not body parameters there.
_OWN_KEYWORDS: Final = {"model", "messages", "n"}


@dataclass(frozen=True)
class Finding:
    """A difference between a table and a package.

    Attributes
    ----------
    key
        Identifies the finding on later runs.
    ages
        Whether the tables must change; otherwise it is for information only.
    """

    key: str
    text: str
    ages: bool = True


def load_rules(path: Traversable = RULES) -> Mapping[str, Any]:
    """Read the table of the rules."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def missing_rules(models: Sequence[str], openai: Wheel) -> Iterator[Finding]:
    """Yield the chat models of the package that no rule covers."""
    for model in models:
        if not is_known(model):
            text = f"{model}: a chat model of openai {openai.version} that no rule covers"
            yield Finding(f"rule {model}", text)
        elif context_window(model) is None:
            text = f"{model}: no context window in rules.toml"
            yield Finding(f"context window {model}", text)


def batch_models(openai: Wheel, rules: Mapping[str, Any], on: date) -> list[str]:
    """Return the chat models of the package available in batches on a day."""
    gone = {name for row in rules["shutdown"] if row["on"] <= on for name in row["models"]}
    gone |= set(rules["not_a_model"]["models"])
    models = literal_values(openai.text(_CHAT_MODEL) or "", "ChatModel")
    return [model for model in models if model not in gone and not not_in_batch(model)]


def parameter_changes(openai: Wheel, rules: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield parameters that only the package or only the rules have."""
    for call, (module, prefix) in _BODIES.items():
        source = openai.text(f"openai/types/{module}.py")
        if source is None:
            yield Finding(f"types {call}", f"{call}: openai {openai.version} has no {module}.py")
            continue
        table = {**rules["known_parameters"], **rules["known_arguments"]}[call]
        ours = set(table["names"]) - _OWN_KEYWORDS
        theirs = typed_dict_keys(source, prefix) - _OWN_KEYWORDS
        for name in sorted(theirs - ours - set(table.get("only_in_types", ()))):
            text = f"{call}: openai {openai.version} has {name}, which rules.toml does not list"
            yield Finding(f"new {call} {name}", text)
        for name in sorted(ours - theirs - set(table.get("not_in_types", ()))):
            text = f"{call}: rules.toml lists {name}, which openai {openai.version} does not have"
            yield Finding(f"gone {call} {name}", text)


def shutdown_changes(openai: Wheel, rules: Mapping[str, Any], on: date) -> Iterator[Finding]:
    """Yield shutdown dates that differ, are near, or have newly passed."""
    ours = {name: row for row in rules["shutdown"] for name in row["models"]}
    for model, day in shutdown_dates(openai.text(_CHAT_MODEL) or ""):
        row = ours.get(model)
        if row is None and not not_in_batch(model):
            text = f"{model}: ends on {day} by openai {openai.version}; not in rules.toml"
            yield Finding(f"shutdown {model}", text)
        elif row is not None and row["on"] != day:
            text = f"{model}: ends on {day} by openai {openai.version}, on {row['on']} in ours"
            yield Finding(f"shutdown {model}", text)
    for row in rules["shutdown"]:
        names = ", ".join(row["models"])
        if row["as_of"] < row["on"] <= on:
            text = f"{names}: ended on {row['on']}, last checked on {row['as_of']}"
            yield Finding(f"passed {names}", text)
        elif on < row["on"] <= on + NEAR:
            yield Finding(f"near {names}", f"{names}: ends on {row['on']}", ages=False)
