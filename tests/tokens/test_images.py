import base64
import struct
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchframe import count_tokens


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height) + b"\x08\2\0\0\0"


def ask(model: str, *images: dict[str, Any]) -> Any:
    content = [{"type": "text", "text": "What is it?"}, *images]
    return count_tokens({"model": model, "messages": [{"role": "user", "content": content}]})


class Seen(NamedTuple):
    """Tokens that an image adds to a request."""

    tokens: int
    low: int
    high: int
    notes: tuple[str, ...]


def image_tokens(model: str, size: tuple[int, int] | None, detail: str | None = None) -> Seen:
    """Count an image of this size, or one behind a link."""
    url = "https://example.org/a.png"
    if size is not None:
        url = "data:image/png;base64," + base64.b64encode(png(*size)).decode()
    image = {"url": url} if detail is None else {"url": url, "detail": detail}
    with_image, text = ask(model, {"type": "image_url", "image_url": image}), ask(model)
    low = with_image.tokens - with_image.fewer - (text.tokens - text.fewer)
    high = with_image.tokens + with_image.more - (text.tokens + text.more)
    return Seen(with_image.tokens - text.tokens, low, high, with_image.notes)


@pytest.mark.parametrize(
    ("model", "size", "detail", "tokens"),
    [
        # Recorded.
        ("gpt-4o", (2560, 1669), "high", 1105),
        ("gpt-4o", (3008, 2000), None, 1105),
        ("gpt-4o", (800, 400), "auto", 425),
        # OpenAI's guide.
        ("gpt-4o", (1024, 1024), "high", 765),
        ("gpt-4o", (2048, 4096), "high", 1105),
        ("gpt-4o", (4096, 8192), "low", 85),
        ("gpt-4o-mini", (1024, 1024), "low", 2833),
        ("gpt-4o-mini", (1024, 1024), "high", 2833 + 4 * 5667),
        ("gpt-4.1", (512, 512), "high", 255),
        ("gpt-5", (1024, 1024), "high", 70 + 4 * 140),
        ("o3", (1024, 1024), "high", 75 + 4 * 150),
        ("gpt-5.2", (1024, 1024), None, 1024),
        ("gpt-5.2", (1800, 2400), None, 1452),
        ("gpt-4.1-mini", (1024, 1024), None, 1659),
        ("gpt-5-nano", (1024, 1024), None, 1536),
        ("o4-mini", (1024, 1024), None, 1762),
        ("gpt-5.4", (1600, 1600), None, 2500),
        ("gpt-5.4-mini", (32, 33), None, 3),
    ],
)
def test_the_rules_match_the_recordings_and_the_guide(
    model: str, size: tuple[int, int], detail: str | None, tokens: int
) -> None:
    assert image_tokens(model, size, detail).tokens == tokens


def test_a_recorded_count_that_is_one_above_the_rule_is_in_its_range() -> None:
    count = image_tokens("gpt-4.1-nano", (540, 360))
    assert count.low <= 503 <= count.high


def test_a_recording_that_contradicts_the_guide_leaves_both_in_the_range() -> None:
    count = image_tokens("gpt-5-mini", (1024, 1024))
    assert count.low <= round(1024 * 1.2) <= count.tokens
    assert count.high >= round(1024 * 1.62)
    assert "1.62" in " ".join(count.notes)


def test_original_detail_is_larger_if_the_model_supports_it() -> None:
    size = (6000, 4000)
    assert image_tokens("gpt-5.4", size, "original").tokens > 9_000
    assert image_tokens("gpt-5.4", size, "high").tokens <= 2_500
    assert image_tokens("gpt-5.4", size).tokens <= 2_500
    assert image_tokens("gpt-5.5", size).tokens > 9_000


MODELS = st.sampled_from(
    ["gpt-4o", "gpt-4o-mini", "gpt-4.1-nano", "o4-mini", "gpt-5", "gpt-5-mini", "gpt-5.2",
     "gpt-5.4", "gpt-5.5", "gpt-5.6-luna", "gpt-6-luna", "llama-4"]
)  # fmt: skip
DETAILS = st.sampled_from([None, "low", "high", "auto", "original", "other"])


@given(MODELS, DETAILS, st.tuples(st.integers(1, 30_000), st.integers(1, 30_000)))
def test_an_image_of_unknown_size_covers_every_size(
    model: str, detail: str | None, size: tuple[int, int]
) -> None:
    sized, unknown = image_tokens(model, size, detail), image_tokens(model, None, detail)
    assert unknown.low <= sized.tokens <= unknown.high
    assert sized.low <= sized.tokens <= sized.high


def test_a_chat_counts_an_image_by_its_data_url_and_says_so() -> None:
    url = "data:image/png;base64," + base64.b64encode(png(2560, 1669)).decode()
    count = ask("gpt-4o", {"type": "image_url", "image_url": {"url": url, "detail": "high"}})
    low = ask("gpt-4o", {"type": "image_url", "image_url": {"url": url, "detail": "low"}})
    assert count.tokens - low.tokens == 1105 - 85
    assert not count.exact
    assert "recorded" in count.notes[0]


def test_an_image_behind_a_link_is_a_range_with_its_expected_error() -> None:
    count = ask("gpt-4o", {"type": "image_url", "image_url": {"url": "https://example.org/a"}})
    assert (count.fewer, count.more) == (765 - 255, 1445 - 765)
    assert "255 to 1,445" in count.notes[0]


def test_the_range_of_responses_includes_the_recorded_count() -> None:
    url = "data:image/png;base64," + base64.b64encode(png(3008, 2000)).decode()
    content = [{"type": "input_image", "image_url": url}]
    body = {"model": "gpt-4o", "input": [{"role": "user", "content": content}]}
    count = count_tokens(body, endpoint="/v1/responses")
    assert count.more is not None
    assert count.more >= 1335 - 1105
