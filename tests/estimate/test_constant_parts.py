"""Counting constant parts once equals counting whole prompts."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchframe._estimate.constant_parts import divide
from batchframe._recipe.template import Template, bind, parse
from batchframe._tokens import counter, engines
from tests.support.examples import examples

WORDS = ["rate", "the", "review", "It's", "I'LL", "café", "naïve", "x", "A", "’s", "ß", "ſ", "K",
         "火车", "é", "‍", "े", "1", "23", "4567", ".", "!?", "\n", "\r\n", "\t", "  ", " ",
         "<|endoftext|>", "/", "'s", "'", "🙂", "the answer is", "{", "ǅ", "ʰ"]  # fmt: skip
LITERAL = st.lists(st.sampled_from([*WORDS, " "]), max_size=14).map("".join)
LONG = st.lists(st.sampled_from([*WORDS, " ", " and then some more"]), max_size=40).map("".join)
CELL = st.one_of(LITERAL, st.text(max_size=12), st.just(""))
EVERYTHING = settings(suppress_health_check=list(HealthCheck))


def template(literals: list[str]) -> Template:
    written = "{{ text }}".join(literal.replace("{{", "{ {") for literal in literals)
    return bind(parse(written), ["text"])


def by_parts(token_counter: counter.TokenCounter, prompt: Template, cells: list[str]) -> list[int]:
    divided = divide(prompt)
    columns = {cell: pa.array(cells, pa.large_string()) for cell in prompt.cells}
    total = np.full(len(cells), token_counter.count(divided.constants).sum())
    for piece in divided.pieces:
        total += token_counter.count(piece.render(columns, len(cells)))
    return [int(one) for one in total]


def whole_texts(
    token_counter: counter.TokenCounter, prompt: Template, cells: list[str]
) -> list[int]:
    columns = {cell: pa.array(cells, pa.large_string()) for cell in prompt.cells}
    return [int(one) for one in token_counter.count(prompt.render(columns, len(cells)))]


def prove(engine: engines.Engine, full: int = 200) -> None:
    token_counter = counter.TokenCounter("any", engine.exact, None, engine)

    @settings(EVERYTHING, max_examples=examples(full))
    @given(st.lists(LITERAL | LONG, min_size=2, max_size=4), st.lists(CELL, min_size=1, max_size=4))
    def equal(literals: list[str], cells: list[str]) -> None:
        prompt = template(literals)
        assert by_parts(token_counter, prompt, cells) == whole_texts(token_counter, prompt, cells)

    equal()


@pytest.mark.parametrize("encoding", ["o200k_base", "cl100k_base"])
def test_splintr_counts_the_parts_as_it_counts_the_whole(encoding: str) -> None:
    splintr = pytest.importorskip("splintr")
    prove(engines.SplintrEngine(splintr.Tokenizer.from_pretrained(encoding)))


@pytest.mark.parametrize("encoding", ["o200k_base", "cl100k_base"])
def test_tiktoken_counts_the_parts_as_it_counts_the_whole(
    encoding: str, judge: Callable[[str], Any]
) -> None:
    prove(engines.TiktokenEngine(judge(encoding)))


def test_the_approximation_counts_the_parts_as_it_counts_the_whole() -> None:
    prove(engines.ApproximateEngine(), full=40)


@EVERYTHING
@given(st.lists(LITERAL | LONG, min_size=2, max_size=4), CELL)
def test_the_parts_contain_every_character_of_the_whole(literals: list[str], cell: str) -> None:
    prompt = template(literals)
    divided = divide(prompt)
    columns = {one: pa.array([cell], pa.large_string()) for one in prompt.cells}
    rendered = [piece.render(columns, 1)[0].as_py() for piece in divided.pieces]
    text = prompt.render(columns, 1)[0].as_py()
    assert sorted("".join([*divided.constants, *rendered])) == sorted(text)


def test_of_a_long_instruction_only_a_few_characters_are_counted_per_row() -> None:
    prompt = template(
        ["Weigh the praise against the blame. " * 50 + "Now judge this:\n\n", "\n\nBe brief now"]
    )
    divided = divide(prompt)
    assert [part for piece in divided.pieces for part in piece.parts if isinstance(part, str)] == [
        " this:\n\n",
        "\n\nBe",
    ]


def test_a_short_text_between_two_cells_is_not_split_off() -> None:
    assert len(divide(template(["", " and then ", ""])).pieces) == 1
    assert len(divide(template(["", " and then " * 40, ""])).pieces) == 2
