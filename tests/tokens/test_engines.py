import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchframe._tokens import counter, engines
from tests.support.examples import examples

PanicException = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})

SAMPLES = [
    "",
    " ",
    "Say hello",
    "The train was two hours late, and no one told us why. 2/10, wouldn't recommend!",
    "def area(radius):\n    return 3.14159 * radius ** 2\n\n\n",
    '{"id": 12345, "tags": ["a", "b"], "note": null}',
    "Der Zug hatte fünfundzwanzig Minuten Verspätung, niemand sagte warum.",
    "Поезд опоздал на два часа, и никто не сказал почему.",
    "火车晚点了两个小时,没有人告诉我们原因。",
    "電車が二時間遅れたのに、誰も理由を教えてくれなかった。",
    "기차가 두 시간 늦었는데 아무도 이유를 말해 주지 않았다.",
    "تأخر القطار ساعتين ولم يخبرنا أحد بالسبب.",
    "🙂🙃 👩‍👩‍👧‍👦 z̷a̷l̷g̷o̷ \u2028 \u00a0\u200b\ufeff",
    "<|endoftext|>",
    "before <|im_start|>user<|im_end|> after",
    "<|endofprompt|><|fim_prefix|><|think|>",
    "<| not special |>",
    "a" * 5_000,
    " " * 3_000 + "\n" * 300 + "\t" * 300,
    "I'LL we're THEY'VE don't",
    "1234567890 12.5% $1,000.00",
]


def hide(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)


def fake_tiktoken(get_encoding: Callable[[str], Any]) -> ModuleType:
    module = ModuleType("tiktoken")
    module.get_encoding = get_encoding  # type: ignore[attr-defined]
    return module


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base"])
def test_splintr_counts_what_tiktoken_counts(name: str, judge: Callable[[str], Any]) -> None:
    splintr = pytest.importorskip("splintr")
    fast = engines.SplintrEngine(splintr.Tokenizer.from_pretrained(name))
    truth = engines.TiktokenEngine(judge(name))

    @settings(suppress_health_check=list(HealthCheck), max_examples=examples(300))
    @given(
        st.lists(
            st.lists(st.one_of(st.text(max_size=20), st.sampled_from(SAMPLES)), max_size=6).map(
                "".join
            )
        )
    )
    def agree(texts: list[str]) -> None:
        assert fast.count(texts).tolist() == truth.count(texts).tolist()

    assert fast.count(SAMPLES).tolist() == truth.count(SAMPLES).tolist()
    agree()


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base"])
def test_the_counts_a_new_engine_must_pass_are_tiktokens(
    name: str, judge: Callable[[str], Any]
) -> None:
    truth = engines.TiktokenEngine(judge(name)).count(list(engines._PROBE))
    assert tuple(truth) == engines._PROBE_COUNTS[name]


def test_a_panic_of_tiktoken_is_handled(judge: Callable[[str], Any]) -> None:
    engine = engines.TiktokenEngine(judge("o200k_base"))
    counts, exact = engines.count_guarded(engine, ["Say hello", " " * 1_000_000])
    assert counts[0] == 2
    assert abs(int(counts[1]) - 7_813) <= 10
    assert exact[0]


@pytest.mark.usefixtures("fresh_engines")
def test_without_a_tokenizer_counts_are_approximate_and_name_the_fix(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hide(monkeypatch, "splintr", "tiktoken")
    token_counter = counter.token_counter("gpt-4o")
    assert not token_counter.exact
    assert 'pip install "batchframe[fast]"' in str(token_counter.note)
    tally = token_counter.tally(["Say hello", ""])
    assert tally.tokens.tolist() == [2, 0]
    assert not tally.exact.any()


@pytest.mark.usefixtures("fresh_engines")
@pytest.mark.parametrize("error", [ConnectionError("no route"), ValueError("Hash mismatch")])
def test_an_unavailable_vocabulary_is_named_in_the_note(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    tried = []

    def offline(name: str) -> Any:
        tried.append(name)
        raise error

    hide(monkeypatch, "splintr")
    monkeypatch.setitem(sys.modules, "tiktoken", fake_tiktoken(offline))
    token_counter = counter.token_counter("gpt-4o")
    assert not token_counter.exact
    assert type(error).__name__ in str(token_counter.note)
    counter.token_counter("gpt-4o-mini")
    assert tried == ["o200k_base"]


@pytest.mark.usefixtures("fresh_engines")
def test_an_endless_vocabulary_download_is_not_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    enough = threading.Event()

    def hanging(name: str) -> Any:
        enough.wait()
        raise ConnectionError(name)

    hide(monkeypatch, "splintr")
    monkeypatch.setitem(sys.modules, "tiktoken", fake_tiktoken(hanging))
    monkeypatch.setattr(engines, "DOWNLOAD_SECONDS", 0.05)
    try:
        assert "did not load" in str(counter.token_counter("gpt-4o").note)
    finally:
        enough.set()


@pytest.mark.usefixtures("fresh_engines")
def test_installing_the_fast_engine_needs_no_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("splintr")
    with monkeypatch.context() as before:
        hide(before, "splintr", "tiktoken")
        assert not counter.token_counter("gpt-4o").exact
    assert counter.token_counter("gpt-4o").exact


@pytest.mark.usefixtures("fresh_engines")
def test_tiktoken_counts_where_splintr_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Encoding:
        def encode_ordinary(self, text: str) -> list[int]:
            if len(text) > 100_000:
                raise PanicException
            return [0] * len(text.split())

    hide(monkeypatch, "splintr")
    monkeypatch.setitem(sys.modules, "tiktoken", fake_tiktoken(lambda _: Encoding()))
    token_counter = counter.token_counter("gpt-4o")
    assert token_counter.exact
    assert token_counter.note is None
    tally = token_counter.tally(["one two", "x " * 60_000])
    assert tally.tokens.tolist() == [2, 60_000]
    assert tally.exact.tolist() == [True, False]


@pytest.mark.usefixtures("fresh_engines")
def test_a_fast_engine_with_different_counts_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Tokenizer:
        @staticmethod
        def from_pretrained(_: str) -> "Tokenizer":
            return Tokenizer()

        def encode_batch_flat(self, texts: list[str]) -> tuple[bytes, bytes]:
            return b"", np.arange(len(texts) + 1, dtype="<u8").tobytes()

        def encode_ordinary(self, text: str) -> list[int]:
            return [0] * len(text)

    module = ModuleType("splintr")
    module.Tokenizer = Tokenizer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "splintr", module)
    hide(monkeypatch, "tiktoken")
    assert not counter.token_counter("gpt-4o").exact


def test_the_approximation_has_the_error_its_docstring_states() -> None:
    splintr = pytest.importorskip("splintr")
    plain = [text for text in SAMPLES[3:12] for _ in range(3)]
    truth = engines.SplintrEngine(splintr.Tokenizer.from_pretrained("o200k_base")).count(plain)
    guess = engines.ApproximateEngine().count(plain)
    assert abs(guess.sum() / truth.sum() - 1) < 0.12
    assert engines.ApproximateEngine().count([" " * 1_000_000]).tolist() == [7_813]
