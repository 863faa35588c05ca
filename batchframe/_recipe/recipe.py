"""The recipe: everything that makes a request out of a row, except the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from batchframe._base.errors import RequestError
from batchframe._frames.image_options import ImageInput
from batchframe._models.rules import check_endpoint, check_parameters
from batchframe._output import OutputSpec
from batchframe._recipe.arguments import (
    Message,
    checked_allow,
    checked_body,
    checked_model,
    checked_on_missing,
    checked_prompt,
    checked_system,
)

UNKNOWN_COLUMNS: Final = ("bf_unknown",)
"""Stands where only the request is left, and nobody knows which columns its prompt saw."""


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
    allow
        What is sent although a check refuses it: names of parameters, "model", "context_window".
    images
        The columns of images, and how they are sent; None without images.
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
    allow: tuple[str, ...] = ()
    images: ImageInput | None = None

    @classmethod
    def checked(
        cls,
        *,
        endpoint: str,
        model: object,
        prompt: object,
        system: object,
        output: OutputSpec,
        on_missing: object,
        dedupe: bool,
        body: Mapping[str, Any],
        allow: Sequence[str] = (),
        images: ImageInput | None = None,
    ) -> Recipe:
        """Make a recipe of what a user wrote, in its kept form.

        Raises
        ------
        TemplateError, RequestError
            For a word that cannot be used, naming it.

        Warns
        -----
        ParameterWarning
            For a parameter that OpenAI does not know.
        """
        asked = checked_model(model)
        allowed = checked_allow(allow, body)
        parameters = checked_body(body, endpoint, allowed, text=output.schema is None)
        check_endpoint(asked, endpoint, allowed)
        check_parameters(asked, endpoint, parameters, allowed)
        kept = checked_prompt(prompt)
        if images is not None and kept is None:
            raise RequestError(
                "images= goes with a template or messages, and here a function makes the prompts. "
                "Let it return messages whose content holds image_url parts, or write the prompt "
                "as a template."
            )
        return cls(
            endpoint=endpoint,
            model=asked,
            prompt=kept,
            system=checked_system(system),
            output=output,
            on_missing=checked_on_missing(on_missing),
            dedupe=bool(dedupe),
            body=parameters,
            allow=allowed,
            images=images,
        )

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
            "allow": list(self.allow),
            "images": None if self.images is None else list(self.images.columns),
            "image_root": self.images and self.images.root,
            "image_detail": self.images and self.images.detail,
            "image_max_size": self.images and self.images.max_size,
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
            allow=tuple(stored.get("allow", ())),
            images=_stored_images(stored),
        )

    def difference(self, other: Recipe) -> list[str]:
        """Name the keywords in which two recipes differ."""
        mine, theirs = ({**told.pop("body"), **told} for told in (self.to_json(), other.to_json()))
        return [key for key in {**mine, **theirs} if mine.get(key) != theirs.get(key)]


def _stored_images(stored: Mapping[str, Any]) -> ImageInput | None:
    if not stored.get("images"):
        return None
    rest = (stored[key] for key in ("image_root", "image_detail", "image_max_size"))
    return ImageInput(tuple(stored["images"]), *rest)
