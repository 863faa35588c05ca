from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from batchframe._tokens import counter as counters

PanicException = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})


@dataclass
class Letters:
    """An engine with one token per letter that panics on long strings."""

    exact: bool = True
    longest: int | None = None
    calls: list[list[str]] = field(default_factory=list)

    def count(self, texts: list[str]) -> NDArray[np.int64]:
        """Return the number of letters of each string."""
        self.calls.append(list(texts))
        if self.longest is not None and any(len(text) > self.longest for text in texts):
            raise PanicException
        return np.array([len(text) for text in texts], np.int64)


def counter(engine: Letters) -> counters.TokenCounter:
    return counters.TokenCounter("letters", engine.exact, None, engine)


def test_equal_texts_are_counted_once() -> None:
    engine = Letters()
    counts = counter(engine).count(pa.array(["abc", "d", "abc", "abc"]))
    assert counts.tolist() == [3, 1, 3, 3]
    assert engine.calls == [["abc", "d"]]


@pytest.mark.parametrize(
    "texts",
    [
        [],
        pa.array([], pa.string()),
        pa.chunked_array([], pa.large_string()),
        pa.array([], pa.string()).dictionary_encode(),
    ],
)
def test_no_texts_have_no_counts(texts: list[str] | pa.Array) -> None:
    counts = counter(Letters()).count(texts)
    assert counts.tolist() == []
    assert counts.dtype == np.int64


@pytest.mark.parametrize(
    "texts",
    [
        ["a", None, "bcd"],
        pa.array(["a", None, "bcd"]),
        pa.chunked_array(
            [pa.array(one).dictionary_encode() for one in (["a", None], ["zz", "bcd"][1:])]
        ),
        pa.chunked_array([["a", None], [], ["bcd"]]),
        pa.chunked_array([["a", None], ["bcd"]]).dictionary_encode(),
        pa.array(["zzzzz", "a", None, "bcd"]).dictionary_encode()[1:],
    ],
)
def test_any_arrow_string_type_is_counted_and_a_missing_string_has_no_tokens(
    texts: list[str] | pa.Array,
) -> None:
    assert counter(Letters()).count(texts).tolist() == [1, 0, 3]


def test_only_missing_texts_have_no_tokens() -> None:
    assert counter(Letters()).count(pa.array([None, None], pa.string())).tolist() == [0, 0]


@given(st.lists(st.text(max_size=30), max_size=40), st.integers(1, 50))
def test_blocks_never_change_a_count(texts: list[str], block: int) -> None:
    engine = Letters()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counters, "BLOCK_BYTES", block)
        counts = counter(engine).count(pa.array(texts, pa.string()))
    assert counts.tolist() == [len(text) for text in texts]
    block_sizes = [[len(text.encode()) for text in block_texts] for block_texts in engine.calls]
    assert all(sum(sizes[1:]) <= block for sizes in block_sizes)


def test_a_text_longer_than_any_model_reads_is_counted_in_pieces() -> None:
    engine = Letters()
    tally = counter(engine).tally(["abc", "x" * 2_000_001])
    assert tally.tokens.tolist() == [3, 2_000_001]
    assert tally.exact.tolist() == [True, False]
    assert max(len(text) for texts in engine.calls for text in texts) < 20_000


def test_half_a_surrogate_pair_is_counted_like_its_replacement() -> None:
    model = counters.token_counter("gpt-4o")
    assert model.count(["\ud800 hi"]).tolist() == model.count(["\ufffd hi"]).tolist()


def test_a_text_that_makes_the_tokenizer_panic_is_counted_in_pieces_and_marked() -> None:
    engine = Letters(longest=20_000)
    tally = counter(engine).tally(["abc", "x" * 50_000, "de"])
    assert tally.tokens.tolist() == [3, 50_000, 2]
    assert tally.exact.tolist() == [True, False, True]


def test_a_text_whose_every_piece_panics_is_approximated() -> None:
    tally = counter(Letters(longest=100)).tally(["word " * 200])
    assert abs(tally.tokens[0] - 200) <= 1
    assert tally.exact.tolist() == [False]


def test_a_count_with_a_presumed_encoding_is_not_exact() -> None:
    assert not counters.token_counter("gpt-6-luna").tally(["Say hello"]).exact.any()


def test_an_interrupt_is_not_treated_as_a_panic() -> None:
    def interrupt(_: list[str]) -> NDArray[np.int64]:
        raise KeyboardInterrupt

    engine = Letters()
    engine.count = interrupt  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        counter(engine).count(["a"])


def test_a_million_spaces_are_counted() -> None:
    tokens = counters.token_counter("gpt-4o").count([" " * 1_000_000, "Say hello"])
    # 128 spaces are one token.
    assert abs(int(tokens[0]) - 7_813) <= 10
    assert tokens[1] == 2


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4"])
def test_special_tokens_in_a_text_are_plain_text(model: str) -> None:
    texts = ["<|endoftext|>", "a <|im_start|> b", "<|endofprompt|><|think|>", "no such token"]
    counts = counters.token_counter(model).count(texts)
    assert (counts[:3] >= 5).all()


@pytest.mark.parametrize(
    "model",
    [
        "gpt-4o",
        "gpt-4o-mini-2024-07-18",
        "chatgpt-4o-latest",
        "gpt-4.1-nano",
        "gpt-4.5-preview",
        "gpt-5",
        "gpt-5.1",
        "gpt-5.4-mini-2026-03-17",
        "gpt-5.6-luna",
        "o1",
        "o3-mini",
        "o4-mini",
        "gpt-oss-120b",
        "openai/gpt-oss-20b",
        "ft:gpt-4.1-mini-2025-04-14:acme::8pGL1",
        "GPT-5.6-Sol",
    ],
)
def test_models_since_gpt_4o_are_counted_in_o200k(model: str) -> None:
    assert counters.encoding_of(model) == ("o200k_base", True)


@pytest.mark.parametrize(
    "model",
    [
        "gpt-4",
        "gpt-4-turbo-2024-04-09",
        "gpt-3.5-turbo-0125",
        "gpt-3.5-turbo-instruct",
        "gpt-35-turbo",
        "ft:gpt-3.5-turbo-0613:acme::8pGL1",
        "text-embedding-3-small",
        "text-embedding-ada-002",
    ],
)
def test_older_models_and_embeddings_are_counted_in_cl100k(model: str) -> None:
    assert counters.encoding_of(model) == ("cl100k_base", True)


@pytest.mark.parametrize("model", ["gpt-6-luna", "gpt-6.1-sol", "gpt-6-astra-2026-09-01"])
def test_the_encoding_of_gpt_6_is_presumed_and_the_note_says_so(model: str) -> None:
    assert counters.encoding_of(model) == ("o200k_base", False)
    counter = counters.token_counter(model)
    assert not counter.exact
    assert f"no tokenizer for {model}" in str(counter.note)


@pytest.mark.parametrize("model", ["llama-4-scout", "qwen3-32b", "gpt-4oo", "o11", ""])
def test_an_unknown_model_is_counted_but_never_called_exact(model: str) -> None:
    assert counters.encoding_of(model) == ("o200k_base", False)
    counter = counters.token_counter(model)
    assert not counter.exact
    assert "is unknown" in str(counter.note)


def test_the_table_agrees_with_tiktokens_for_all_common_models() -> None:
    table = pytest.importorskip("tiktoken.model").MODEL_TO_ENCODING
    same_ranks = {"o200k_harmony": "o200k_base"}
    ours = {model: counters.encoding_of(model) for model in table}
    assert ours == {model: (same_ranks.get(name, name), True) for model, name in table.items()}
