"""Answers of the small model to request bodies."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from batchframe.local._answers.answerers import AnswerError
from batchframe.local._minilm.model import Embedder, load


def minilm(*, words: int | None = None) -> Callable[[dict[str, Any]], Any]:
    """Load a small language model, MiniLM, as an answer function.

    The model, all-MiniLM-L6-v2 (22 million parameters, Apache-2.0), turns a string into a vector.
    With ``output=[...]`` it answers the label whose vector is nearest to that of the last message
    without its first paragraph. A line of the prompt such as ``dogs: leash, tax`` explains a label
    and is read with it. On ``/v1/embeddings`` it answers the vector. It cannot write text, and it
    knows English better than other languages. It needs the extra ``demo`` and no network.

    Parameters
    ----------
    words
        Number of words that it reads of each message; by default all. A small number makes a
        weaker model, for example to compare two models without a key.

    Returns
    -------
    A function for `serve`, as its `answer`.

    Raises
    ------
    ExtraError
        If the packages of the extra ``demo`` are not installed.

    Examples
    --------
    >>> import batchframe.local
    >>> answer = batchframe.local.minilm()
    >>> schema = {"properties": {"label": {"enum": ["pets", "parking"]}}}
    >>> answer({
    ...     "messages": [{"role": "user", "content": "My puppy ate the sofa."}],
    ...     "response_format": {"type": "json_schema", "json_schema": {"schema": schema}},
    ... })
    {'label': 'pets'}
    """
    embed = load()

    def answer(body: dict[str, Any]) -> Any:
        schema = _schema(body)
        if schema is None:
            return _vector(embed, body)
        *earlier, last = _texts(body)
        first, _, rest = last.partition("\n\n")
        message = rest or first
        read = " ".join(message.split()[:words]) if words else message
        prompt = "\n".join([*earlier, first])
        return {
            name: _nearest(embed, read, _labels(name, field), prompt)
            for name, field in schema["properties"].items()
        }

    return answer


def _schema(body: Mapping[str, Any]) -> Any:
    """Return the schema of the answer, of chat completions or responses."""
    chat = body.get("response_format", {}).get("json_schema", {})
    return chat.get("schema") or body.get("text", {}).get("format", {}).get("schema")


def _texts(body: Mapping[str, Any]) -> list[str]:
    """Return the text of each message."""
    messages = body.get("messages", body.get("input", ""))
    if isinstance(messages, str):
        messages = [{"content": messages}]
    messages = [{"content": body.get("instructions", "")}, *messages]
    return [_text(message["content"]) for message in messages]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part.get("text", "") for part in content)


def _labels(name: str, field: Mapping[str, Any]) -> list[str]:
    labels = field.get("enum", [])
    if not labels or not all(isinstance(label, str) for label in labels):
        raise AnswerError(400, f"MiniLM picks labels and writes no text; {name!r} has no labels.")
    return list(labels)


def _nearest(embed: Embedder, text: str, labels: list[str], prompt: str) -> str:
    described = np.array([embed(_described(label, prompt)) for label in labels])
    return labels[int((described @ embed(text)).argmax())]


def _described(label: str, prompt: str) -> str:
    """Return the line of the prompt that explains a label, or the label alone."""
    line = re.search(rf"^\W*{re.escape(label)}: .+", prompt, re.IGNORECASE | re.MULTILINE)
    return line[0].strip("-* ") if line else label


def _vector(embed: Embedder, body: Mapping[str, Any]) -> list[float]:
    if "messages" in body or not isinstance(body.get("input"), str):
        raise AnswerError(400, "MiniLM picks labels and writes no text. Fix: output=[...].")
    vector = embed(body["input"])
    size = body.get("dimensions", len(vector))
    if size > len(vector):
        raise AnswerError(400, f"dimensions: at most {len(vector)} ({size}).")
    return list(map(float, vector[:size] / np.linalg.norm(vector[:size])))
