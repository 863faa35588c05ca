"""Prompts, since endpoints share two kinds of them: one text, or a text or a list of messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import pyarrow as pa

from batchframe._base.errors import RequestError, TemplateError
from batchframe._base.safe_text import OUTPUT
from batchframe._endpoints.endpoint import Endpoint, PromptFunction, recovered_recipe
from batchframe._endpoints.tools import check_tools, fields_with_tools, read_with_tools
from batchframe._frames.image_columns import image_column
from batchframe._frames.image_options import ImageInput
from batchframe._output import Field, OutputSpec, ParsedAnswers, output_spec
from batchframe._recipe.arguments import Message, checked_prompt
from batchframe._recipe.recipe import Recipe
from batchframe._recipe.slots import PROMPT, JsonColumn, MoreItems
from batchframe._recipe.template import parse

Prompt: TypeAlias = str | Sequence[Message]


class MessagesEndpoint(Endpoint):
    """An endpoint whose prompt is a text or messages, and whose answers may call tools.

    Attributes
    ----------
    tool_key
        The key that a function tool has beside its type: "function" or "name".
    """

    tool_key: str

    def check(self, recipe: Recipe) -> None:
        """Refuse tools in the form of another endpoint."""
        check_tools(recipe, self.tool_key)

    def fields(self, recipe: Recipe) -> tuple[Field, ...]:
        """Return the columns of the output spec, and those of tool calls."""
        return fields_with_tools(recipe)

    def read(self, recipe: Recipe, answers: pa.Table, good: pa.ChunkedArray) -> ParsedAnswers:
        """Read the texts and tool calls of the good answers."""
        return read_with_tools(recipe, answers, good)


class TextEndpoint(Endpoint):
    """An endpoint whose prompt is one text, and which decides what an answer is.

    Attributes
    ----------
    prompt_key
        Where the prompt stands in a body.
    answer_name
        What the answer column is called unless ``name=`` says otherwise.
    answers_are
        What an answer is, for those who pass ``output=``.
    """

    prompt_key: str
    answer_name: str | None = None
    answers_are: str

    def output_spec(self, output: object, name: str | None) -> OutputSpec:
        """Refuse ``output=``, and name the answer column."""
        if output is not None:
            raise RequestError(
                f"{self.path} cannot be told what to answer: leave "
                + OUTPUT
                + f" out; {self.answers_are}."
            )
        return output_spec(None, self.answer_name if name is None else name)

    def check(self, recipe: Recipe) -> None:
        """Refuse messages, images, and instructions beside the text."""
        if recipe.images is not None:
            raise RequestError(
                f"{recipe.endpoint} takes one text and no images. images= goes with "
                'endpoint="/v1/chat/completions", "/v1/responses" and "/v1/images/edits".'
            )
        refuse_all_but_text(recipe)

    def body(self, recipe: Recipe) -> dict[str, Any]:
        """Return the model, the prompt and the parameters."""
        return {"model": recipe.model, self.prompt_key: text_leaf(recipe), **recipe.body}

    def recipe_of(self, body: Mapping[str, Any]) -> Recipe:
        """Return the recipe of a request body, without its prompt."""
        output = output_spec(None, self.answer_name)
        return recovered_recipe(self.path, body, output, {self.prompt_key})

    def prompts_of(self, recipe: Recipe, function: PromptFunction) -> PromptFunction:
        """Wrap a prompt function so that it returns a text, or None."""

        def only_a_text(prompt: Prompt) -> str:
            if not isinstance(prompt, str):
                raise _messages_for_text_error(recipe.endpoint)
            return prompt

        return prompts_of(function, only_a_text)

    def prompt_text(self, body: Mapping[str, Any]) -> str:
        """Return the text."""
        return str(body[self.prompt_key])


def text_leaf(recipe: Recipe) -> Any:
    """Return the leaf of the body that renders the prompt."""
    return parse(recipe.prompt) if isinstance(recipe.prompt, str) else JsonColumn(PROMPT)


def refuse_all_but_text(recipe: Recipe) -> None:
    """Refuse messages and instructions beside the text."""
    if recipe.system is not None:
        raise RequestError(
            f"{recipe.endpoint} takes one text and no system message. Leave system= out, or write "
            "it into the prompt."
        )
    if isinstance(recipe.prompt, tuple):
        raise _messages_for_text_error(recipe.endpoint)


def _messages_for_text_error(endpoint: str) -> TemplateError:
    return TemplateError(
        f"The prompt is a list of messages, and {endpoint} takes one text: a template such as "
        '"{{ text }}", or a function of a row that returns a text.'
    )


def prompts_of(function: PromptFunction, finished: Callable[[Prompt], Any]) -> PromptFunction:
    """Wrap a prompt function: what it returns is checked, and finished for the body."""

    def prompt_of(row: Mapping[Any, Any]) -> Any:
        prompt = function(row)
        if prompt is None:
            return None
        checked = checked_prompt(prompt)
        if checked is None:
            raise TemplateError.not_a_prompt(prompt)
        return finished(checked)

    return prompt_of


def with_templates(prompt: Prompt) -> Any:
    """Parse every text of a prompt as a template: those of messages, and of their parts, too."""
    if isinstance(prompt, str):
        return parse(prompt)
    return [{**message, "content": _content(message["content"])} for message in prompt]


def _content(content: Any) -> Any:
    if isinstance(content, str):
        return parse(content)
    if isinstance(content, Mapping):
        return {key: _content(value) for key, value in content.items()}
    return [_content(part) for part in content] if isinstance(content, list) else content


def with_images(
    messages: Sequence[Message], images: ImageInput, text: str, before: str, after: str
) -> list[Message]:
    """Put the images of a row behind the content of the last user message.

    Parameters
    ----------
    text
        The type of a part that is a text.
    before, after
        The JSON of an image part around its URL.

    Raises
    ------
    TemplateError
        If no message of the user has a content.
    """
    has_content = [bool(one["content"]) and one["role"] == "user" for one in messages]
    if True not in has_content:
        raise TemplateError(
            "images= goes behind the text of the last message of the user, and the prompt has no "
            'message with role="user" and a content. Add one: {"role": "user", "content": '
            '"Describe the picture."}.'
        )
    last = len(has_content) - 1 - has_content[::-1].index(True)
    content = messages[last]["content"]
    parts = content if isinstance(content, list) else [{"type": text, "text": content}]
    items = MoreItems(image_columns(images), before, after)
    return [*messages[:last], {**messages[last], "content": [*parts, items]}, *messages[last + 1 :]]


def image_columns(images: ImageInput) -> tuple[str, ...]:
    """Return the columns that the images of a row are read into."""
    return tuple(image_column(position) for position in range(len(images.columns)))


def detail_json(images: ImageInput, default: str | None = None) -> str:
    """Write the ``detail`` of an image part, with its comma; nothing where nobody gives one."""
    detail = images.detail or default
    return "" if detail is None else f',"detail":"{detail}"'


def contents(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return the contents of messages, for a person to read."""
    return "\n\n".join(_as_text(message.get("content", message)) for message in messages)


def _as_text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(map(_part_text, content))
    return content if isinstance(content, str) else repr(content)


def _part_text(part: Mapping[str, Any]) -> str:
    if isinstance(part.get("text"), str):
        return str(part["text"])
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, Mapping) else image
    if not isinstance(url, str):
        return repr(part)
    kind, comma, payload = url.partition(";base64,")
    return f"[{kind[5:]}, {len(payload) * 3 // 4:,} bytes]" if comma else f"[{url[:200]}]"
