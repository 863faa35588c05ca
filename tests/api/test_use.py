"""bf.use: one client for the kernel, which is never stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local


@pytest.fixture(autouse=True)
def _cleared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    yield
    bf.use(None)


def ask(rows: int = 12) -> bf.Requests:
    frame = pd.DataFrame({"text": [f"text {i}" for i in range(rows)]})
    return frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])


def test_everything_that_takes_a_client_falls_back_to_it(server: batchframe.local.Server) -> None:
    client = server.client()
    assert bf.use() is None
    assert bf.use(client) is client
    assert bf.use() is client
    plan = ask()
    pilot = plan.pilot(3)
    assert plan.estimate().requests == pilot.estimate.requests == 9
    job = plan.submit("by default").wait()
    assert job.done
    assert bf.job("by default").refresh().counts == {"ok": 12}
    assert bf.jobs(remote=True)["where"].tolist() == ["here", "here"]
    assert bf.recover() == []
    assert plan.moderate().rows == 12
    assert plan.compare(["gpt-4.1"])["low"].notna().all()


def test_a_client_that_is_passed_comes_first(server: batchframe.local.Server) -> None:
    with batchframe.local.serve() as other:
        bf.use(other.client())
        ask().submit("passed", client=server.client()).wait()
        assert (len(server.ledger), len(other.ledger)) == (1, 0)


def test_after_it_is_cleared_a_client_is_missing(server: batchframe.local.Server) -> None:
    bf.use(server.client())
    ask().submit("left")
    assert bf.use(None) is None
    with pytest.raises(bf.errors.ClientError, match=r"bf.use\(client\)"):
        bf.job("left").refresh()


def test_it_is_not_stored(server: batchframe.local.Server, home: Path) -> None:
    client = server.client().with_options(api_key="sk-secret-of-this-kernel")
    bf.use(client)
    ask().submit("stored").wait()
    files = [path for path in home.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"sk-secret-of-this" in path.read_bytes()]


def test_an_unsupported_client_is_refused_at_once() -> None:
    with pytest.raises(bf.errors.ClientError):
        bf.use("sk-not-a-client")
    assert bf.use() is None
