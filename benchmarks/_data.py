"""Synthetic reviews of about 500 characters, and answers to them."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

PROMPT: Final = "Classify the sentiment of this review.\n\n{{ text }}"
LABELS: Final = ["positive", "negative", "mixed"]
MODEL: Final = "gpt-4.1"

_COMMON: Final = (
    "the a and of to was in it for we room hotel film food very not but with this good had were on "
    "great at service place staff time that my they so all bad never again would really nice from "
    "there one back which our out just like when what about more than after before because always "
    "breakfast location friendly clean terrible wonderful expensive waiting ordered delivered "
    "quality product broken returned money recommend disappointed excellent awful slow quick"
)
_RARE: Final = (
    "café naïve Zürich jalapeño über façade señor crème 東京 хорошо — “quoted” it's don't £12"
)
_SYLLABLES: Final = "ba ko ri ten mal vor sti que lan dro phi ger nou sel tra mit bur cha wen ox"
_SENTENCES: Final = 40_000
_WORDS: Final = 11
_MOSTLY: Final = 0.85
_NEARLY_ALL: Final = 0.97
_PARTS: Final = 6

TOPICS: Final = ["price", "service", "quality", "delivery"]


def reviews(rows: int, seed: int = 1) -> pd.DataFrame:
    """Return a DataFrame of distinct reviews.

    Reviews consist of random sentences with common, invented and foreign words, so that a
    tokenizer's cache cannot hold all words.
    """
    rng = np.random.default_rng(seed)
    sentences = _sentences()
    parts = [sentences.take(pa.array(rng.integers(0, _SENTENCES, rows))) for _ in range(_PARTS)]
    numbers = pa.array(np.arange(rows)).cast(pa.large_string())
    texts = pc.binary_join_element_wise(numbers, *parts, pa.scalar(" ", pa.large_string()))
    return pd.DataFrame({"id": np.arange(rows), "text": texts.to_pandas()})


@functools.cache
def _sentences() -> pa.Array:
    rng = np.random.default_rng(20_261_121)
    shape = (_SENTENCES, _WORDS)
    syllables = np.array(_SYLLABLES.split())
    first, second, third = (syllables[rng.integers(0, len(syllables), shape)] for _ in range(3))
    invented = np.char.add(np.char.add(first, second), third)
    common, rare = (
        np.array(vocabulary.split())[_draw(rng, vocabulary, shape)]
        for vocabulary in (_COMMON, _RARE)
    )
    kinds = rng.random(shape)
    vocabulary = np.where(kinds < _MOSTLY, common, np.where(kinds < _NEARLY_ALL, invented, rare))
    sentences = [f"{' '.join(sentence).capitalize()}." for sentence in vocabulary.tolist()]
    return pa.array(sentences, pa.large_string())


def _draw(
    rng: np.random.Generator, vocabulary: str, shape: tuple[int, int]
) -> npt.NDArray[np.int64]:
    return rng.integers(0, len(vocabulary.split()), shape)


def output_lines(custom_ids: Sequence[str], *, as_json: bool, seed: int = 2) -> Iterator[bytes]:
    """Yield the lines of an output file in random order, about 900 bytes each."""
    rng = np.random.default_rng(seed)
    draws = rng.random((len(custom_ids), 3)).tolist()
    for index in rng.permutation(len(custom_ids)).tolist():
        yield _line(custom_ids[index], _content(draws[index], index, as_json=as_json), index)


def _content(draw: list[float], index: int, *, as_json: bool) -> str:
    label = LABELS[int(draw[0] * 3)]
    reason = f"The guest of stay {index} says “{TOPICS[int(draw[1] * 4)]}” and means it."
    if not as_json:
        return f"{label}: {reason}"
    answer = {
        "label": label,
        "confidence": round(draw[2], 3),
        "topic": TOPICS[int(draw[1] * 4)],
        "reason": reason,
    }
    return msgspec.json.encode(answer).decode()


SCHEMA: Final = {
    "type": "object",
    "properties": {
        "label": {"type": "string", "enum": LABELS},
        "confidence": {"type": "number"},
        "topic": {"type": "string", "enum": TOPICS},
        "reason": {"type": "string"},
    },
    "required": ["label", "confidence", "topic", "reason"],
    "additionalProperties": False,
}


def _line(custom_id: str, content: str, index: int) -> bytes:
    usage = {
        "prompt_tokens": 120,
        "completion_tokens": 17,
        "total_tokens": 137,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    message = {"role": "assistant", "content": content, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = {
        "id": f"chatcmpl-{index:024x}",
        "object": "chat.completion",
        "created": 1_763_700_000,
        "model": f"{MODEL}-2025-04-14",
        "choices": [choice],
        "usage": usage,
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
    }
    response = {"status_code": 200, "request_id": f"{index:032x}", "body": body}
    line = {"id": f"batch_req_{index:024x}", "custom_id": custom_id, "response": response}
    return msgspec.json.encode({**line, "error": None}) + b"\n"
