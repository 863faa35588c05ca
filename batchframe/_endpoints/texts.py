"""Prompts of one text each: what embeddings, completions and moderations have in common.

Must not know: how an endpoint answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from batchframe._base.errors import RequestError, TemplateError
from batchframe._base.ranges import Range
from batchframe._endpoints.endpoint import Brings
from batchframe._endpoints.prompts import Prompt, prompts_of
from batchframe._output import output_spec
from batchframe._recipe.recipe import UNKNOWN_COLUMNS, Recipe
from batchframe._recipe.slots import PROMPT, JsonColumn
from batchframe._recipe.template import parse


def text_leaf(recipe: Recipe) -> Any:
    """Return the leaf of the body that renders the prompt."""
    return parse(recipe.prompt) if isinstance(recipe.prompt, str) else JsonColumn(PROMPT)


class TextPrompts:
    """What an endpoint answers in the same way as all whose prompt is one text."""

    brings: Brings = "words"

    def check(self, recipe: Recipe) -> None:
        """Refuse messages, images, and instructions beside the text.

        Raises
        ------
        TemplateError, RequestError
            For a prompt of messages; for ``images=`` and ``system=``.
        """
        if recipe.images is not None:
            raise RequestError(
                f"{recipe.endpoint} takes one text and no images. images= goes with "
                'endpoint="/v1/chat/completions", "/v1/responses", "/v1/images/edits" and '
                '"/v1/videos".'
            )
        refuse_all_but_text(recipe)

    def prompts_of(
        self, recipe: Recipe, function: Callable[[Mapping[Any, Any]], Any]
    ) -> Callable[[Mapping[Any, Any]], Any]:
        """Wrap a prompt function so that it returns a text, or None."""

        def only_a_text(prompt: Prompt) -> str:
            if not isinstance(prompt, str):
                raise _messages_for_text_error(recipe.endpoint)
            return prompt

        return prompts_of(function, only_a_text)

    def output_tokens(self, body: Mapping[str, Any]) -> Range[int] | None:  # noqa: ARG002 - of the protocol
        """Return None: how much is written depends on the answer."""
        return None

    def may_reason(self, body: Mapping[str, Any]) -> bool:  # noqa: ARG002 - of the protocol
        """Return False: none of their models reasons."""
        return False


def refuse_all_but_text(recipe: Recipe) -> None:
    """Refuse messages and instructions beside the text."""
    if recipe.system is not None:
        raise RequestError(
            f"{recipe.endpoint} takes one text and no system message. Leave system= out, or write "
            "it into the prompt."
        )
    if isinstance(recipe.prompt, tuple):
        raise _messages_for_text_error(recipe.endpoint)


def recipe_of(path: str, body: Mapping[str, Any], prompt: str, name: str | None) -> Recipe:
    """Return what a request body tells of its recipe, where the prompt stands at one key."""
    return Recipe(
        endpoint=path,
        model=str(body["model"]),
        prompt=None,
        system=None,
        output=output_spec(None, name),
        on_missing="raise",
        dedupe=True,
        body={key: body[key] for key in body.keys() - {"model", prompt}},
        columns=UNKNOWN_COLUMNS,
    )


def refuse_output(path: str, output: object, answers: str) -> None:
    """Refuse ``output=`` where the endpoint decides what an answer is.

    Parameters
    ----------
    answers
        What they are, in words.

    Raises
    ------
    RequestError
        If it is not None.
    """
    if output is not None:
        raise RequestError(f"{path} cannot be told what to answer: leave output= out; {answers}.")


def _messages_for_text_error(endpoint: str) -> TemplateError:
    return TemplateError(
        f"The prompt is a list of messages, and {endpoint} takes one text: a template such as "
        '"{{ text }}", or a function of a row that returns a text.'
    )
