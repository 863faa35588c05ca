"""Input tokens of a frame's requests, counted or sampled."""

import itertools
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchframe as bf
import batchframe.local
from batchframe._estimate import counting, sampling
from batchframe.errors import CostError

IMAGE = "data:image/gif;base64,R0lGODlhHAJoAQ=="


@pytest.fixture(autouse=True)
def _exact_engine() -> None:
    pytest.importorskip("splintr")


def table(prompt: Any = "Rate the review: {{ text }}", rows: int = 40, **options: Any) -> Any:
    random = np.random.default_rng(3)
    words = ["the", "best", "times,", "naïve", "火车", "12345", "wouldn't", "<|endoftext|>"]
    texts = [" ".join(random.choice(words, random.integers(1, 30))) + f" {i}" for i in range(rows)]
    frame = pd.DataFrame({"text": texts, "mood": ["good", "bad"] * (rows // 2), "url": IMAGE})
    requests = frame.bf.requests(prompt, model=options.pop("model", "gpt-4.1"), **options)
    return requests._table


def truth(of: Any) -> list[int]:
    return [int(one) for one in counting._one_by_one(of, with_bar=False).tokens]


LONG = "Weigh the praise against the blame, and say nothing else. " * 8


@pytest.mark.parametrize(
    "prompt",
    [
        "{{ text }}",
        f"{LONG}\n\n{{{{ text }}}}\n\n{LONG}",
        f"{LONG}{{{{ mood }}}} {LONG}{{{{ text }}}}",
        [{"role": "user", "content": "{{ mood }}"}, {"role": "user", "content": "of {{ text }}"}],
        [{"role": "user", "content": [{"type": "text", "text": "Of {{ text | json }} only"}]}],
    ],
)
@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-4", "gpt-5.6-luna", "gpt-6-luna"])
def test_counting_constant_parts_once_equals_counting_each_request(prompt: Any, model: str) -> None:
    of = table(prompt, model=model, system="You judge reviews.", output=["+", "-"])
    assert counting.count_input(of, exact=True).tokens.tolist() == truth(of)


@pytest.mark.parametrize("system", ["You judge {{ mood }} reviews.", "You judge {{ mood }} ones"])
@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-5.6-luna"])
def test_a_schema_after_a_system_message_of_each_row_is_counted(system: str, model: str) -> None:
    of = table(model=model, system=system, output=["+", "-"])
    assert counting.count_input(of, exact=True).tokens.tolist() == truth(of)


def test_repeated_rows_are_counted_with_and_without_dedupe() -> None:
    frame = pd.DataFrame({"text": ["good", "bad"] * 6})
    once = frame.bf.requests("{{ text }}", model="gpt-4.1")._table
    each = frame.bf.requests("{{ text }}", model="gpt-4.1", dedupe=False)._table
    assert counting.count_input(once).tokens.tolist() == [8, 8]
    assert counting.count_input(each).tokens.tolist() == [8] * 12


def test_no_requests_have_no_tokens() -> None:
    frame = pd.DataFrame({"text": [None]}, dtype=object)
    of = frame.bf.requests("{{ text }}", model="gpt-4.1", on_missing="skip")._table
    for exact in (None, True, False):
        assert counting.count_input(of, exact=exact).total.expected == 0


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lower the number of requests from which the counter samples."""
    monkeypatch.setattr(counting, "_FEW_BYTES", 0)
    monkeypatch.setattr(counting, "_SAMPLE", 120)
    monkeypatch.setattr(counting, "_PROBE", 30)
    return table(rows=600)


def seconds_each(second: float) -> Any:
    return itertools.count(step=second).__next__


def test_a_slow_count_uses_a_sample_and_shows_its_interval(
    many: Any,
) -> None:
    count = counting.count_input(many, clock=seconds_each(60.0))
    assert not count.exact
    assert count.total.low < count.total.expected < count.total.high
    assert count.total.low <= sum(truth(many)) <= count.total.high
    assert len(count.tokens) == 600
    assert "99% interval" in count.notes[0]
    assert "estimate(exact=True)" in count.notes[0]


def test_giants_among_small_requests_are_all_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "_FEW_BYTES", 0)
    monkeypatch.setattr(counting, "_SAMPLE", 120)
    monkeypatch.setattr(counting, "_PROBE", 30)
    texts = [f"short {row}" for row in range(2_000)]
    for row in (7, 700, 1_999):
        # Many tokens per byte, which the small requests do not predict.
        texts[row] = f"{row} " + "%$#@! " * 20_000
    requests = pd.DataFrame({"t": texts}).bf.requests("{{ t }}", model="gpt-4.1")
    count = counting.count_input(requests._table, exact=False, clock=seconds_each(60.0))
    everything = counting.count_input(requests._table, exact=True)
    assert count.total.low <= everything.total.expected <= count.total.high
    assert count.tokens[[7, 700, 1_999]].tolist() == everything.tokens[[7, 700, 1_999]].tolist()


def test_a_slow_first_probe_does_not_cause_sampling(many: Any) -> None:
    ticks = iter([0.0, 0.001])
    # If the clock were read before the warm-up, it would run out.
    assert counting.count_input(many, clock=lambda: next(ticks)).exact


def test_a_fast_count_is_exact(many: Any) -> None:
    count = counting.count_input(many, clock=seconds_each(0.001))
    assert count.exact
    assert count.tokens.tolist() == truth(many)


def test_exact_true_counts_all_requests(many: Any) -> None:
    count = counting.count_input(many, exact=True, clock=seconds_each(60.0))
    assert count.exact
    assert count.total.low == count.total.high == sum(truth(many))


def test_a_sample_is_the_same_every_time(many: Any) -> None:
    one, again = (
        counting.count_input(many, exact=False, clock=seconds_each(60.0)) for _ in range(2)
    )
    assert one.tokens.tolist() == again.tokens.tolist()
    assert one.total == again.total


def test_an_exact_count_is_kept_for_later_estimates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exact_values: list[bool | None] = []

    def counted(_: Any, *, exact: bool | None = None) -> Any:
        exact_values.append(exact)
        tokens = np.array([9])
        return counting.InputTokens(tokens, tokens - 2, tokens + 2, exact=False, notes=(), chance=2)

    monkeypatch.setattr("batchframe._api.requests.count_input", counted)
    requests = pd.DataFrame({"t": ["a"]}).bf.requests("{{ t }}", model="gpt-4.1")
    assert requests.estimate().input_tokens.high == 11
    requests.estimate(exact=True)
    requests.estimate(exact=True)
    assert exact_values == [None, True]


def test_the_range_of_the_input_reaches_the_cost() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    prompt = [{"role": "user", "content": [{"type": "text", "text": "{{ t }}"}, image]}]
    frame = pd.DataFrame({"t": ["a", "b"]})
    requests = frame.bf.requests(prompt, model="gpt-4.1", output=["x"])
    count = requests.estimate(prices={"input": 1_000_000, "output": 0})
    tokens = count.input_tokens
    assert tokens.low < tokens.expected < tokens.high
    assert (count.cost.low, count.cost.expected, count.cost.high) == (
        tokens.low, tokens.expected, tokens.high
    )  # fmt: skip


def test_images_in_cells_are_counted_by_their_own_size() -> None:
    parts = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "{{ url }}", "detail": "high"}},
    ]
    of = table([{"role": "user", "content": parts}], rows=2, dedupe=False)
    count = counting.count_input(of)
    assert not count.exact
    assert count.tokens.tolist() == [3 + 1 + 4 + 85 + 2 * 170 + 3] * 2
    assert any("Images are counted" in note for note in count.notes)


def test_a_constant_image_beside_a_text_is_counted_once_and_its_range_kept() -> None:
    parts = [
        {"type": "text", "text": "{{ text }}"},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
    ]
    of = table([{"role": "user", "content": parts}], rows=10)
    count = counting.count_input(of)
    assert count.tokens.tolist() == truth(of)
    assert count.total.low == count.total.expected - 10 * (765 - 255)
    assert count.total.high == count.total.expected + 10 * (1445 - 765)


def test_an_unbounded_input_has_no_upper_bound() -> None:
    parts = [{"type": "text", "text": "{{ text }}"}, {"type": "file", "file": {"file_id": "f"}}]
    count = counting.count_input(table([{"role": "user", "content": parts}], rows=2))
    assert count.total.high is None
    assert count.high is None


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=50), st.floats(0.2, 5))
def test_scaled_tokens_sum_to_the_total(tokens: list[int], factor: float) -> None:
    total = round(sum(tokens) * factor)
    parts = counting.scaled(np.array(tokens, np.int64), total)
    assert parts.sum() == total
    assert (parts >= 0).all()


def test_each_of_many_rows_has_the_tokens_of_its_own_text() -> None:
    # Many batches, and neighboring rows differ.
    word_counts = [1 + (row * 7) % 13 for row in range(6_000)]
    frame = pd.DataFrame({"text": [f"{row} " + "a " * n for row, n in enumerate(word_counts)]})
    requests = bf.requests(frame, "{{ text }}", model="gpt-4.1")._table
    tokens = counting.count_input(requests, exact=True).tokens
    for row in (0, 999, 1_000, 2_500, 4_321, 5_999):
        alone = bf.requests(frame.iloc[[row]], "{{ text }}", model="gpt-4.1")._table
        assert tokens[row] == counting.count_input(alone, exact=True).tokens[0]


def test_a_sample_is_the_same_for_the_same_seed_and_repeats_no_row() -> None:
    one, again, other = (sampling.sample_of(10_000, 500, seed) for seed in (1, 1, 2))
    assert one.tolist() == again.tolist() != other.tolist()
    assert len(set(one.tolist())) == 500


def test_the_interval_contains_the_true_sum_about_99_times_in_100() -> None:
    random = np.random.default_rng(7)
    sizes = random.lognormal(5, 1, 3_000).astype(np.int64) + 20
    tokens = np.rint(sizes / 4.2 * random.normal(1, 0.15, 3_000)).astype(np.int64) + 1
    hits = 0
    for seed in range(300):
        sample = sampling.sample_of(3_000, 400, seed)
        _, span = sampling.extrapolate(sizes, sample, tokens[sample])
        hits += span.low <= int(tokens.sum()) <= span.high
    assert hits >= 285


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(1, 200)), min_size=2, max_size=60))
def test_counted_requests_are_exact_and_the_sum_matches(
    rows: list[tuple[int, int]],
) -> None:
    sizes, tokens = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    sample = sampling.sample_of(len(rows), max(2, len(rows) // 2), seed=0)
    every, span = sampling.extrapolate(sizes, sample, tokens[sample])
    assert every[sample].tolist() == tokens[sample].tolist()
    assert every.sum() == span.expected
    assert span.low <= span.expected <= span.high
    assert (every >= 1).all()


def test_small_requests_are_not_all_rounded_the_same_way() -> None:
    random = np.random.default_rng(3)
    sizes = np.full(20_000, 100)
    tokens = random.choice([4, 5], 20_000, p=[0.6, 0.4])
    hits = 0
    for seed in range(30):
        sample = sampling.sample_of(20_000, 2_000, seed)
        _, span = sampling.extrapolate(sizes, sample, tokens[sample])
        hits += span.low <= int(tokens.sum()) <= span.high
    assert hits >= 28


@pytest.mark.usefixtures("many")
def test_a_limit_counts_every_row_of_a_submission_and_a_pilot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(counting.count_input.__kwdefaults__, "patience", 0.0)
    frame = pd.DataFrame({"text": [f"row {row} " + "%$#@! " * (row % 7) for row in range(600)]})
    requests = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["good", "bad"])
    with batchframe.local.serve() as server:
        client = server.client()
        assert "99% interval" in " ".join(requests.estimate(client=client).notes)
        exact = requests.estimate(client=client, exact=True)
        for cost, send in (
            (exact.cost, requests.submit),
            (exact.standard_cost, lambda **options: requests.pilot(600, **options)),
        ):
            assert cost is not None
            with pytest.raises(CostError, match=re.escape(f"may reach ${cost.high:f}")):
                send(max_cost=0, client=client)
