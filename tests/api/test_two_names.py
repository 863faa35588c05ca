"""Jobs that share a name, and a job with two names."""

from __future__ import annotations

import warnings

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local


def ask(model: str = "gpt-4.1") -> bf.Requests:
    frame = pd.DataFrame({"text": ["one", "two", "three"]})
    return frame.bf.requests("{{ text }}", model=model, output=["+", "-"])


@pytest.fixture
def namesakes(server: batchframe.local.Server) -> tuple[bf.Job, bf.Job]:
    """Return two jobs named "movies"; the name finds the second."""
    server.pause()
    first = ask().submit("movies", client=server.client())
    with pytest.warns(bf.errors.NamesakeWarning):
        second = ask("gpt-4.1-mini").submit("movies", client=server.client())
    return first, second


def test_the_card_of_a_shadowed_job_leads_to_that_job(namesakes: tuple[bf.Job, bf.Job]) -> None:
    first, second = namesakes
    assert bf.job("movies").id == second.id
    assert f"bf.job('{first.id}')" in repr(first)
    assert "bf.job('movies')" not in repr(first)
    assert first.id in repr(first).splitlines()[0]
    assert "bf.job('movies')" in repr(second)


def test_the_errors_of_a_shadowed_job_lead_to_that_job(namesakes: tuple[bf.Job, bf.Job]) -> None:
    first, _ = namesakes
    with pytest.raises(bf.errors.ClientError) as excinfo:
        bf.job(first.id).refresh()
    assert f"bf.job('{first.id}', client=...)" in str(excinfo.value)
    with pytest.raises(bf.errors.JobTimeout) as timeout:
        first.wait(0.1)
    assert f"bf.job('{first.id}').wait()" in str(timeout.value)
    assert "'movies'" not in str(timeout.value)


def test_a_second_submit_under_another_name_keeps_both(server: batchframe.local.Server) -> None:
    client = server.client()
    job = ask().submit("first name", client=client).wait()
    with pytest.warns(bf.errors.NamesakeWarning, match="also found as 'second name'"):
        again = ask().submit("second name", client=client)
    assert again.id == job.id
    assert bf.job("first name").id == bf.job("second name").id == job.id
    assert job.name == "second name"
    assert len(server.ledger) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("first name", "second name", None):
            assert ask().submit(name, client=client).name == (name or "second name")
    with pytest.raises(bf.errors.JobError, match="Did you mean 'second name'"):
        bf.job("second names")


def test_a_second_name_gives_way_to_the_job_that_has_it_first(
    server: batchframe.local.Server,
) -> None:
    client = server.client()
    older = ask().submit("older", client=client)
    newer = ask("gpt-4.1-mini").submit("newer", client=client)
    with pytest.warns(bf.errors.NamesakeWarning):
        ask().submit("newer", client=client)
    assert bf.job("newer").id == newer.id
    assert bf.job("older").id == older.id
