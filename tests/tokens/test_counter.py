import subprocess
import sys
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from batchframe._tokens import counter as _tokens
from batchframe._tokens.counter import TokenCounter, token_counter

PanicException = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})


@dataclass
class Letters:
    """An engine for which each letter is a token, and which panics on long texts."""

    exact: bool = True
    longest: int | None = None
    seen: list[list[str]] = field(default_factory=list)

    def count(self, texts: list[str]) -> NDArray[np.int64]:
        """Give the number of letters of each text."""
        self.seen.append(list(texts))
        if self.longest is not None and any(len(text) > self.longest for text in texts):
            raise PanicException
        return np.array([len(text) for text in texts], np.int64)


def counter(engine: Letters) -> TokenCounter:
    return TokenCounter("letters", engine.exact, None, engine)


def test_equal_texts_are_counted_once() -> None:
    engine = Letters()
    counts = counter(engine).count(pa.array(["abc", "d", "abc", "abc"]))
    assert counts.tolist() == [3, 1, 3, 3]
    assert engine.seen == [["abc", "d"]]


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
def test_any_arrow_column_of_texts_is_taken_and_a_missing_text_has_no_tokens(
    texts: list[str] | pa.Array,
) -> None:
    assert counter(Letters()).count(texts).tolist() == [1, 0, 3]


def test_only_missing_texts_have_no_tokens() -> None:
    assert counter(Letters()).count(pa.array([None, None], pa.string())).tolist() == [0, 0]


@given(st.lists(st.text(max_size=30), max_size=40), st.integers(1, 50))
def test_blocks_never_change_a_count(texts: list[str], block: int) -> None:
    engine = Letters()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_tokens, "BLOCK_BYTES", block)
        counts = counter(engine).count(pa.array(texts, pa.string()))
    assert counts.tolist() == [len(text) for text in texts]
    held = [[len(text.encode()) for text in block_texts] for block_texts in engine.seen]
    assert all(sum(sizes[1:]) <= block for sizes in held)


def test_a_text_longer_than_any_model_reads_is_counted_in_pieces() -> None:
    engine = Letters()
    tally = counter(engine).tally(["abc", "x" * 2_000_001])
    assert tally.tokens.tolist() == [3, 2_000_001]
    assert tally.exact.tolist() == [True, False]
    assert max(len(text) for seen in engine.seen for text in seen) < 20_000


def test_half_a_surrogate_pair_is_counted_like_its_replacement() -> None:
    model = token_counter("gpt-4o")
    assert model.count(["\ud800 hi"]).tolist() == model.count(["\ufffd hi"]).tolist()


def test_a_text_on_which_the_tokenizer_panics_is_counted_in_pieces_and_marked() -> None:
    engine = Letters(longest=20_000)
    tally = counter(engine).tally(["abc", "x" * 50_000, "de"])
    assert tally.tokens.tolist() == [3, 50_000, 2]
    assert tally.exact.tolist() == [True, False, True]


def test_a_text_whose_every_piece_panics_is_approximated() -> None:
    tally = counter(Letters(longest=100)).tally(["word " * 200])
    assert abs(tally.tokens[0] - 200) <= 1
    assert tally.exact.tolist() == [False]


def test_no_single_number_is_exact_where_the_encoding_is_presumed() -> None:
    assert not token_counter("gpt-6-luna").tally(["Say hello"]).exact.any()


def test_an_interrupt_is_never_taken_for_a_panic() -> None:
    def interrupt(_: list[str]) -> NDArray[np.int64]:
        raise KeyboardInterrupt

    engine = Letters()
    engine.count = interrupt  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        counter(engine).count(["a"])


def test_a_million_spaces_are_counted() -> None:
    tokens = token_counter("gpt-4o").count([" " * 1_000_000, "Say hello"])
    # 128 spaces are one token.
    assert abs(int(tokens[0]) - 7_813) <= 10
    assert tokens[1] == 2


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4"])
def test_special_tokens_in_a_text_are_plain_text(model: str) -> None:
    texts = ["<|endoftext|>", "a <|im_start|> b", "<|endofprompt|><|think|>", "no such token"]
    counts = token_counter(model).count(texts)
    assert (counts[:3] >= 5).all()


def test_importing_loads_no_slow_package() -> None:
    code = (
        "import sys, batchframe._tokens.bodies, batchframe._models.price_lookup;"
        "print(sorted({'tiktoken', 'splintr', 'genai_prices', 'requests'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
