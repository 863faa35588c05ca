"""Recipes of the frozen files: frames, prompts and parameters.

Used by ``make.py``, which froze what batchframe made of them, and by ``test_frozen.py``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Final, Literal

import pandas as pd
import pyarrow as pa
from pydantic import BaseModel, Field
from typing_extensions import TypedDict  # pydantic requires it before Python 3.12

import batchframe as bf
from batchframe.local import AnswerError, Limits


@dataclass(frozen=True)
class Recipe:
    """A frame and the words of ``requests`` and ``submit``.

    Attributes
    ----------
    account
        Whose job it is: a key of ``ACCOUNTS`` in ``describe.py``.
    profile
        Whose habits the local server imitates.
    """

    frame: Any
    options: Mapping[str, Any]
    submit: Mapping[str, Any] = field(default_factory=dict)
    account: str = "loopback"
    profile: str = "openai"

    def requests(self) -> bf.Requests:
        """Make the requests."""
        return bf.requests(
            self.frame, **{"prompt": "{{ text }}", "model": "gpt-4.1", **self.options}
        )


class Tone(Enum):
    """Labels as an ``Enum``."""

    WARM = "warm"
    COLD = "cold"


class Address(TypedDict):
    """A part of a typed answer."""

    city: str
    zip: str | None


class Person(TypedDict):
    """A typed answer, with an object inside."""

    name: str
    address: Address


class Review(BaseModel):
    """What a review says."""  # the docstring is part of the frozen schema

    stars: int = Field(ge=1, le=5, description="How many stars it would give.")
    topics: list[str]
    sure: bool = True
    kind: Literal["praise", "blame"]


SCHEMA: Final = {
    "title": "weather",
    "type": "object",
    "properties": {"degrees": {"type": "number"}, "sky": {"enum": ["clear", "grey"]}},
    "required": ["degrees", "sky"],
    "additionalProperties": False,
}
TOOLS: Final = [
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "description": "Looks a word up.",
            "parameters": {
                "type": "object",
                "properties": {"word": {"type": "string"}},
                "required": ["word"],
            },
        },
    }
]
PIXEL: Final = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63686800"
    "000304018127bb8c7d0000000049454e44ae426082"
)

TEXTS: Final = pd.DataFrame({"text": ["good", "bad", "good"]}, index=["x", "y", "z"])
WORD: Final = TEXTS.head(1)
GAPS: Final = pd.DataFrame({"text": ["here", None, "there"], "note": [None, "n", "m"]})
PHOTOS: Final = pd.DataFrame(
    {
        "text": ["a cat", "a dog"],
        "photo": ["https://example.org/1.jpg", "https://example.org/2.png"],
        "other": ["https://example.org/3.jpg", None],
    }
)
CHARACTERS: Final = pd.DataFrame(
    {
        "text": [
            "Grüße, 世界 🌍",
            'quote " backslash \\ slash /',
            "tab\tline\nreturn\r\n",
            "{{ text }} and {braces}",
            "\u2028separators\u2029\u0085",
            "e\u0301 is not \u00e9",
            "\u0001control",
            "",
        ]
    }
)
KINDS: Final = pd.DataFrame(
    {
        "int": pd.Series([1, -20, 3], dtype="int64"),
        "float": [0.1, 1e22, 2.0],
        "whole": pd.Series([7, 8, 9], dtype="Int64"),
        "yes": [True, False, True],
        "day": [dt.date(2026, 1, 2), dt.date(1999, 12, 31), dt.date(2024, 2, 29)],
        "moment": pd.to_datetime(
            ["2026-01-02 03:04:05", "2026-01-02", "2026-01-02 00:00:00.5"], format="ISO8601"
        ),
        "there": pd.to_datetime(["2026-01-02 03:04:05"] * 3).tz_localize("Asia/Kathmandu"),
        "kind": pd.Categorical(["a", "b", "a"], categories=["b", "a"]),
        "rank": pd.Categorical([3, 1, 3], ordered=True),
        "money": [Decimal("1.10"), Decimal(2), Decimal("0.003")],
        "words": [["a", "b"], [], ["ü"]],
        "arrow": pd.Series(["p", "q", "r"], dtype="string[pyarrow]"),
    }
)


def question(row: Mapping[str, Any]) -> str | None:
    """Ask about every row but one."""
    return None if row["text"] == "bad" else f"Is {row['text']} a word? {{{{ no placeholder }}}}"


def conversation(row: Mapping[str, Any]) -> list[dict[str, str]]:
    """Ask by messages."""
    return [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": f"Is {row['text']} a word?"},
    ]


_RESPONSES: Final = "/v1/responses"
_MESSAGES: Final = [
    {"role": "system", "content": "You rate {{ text }}."},
    {"role": "user", "content": [{"type": "text", "text": "Rate: {{ text | json }}"}]},
    {"role": "assistant", "content": "Of what?"},
    {"role": "user", "content": "Of {{{{ braces }} and {{ text }}."},
]
_EVERY_KIND: Final = "\n".join(f"{name}: {{{{ {name} }}}}" for name in KINDS.columns)
_EVERY_JSON: Final = "\n".join(f"{name}: {{{{ {name} | json }}}}" for name in KINDS.columns)

RECIPES: Final = {
    "chat": Recipe(TEXTS, {}),
    "chat, labels": Recipe(TEXTS, {"output": ["good", "bad"], "prompt": "Classify: {{ text }}"}),
    "chat, labels under a name": Recipe(WORD, {"output": ["good", "bad"], "name": "tone"}),
    "chat, whole numbers as labels": Recipe(WORD, {"output": [1, 2, 3]}),
    "chat, a Literal": Recipe(WORD, {"output": Literal["+", "−"]}),
    "chat, an Enum": Recipe(WORD, {"output": Tone}),
    "chat, a Pydantic model": Recipe(WORD, {"output": Review}),
    "chat, a TypedDict": Recipe(WORD, {"output": Person}),
    "chat, a JSON schema": Recipe(WORD, {"output": SCHEMA}),
    "chat, int": Recipe(WORD, {"output": int}),
    "chat, float": Recipe(WORD, {"output": float}),
    "chat, bool": Recipe(WORD, {"output": bool}),
    "chat, list[str]": Recipe(WORD, {"output": list[str]}),
    "chat, a bounded int": Recipe(WORD, {"output": Annotated[int, Field(ge=1, le=5)]}),
    "chat, JSON mode": Recipe(
        WORD, {"prompt": "Answer in JSON: {{ text }}", "response_format": {"type": "json_object"}}
    ),
    "chat, system": Recipe(WORD, {"system": "You know {{ text }}."}),
    "chat, messages": Recipe(WORD, {"prompt": _MESSAGES}),
    "chat, images": Recipe(PHOTOS, {"images": "photo", "image_detail": "low"}),
    "chat, two images or one": Recipe(
        PHOTOS, {"images": ["photo", "other"], "on_missing": "empty"}
    ),
    "chat, an image of bytes": Recipe(
        pd.DataFrame({"text": ["a dot"], "photo": [PIXEL]}), {"images": "photo"}
    ),
    "chat, tools": Recipe(WORD, {"tools": TOOLS, "tool_choice": "auto"}),
    "chat, parameters": Recipe(
        WORD,
        {
            "temperature": 0.5,
            "max_completion_tokens": 50,
            "seed": 7,
            "stop": ["\n\n"],
            "logit_bias": {"50256": -100},
            "top_p": 1,
        },
    ),
    "chat, a model that nobody knows": Recipe(WORD, {"model": "my-model", "its_own": {"a": [1]}}),
    "chat, missing cells are skipped": Recipe(GAPS, {"on_missing": "skip"}),
    "chat, missing cells are empty": Recipe(GAPS, {"on_missing": "empty"}),
    "chat, missing cells are a text": Recipe(
        GAPS, {"on_missing": "unknown", "prompt": "{{ text }}/{{ note }}"}
    ),
    "chat, every row": Recipe(TEXTS, {"dedupe": False}),
    "chat, a function": Recipe(TEXTS, {"prompt": question, "on_missing": "skip"}),
    "chat, a function that makes messages": Recipe(TEXTS, {"prompt": conversation}),
    "chat, characters": Recipe(CHARACTERS, {}),
    "chat, characters as JSON": Recipe(CHARACTERS.head(4), {"prompt": "{{ text | json }}"}),
    "chat, kinds of cells": Recipe(KINDS, {"prompt": _EVERY_KIND}),
    "chat, kinds of cells as JSON": Recipe(KINDS.head(2), {"prompt": _EVERY_JSON}),
    "chat, an Arrow table": Recipe(pa.table({"text": ["one", "two", "one"]}), {}),
    "chat, a column of a number": Recipe(pd.DataFrame({7: ["seven"]}), {"prompt": "{{ 7 }}"}),
    "chat, of an organization and a project": Recipe(TEXTS, {}, account="project"),
    "chat, at another address": Recipe(WORD, {}, account="elsewhere"),
    "chat, several files": Recipe(
        CHARACTERS, {"system": "Repeat."}, {"provider": bf.provider("other", max_requests=3)}
    ),
    "chat, Azure": Recipe(WORD, {}, account="azure", profile="azure"),
    "chat, Groq": Recipe(WORD, {}, {"provider": "groq"}, "groq", profile="groq"),
    "chat, Together": Recipe(WORD, {}, {"provider": "together"}, profile="together"),
    "responses": Recipe(TEXTS, {"endpoint": _RESPONSES, "system": "You know {{ text }}."}),
    "responses, labels": Recipe(WORD, {"endpoint": _RESPONSES, "output": ["good", "bad"]}),
    "responses, messages": Recipe(
        WORD, {"endpoint": _RESPONSES, "prompt": [{"role": "user", "content": "{{ text }}"}]}
    ),
    "responses, images": Recipe(PHOTOS, {"endpoint": _RESPONSES, "images": "photo"}),
    "responses, Azure": Recipe(
        WORD, {"endpoint": _RESPONSES}, account="azure", profile="azure"
    ),
    "embeddings": Recipe(
        TEXTS,
        {"endpoint": "/v1/embeddings", "model": "text-embedding-3-small", "dimensions": 8},
    ),
    "completions": Recipe(
        WORD,
        {"endpoint": "/v1/completions", "model": "my-model", "max_tokens": 5, "prompt": "{{text}}"},
    ),
    "moderations": Recipe(
        WORD, {"endpoint": "/v1/moderations", "model": "omni-moderation-latest"}
    ),
    "images": Recipe(
        TEXTS,
        {"endpoint": "/v1/images/generations", "model": "gpt-image-1", "size": "1024x1024"},
    ),
    "edits": Recipe(
        PHOTOS, {"endpoint": "/v1/images/edits", "model": "gpt-image-1", "images": "photo"}
    ),
}  # fmt: skip
"""No video is among them: batchframe stops sending these."""


# Prices, the local profile and OpenAI's models may change; these do not.
PRICES: Final = {
    "batch": {"input": "1", "output": "2"},
    "standard": {"input": "2", "output": "4"},
}
HASTE: Final = {"settle": 0.1, "queue_pause": 0.1, "first_poll": 0.05, "last_poll": 0.2}
_PRICED: Final = {"prices": PRICES, "provider": bf.provider("other", **HASTE)}
_IN_TWOS: Final = {"prices": PRICES, "provider": bf.provider("other", max_requests=2, **HASTE)}

_FINISHED: Final = {"output": ["good", "bad"], "prompt": "Classify: {{ text }}"}

JOBS: Final = {
    "finished": Recipe(
        pd.DataFrame(
            {
                "text": ["Grüße 🌍", "broken", "Grüße 🌍", "refuse", "invent", "fail", None, "cut"],
                "stars": [5, 1, 5, 2, 3, 1, 4, 2],
            },
            index=list("abcdefgh"),
        ),
        {**_FINISHED, "on_missing": "skip"},
        _PRICED,
    ),
    "reusing": Recipe(
        pd.DataFrame({"text": ["broken", "new", "refuse"]}),
        {**_FINISHED, "on_missing": "skip"},
        _PRICED,
    ),
    "typed": Recipe(
        pd.DataFrame({"text": ["fine", "poor"]}),
        {"endpoint": _RESPONSES, "output": Review},
        _PRICED,
    ),
    "half sent": Recipe(pd.DataFrame({"text": ["one", "two", "three"]}), {}, _IN_TWOS),
    "lost on the way back": Recipe(pd.DataFrame({"text": ["four", "five"]}), {}, _PRICED),
    "lost on the way there": Recipe(pd.DataFrame({"text": ["six", "seven"]}), {}, _PRICED),
    "pictures": Recipe(
        pd.DataFrame({"text": ["a kite", "a red kite"]}),
        {"endpoint": "/v1/images/generations", "model": "gpt-image-1"},
        _PRICED,
    ),
    "films": Recipe(
        pd.DataFrame({"text": ["a kite", "a red kite", "a kite"]}),
        {"endpoint": "/v1/videos", "model": "sora-2"},
        {"provider": bf.provider("other", **HASTE)},
    ),
    "pilot": Recipe(
        pd.DataFrame({"text": [f"text {i}" for i in range(5)]}, index=list("vwxyz")), {}, _PRICED
    ),
}
DRAWN: Final = {"n": 3, "seed": 1}
"""The words of the pilot."""


DIVIDED: Final = Recipe(
    pd.DataFrame({"text": [f"text {i:02}" for i in range(12)]}, index=list("abcdefghijkl")),
    {},
    {"prices": PRICES, "provider": bf.provider("other", **HASTE)},
)
QUEUE: Final = Limits(enqueued_tokens=60)
"""Room for some of the rows of the divided job; ``make_divided.py`` froze it."""


def answer(body: Mapping[str, Any]) -> Any:
    """Answer like the model of the frozen jobs."""
    text = str(body["messages"][-1]["content"] if "messages" in body else body["input"])
    if "refuse" in text:
        return _completion({"content": None, "refusal": "I would rather not."}, "stop")
    if "cut" in text:
        return _completion({"content": '{"label":'}, "length")
    if "invent" in text:
        return {"label": "neither"}
    if "fail" in text:
        return AnswerError(400, "This one fails.", code="it_fails")
    if "Classify" in text:
        return {"label": "bad" if "broken" in text else "good"}
    if "input" in body:
        return {"stars": 4, "topics": ["ä", "b"], "sure": "fine" in text, "kind": "praise"}
    return f"re: {text}"


def _completion(message: Mapping[str, Any], reason: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-frozen",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "gpt-4.1",
        "choices": [
            {"index": 0, "finish_reason": reason, "message": {"role": "assistant", **message}}
        ],
        "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14},
    }
