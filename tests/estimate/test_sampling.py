import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from batchframe._estimate.sampling import extended, sample_of


def test_a_sample_is_the_same_for_the_same_seed_and_repeats_no_row() -> None:
    one, again, other = (sample_of(10_000, 500, seed) for seed in (1, 1, 2))
    assert one.tolist() == again.tolist() != other.tolist()
    assert len(set(one.tolist())) == 500


def test_the_interval_holds_the_true_sum_about_99_times_in_100() -> None:
    random = np.random.default_rng(7)
    sizes = random.lognormal(5, 1, 3_000).astype(np.int64) + 20
    tokens = np.rint(sizes / 4.2 * random.normal(1, 0.15, 3_000)).astype(np.int64) + 1
    held = 0
    for seed in range(300):
        chosen = sample_of(3_000, 400, seed)
        _, span = extended(sizes, chosen, tokens[chosen])
        held += span.low <= int(tokens.sum()) <= span.high
    assert held >= 285


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(1, 200)), min_size=2, max_size=60))
def test_what_was_counted_is_kept_and_the_sum_is_that_of_the_requests(
    rows: list[tuple[int, int]],
) -> None:
    sizes, tokens = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    chosen = sample_of(len(rows), max(2, len(rows) // 2), seed=0)
    every, span = extended(sizes, chosen, tokens[chosen])
    assert every[chosen].tolist() == tokens[chosen].tolist()
    assert every.sum() == span.expected
    assert span.low <= span.expected <= span.high
    assert (every >= 1).all()


def test_small_requests_are_not_all_rounded_the_same_way() -> None:
    random = np.random.default_rng(3)
    sizes = np.full(20_000, 100)
    tokens = random.choice([4, 5], 20_000, p=[0.6, 0.4])
    held = 0
    for seed in range(30):
        chosen = sample_of(20_000, 2_000, seed)
        _, span = extended(sizes, chosen, tokens[chosen])
        held += span.low <= int(tokens.sum()) <= span.high
    assert held >= 28
