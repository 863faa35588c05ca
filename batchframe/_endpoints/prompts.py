"""Prompts of one string, and of a string or messages, shared by endpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from batchframe._base.errors import RequestError, TemplateError
from batchframe._base.safe_text import NextStep
from batchframe._endpoints.endpoint import Endpoint, PromptFunction, recovered_recipe
from batchframe._frames.attached.columns import file_columns, image_column
from batchframe._frames.attached.options import FileInput, ImageInput
from batchframe._output import OutputSpec, output_spec
from batchframe._recipe.arguments import Message, checked_prompt
from batchframe._recipe.recipe import Recipe
from batchframe._recipe.slots import PROMPT, JsonColumn, MoreItems
from batchframe._recipe.template import parse
from batchframe._tokens.bodies import count_texts, needed
from batchframe._tokens.counter import TokenCount
from batchframe._tokens.images import file_source

FILE_NAME: Final = "document.pdf"
"""The name of every file in a request: the service requires one with data."""

Prompt: TypeAlias = str | Sequence[Message]


class TextEndpoint(Endpoint):
    """An endpoint with one string as prompt and a fixed kind of answer.

    Attributes
    ----------
    prompt_key
        The key of the prompt in a body.
    has_framing
        Whether the service may add tokens to the prompt; False where it is known to add none.
    answer_name
        Default name of the answer column, which ``name=`` overrides.
    answer_type
        What the endpoint returns, for errors about ``output=``.
    """

    prompt_key: str
    has_framing: bool = True
    answer_name: str | None = None
    answer_type: str = "text"

    def output_spec(self, output: object, name: str | None) -> OutputSpec:
        """Reject ``output=``, and name the answer column."""
        if output is not None:
            raise RequestError(
                NextStep("output", "--output")
                + f": not supported by {self.path}, which returns {self.answer_type}. Fix: omit it."
            )
        return output_spec(None, self.answer_name if name is None else name)

    def check(self, recipe: Recipe) -> None:
        """Reject messages, images, files and instructions."""
        if recipe.images is not None:
            raise RequestError(
                f"images: not supported in a batch of {recipe.endpoint}. Fix: use "
                'endpoint="/v1/chat/completions", "/v1/responses" or "/v1/images/edits".'
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
        """Wrap a prompt function to return a string or None."""

        def only_a_text(prompt: Prompt) -> str:
            if not isinstance(prompt, str):
                raise _messages_for_text_error(recipe.endpoint)
            return prompt

        return prompts_of(function, only_a_text)

    def count_tokens(self, body: Mapping[str, Any]) -> TokenCount:
        """Count the prompt; the range includes framing tokens, if any."""
        if self.has_framing:
            return super().count_tokens(body)
        return count_texts(body, self.prompt_key, self.path)

    def prompt_text(self, body: Mapping[str, Any]) -> str:
        """Return the prompt of a request."""
        return str(needed(body, self.prompt_key, self.path))


def text_leaf(recipe: Recipe) -> Any:
    """Return the leaf of the body that renders the prompt."""
    return parse(recipe.prompt) if isinstance(recipe.prompt, str) else JsonColumn(PROMPT)


def refuse_all_but_text(recipe: Recipe) -> None:
    """Reject messages, instructions and files."""
    if recipe.files is not None:
        raise RequestError(
            f"files: not supported in a batch of {recipe.endpoint}. Fix: use "
            'endpoint="/v1/chat/completions" or "/v1/responses".'
        )
    if recipe.system is not None:
        raise RequestError(
            f"system: not supported by {recipe.endpoint}. Fix: write it into the prompt."
        )
    if isinstance(recipe.prompt, tuple):
        raise _messages_for_text_error(recipe.endpoint)


def _messages_for_text_error(endpoint: str) -> TemplateError:
    return TemplateError(
        f"prompt: a list of messages, but {endpoint} takes one string. Fix: pass a template such "
        'as "{{ text }}", or a function of a row that returns a string.'
    )


def prompts_of(function: PromptFunction, finished: Callable[[Prompt], Any]) -> PromptFunction:
    """Wrap a prompt function to validate its result and complete it."""

    def prompt_of(row: Mapping[Any, Any]) -> Any:
        prompt = function(row)
        if prompt is None:
            return None
        value = checked_prompt(prompt)
        if value is None:
            raise TemplateError.not_a_prompt(prompt)
        return finished(value)

    return prompt_of


def with_templates(prompt: Prompt) -> Any:
    """Parse every string of a prompt as a template, including message parts."""
    if isinstance(prompt, str):
        return parse(prompt)
    return [{**message, "content": _content(message["content"])} for message in prompt]


def _content(content: Any) -> Any:
    if isinstance(content, str):
        return parse(content)
    if isinstance(content, Mapping):
        return {key: _content(value) for key, value in content.items()}
    return [_content(part) for part in content] if isinstance(content, list) else content


def with_attached(
    messages: Sequence[Message], items: Sequence[MoreItems], text: str
) -> list[Message]:
    """Append the images and files of a row to the last user message.

    Parameters
    ----------
    items
        The slots of their content parts.
    text
        The type of a text part.

    Raises
    ------
    TemplateError
        If no user message has content.
    """
    has_content = [bool(message["content"]) and message["role"] == "user" for message in messages]
    if True not in has_content:
        raise TemplateError(
            "images, files: the prompt has no user message with content to attach them to. Fix: "
            'add {"role": "user", "content": "Describe the picture."}.'
        )
    last = len(has_content) - 1 - has_content[::-1].index(True)
    content = messages[last]["content"]
    parts = content if isinstance(content, list) else [{"type": text, "text": content}]
    return [
        *messages[:last],
        {**messages[last], "content": [*parts, *items]},
        *messages[last + 1 :],
    ]


def file_items(
    files: FileInput, data: tuple[str, str], url: tuple[str, str] | None = None
) -> list[MoreItems]:
    """Return the slots of the files of a row.

    Parameters
    ----------
    data, url
        The JSON of a part around a ``data:`` URL, and around another URL, if accepted.
    """
    items = []
    for position in range(len(files.columns)):
        url_column, data_column = file_columns(position)
        items += [] if url is None else [MoreItems((url_column,), *url)]
        items.append(MoreItems((data_column,), *data))
    return items


def image_columns(images: ImageInput) -> tuple[str, ...]:
    """Return the columns that contain the image URLs."""
    return tuple(image_column(position) for position in range(len(images.columns)))


def detail_json(images: ImageInput, default: str | None = None) -> str:
    """Format the ``detail`` of an image part with its comma, or ""."""
    detail = images.detail or default
    return "" if detail is None else f',"detail":"{detail}"'


def contents(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return the contents of messages in readable form."""
    return "\n\n".join(_as_text(message.get("content", message)) for message in messages)


def _as_text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(map(_part_text, content))
    return content if isinstance(content, str) else repr(content)


def _part_text(part: Mapping[str, Any]) -> str:
    if isinstance(part.get("text"), str):
        return str(part["text"])
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, Mapping) else image or file_source(part)
    if not isinstance(url, str):
        return repr(part)
    kind, comma, payload = url.partition(";base64,")
    return f"[{kind[5:]}, {len(payload) * 3 // 4:,} bytes]" if comma else f"[{url[:200]}]"
