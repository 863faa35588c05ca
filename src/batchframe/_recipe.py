"""Everything that makes a request out of a row, except the rows.

In: what the user wrote. Out: a frozen :class:`Recipe` that survives a job's manifest.
Must not know: the frame's values, files, the network.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from batchframe._output import OutputSpec
from batchframe.errors import RequestError, TemplateError

Message = Mapping[str, Any]
Prompt = str | Sequence[Message] | Callable[[Mapping[Any, Any]], "str | Sequence[Message] | None"]

OWN_WORDS: Final = (
    "prompt", "model", "system", "output", "endpoint", "name", "on_missing", "dedupe",
)  # fmt: skip
_PLANNED: Final = {"images", "image_root"}
_REFUSED: Final = {
    "stream": "a batch cannot stream: leave stream= out",
    "n": "n= asks for several answers to one row: repeat the rows instead, with dedupe=False",
    "messages": "the prompt makes the messages: pass a list of messages as the prompt",
    "input": "the prompt makes the input: pass it as the prompt",
    "response_format": "output= makes the response_format: pass the schema or the class as output=",
    "service_tier": "a batch is a tier of its own: leave service_tier= out",
}


@dataclass(frozen=True)
class Recipe:
    """What turns a row into a request, and its answer into columns.

    Attributes
    ----------
    prompt
        A template's source, or chat messages whose contents are templates; None if a function of
        the row made the prompts (a function cannot be kept, only what it returned).
    on_missing
        "raise", "skip", "empty", or the text that stands for a missing cell.
    body
        Further parameters of each request body, as JSON.
    columns
        For a prompt function: the text of the column labels that it could see.
    """

    endpoint: str
    model: str
    prompt: str | tuple[Message, ...] | None
    system: str | None
    output: OutputSpec
    on_missing: str
    dedupe: bool
    body: Mapping[str, Any]
    columns: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as plain JSON, for the manifest."""
        return {
            "endpoint": self.endpoint,
            "model": self.model,
            "prompt": self.prompt,
            "system": self.system,
            "output": self.output.to_json(),
            "on_missing": self.on_missing,
            "dedupe": self.dedupe,
            "body": dict(self.body),
            "columns": list(self.columns),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Recipe:
        """Return the recipe that :meth:`to_json` wrote."""
        prompt = stored["prompt"]
        return cls(
            endpoint=stored["endpoint"],
            model=stored["model"],
            prompt=tuple(prompt) if isinstance(prompt, list) else prompt,
            system=stored["system"],
            output=OutputSpec.from_json(stored["output"]),
            on_missing=stored["on_missing"],
            dedupe=stored["dedupe"],
            body=stored["body"],
            columns=tuple(stored["columns"]),
        )

    def difference(self, other: Recipe) -> list[str]:
        """Name the ingredients in which two recipes differ."""
        mine, theirs = self.to_json(), other.to_json()
        return [key for key in mine if mine[key] != theirs[key]]


def checked_prompt(prompt: object) -> str | tuple[Message, ...] | None:
    """Return the prompt in its kept form, or raise ``TemplateError``; None for a function."""
    if isinstance(prompt, str):
        return prompt
    if callable(prompt):
        return None
    if isinstance(prompt, Sequence) and prompt and all(map(_is_message, prompt)):
        return tuple(dict(message) for message in prompt)
    raise TemplateError.not_a_prompt(prompt)


def _is_message(message: object) -> bool:
    return (
        isinstance(message, Mapping)
        and isinstance(message.get("role"), str)
        and isinstance(message.get("content"), str | list)
    )


def checked_body(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of the request body, sorted by name, as plain JSON values.

    Sorted, so that the order of the keywords in a cell does not make another request of it.

    Raises
    ------
    RequestError
        For a parameter that a batch cannot have, that is one of ours misspelt, or that JSON cannot
        say.
    """
    for name in parameters:
        if name in _PLANNED:
            raise RequestError.images_not_supported(name)
        if name in _REFUSED:
            raise RequestError.refused_parameter(name, _REFUSED[name])
        if near := difflib.get_close_matches(name, OWN_WORDS, n=1, cutoff=0.75):
            raise RequestError.misspelt_keyword(name, near[0])
    return {name: _plain(parameters[name], name) for name in sorted(parameters)}


def _plain(value: Any, path: str) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise RequestError.not_json(path, repr(value))
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}[{i}]") for i, item in enumerate(value)]
    raise RequestError.not_json(path, f"a {type(value).__name__}")
