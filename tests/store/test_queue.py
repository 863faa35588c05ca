"""Choice of the input files to send: queue and creates per hour."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.json import encode

from batchframe._store import events, journal, manifest, queue


def created(status: str, **options: Any) -> journal.InputFileState:
    """Return the state of an input file with a batch of this status."""
    batch = {"id": "b", "status": status}
    lines = b'{"event":"INTENT"}', encode({"event": "CREATED", "shard": 0, "batch": batch})
    (state,) = journal.replay(
        map(events.parse_event, lines), [manifest.InputFile(0, 1, 1, "")]
    ).inputs
    return replace(state, **options)


STATES = st.sampled_from(
    [
        journal.InputFileState(),
        journal.InputFileState(step="uploaded"),
        journal.InputFileState(step="creating"),
        created("in_progress"),
        created("completed", fetched=True),
        journal.InputFileState(step="dropped", fetched=True),
    ]
)


@given(
    parts=st.lists(st.tuples(STATES, st.integers(1, 50)), max_size=12),
    limit=st.one_of(st.none(), st.integers(1, 120)),
    is_requests=st.booleans(),
    elsewhere=st.integers(0, 60),
    creates=st.integers(0, 5),
)
def test_no_wave_exceeds_the_limit_and_none_waits_forever(
    parts: list[tuple[journal.InputFileState, int]],
    limit: int | None,
    is_requests: bool,
    elsewhere: int,
    creates: int,
) -> None:
    states = [state for state, _ in parts]
    files = [manifest.InputFile(0, n, 1, "", tokens=n) for _, n in parts]
    limits = queue.Load(None, limit) if is_requests else queue.Load(limit, None)
    room = queue.Queue(limits, queue.Load(elsewhere, elsewhere), creates)
    due_files = queue.due(files, states, room, now=10.0**6)
    new = [at for at in due_files if states[at].step in {"new", "uploaded"}]
    assert set(due_files) - set(new) == {i for i, s in enumerate(states) if s.step == "creating"}
    waiting = [i for i, s in enumerate(states) if s.step in {"new", "uploaded"}]
    assert new == waiting[: len(new)]
    assert len(new) <= creates
    active = [
        i
        for i, s in enumerate(states)
        if s.step == "creating" or (s.batch is not None and not s.batch.ended)
    ]
    queued = elsewhere + sum(files[i].tokens for i in [*active, *new])
    if limit is not None and queued > limit:
        assert not new or (len(new) == 1 and not active and not elsewhere)
    if waiting and creates and not active and limit is None:
        assert len(new) == min(len(waiting), creates)


def test_the_limit_of_two_thousand_creates_an_hour_is_kept() -> None:
    files = [manifest.InputFile(i, i + 1, 1, "", tokens=1) for i in range(2_500)]
    ended_lately = created("completed", attempts=1, creating_at=5_000.0)
    states: list[Any] = [ended_lately] * 1_990 + [journal.InputFileState()] * 510
    room = queue.Queue(queue.Load(None, None), queue.Load(), 2_000)
    assert len(queue.due(files, states, room, now=6_000.0)) == 10
    assert len(queue.due(files, states, room, now=9_000.0)) == 510
