"""One account under several names: a job is found by its requests, and paid once."""

from __future__ import annotations

from typing import Any

import openai
import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from batchframe._services.accounts import address
from batchframe.errors import ClientError, SentElsewhere


def named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"OPENAI_PROJECT_ID": "proj_1"}),
        ({"OPENAI_ORG_ID": "org-1"}, {}),
        ({"OPENAI_PROJECT_ID": "proj_1"}, {"OPENAI_PROJECT_ID": "proj_2"}),
        ({"OPENAI_BASE_URL": "http://LOCALHOST:{port}/v1"}, {}),
        ({}, {"OPENAI_BASE_URL": "http://LocalHost:{port}/v1/"}),
    ],
    ids=["project", "organization", "projects", "capitals", "localhost"],
)
def test_another_name_of_the_account_finds_the_job_and_pays_nothing(
    first: dict[str, str],
    second: dict[str, str],
    requests: bf.Requests,
    server: batchframe.local.Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rename(environment: dict[str, str]) -> None:
        named(server.url, monkeypatch)
        for name in ("OPENAI_PROJECT_ID", "OPENAI_ORG_ID"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value.format(port=server.url.split(":")[2].split("/")[0]))

    rename(first)
    job = requests.submit("once")
    assert bf.job("once").wait().counts == {"ok": 3}
    rename(second)
    again = requests.submit("once")
    assert again.id == job.id
    assert len(bf.jobs()) == 1
    assert bf.job("once").refresh().counts == {"ok": 3}
    # A frame with more rows asks only those.
    more = pd.DataFrame({"text": ["a", "b", "c", "d"]})
    larger = more.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"]).submit("more")
    assert larger.wait().counts == {"ok": 4}
    assert [batch.requests for batch in server.ledger] == [3, 1]


def test_a_client_finds_the_job_that_the_environment_named_otherwise(
    requests: bf.Requests, server: batchframe.local.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    named(server.url.replace("127.0.0.1", "LOCALHOST"), monkeypatch)
    job = requests.submit("once").wait()
    again = requests.submit("once", client=openai.OpenAI())
    assert (again.id, len(server.ledger)) == (job.id, 1)


def test_a_job_whose_batch_the_client_does_not_see_is_told_and_nothing_is_sent(
    requests: bf.Requests, proxy: Any, server: batchframe.local.Server
) -> None:
    server.pause()
    mine = proxy.client()
    job = requests.submit("mine", client=mine)
    proxy.fail("GET", job.batches[0].id, "404 refused", times=99)
    other = mine.with_options(project="proj-other")
    seen = len(proxy.seen)
    with pytest.raises(SentElsewhere, match=r"'mine'.*\n?.*submit\(client=\.\.\.\).*rerun="):
        requests.submit("other", client=other)
    assert {method for method, _ in proxy.seen[seen:]} == {"GET"}
    assert len(bf.jobs()) == 1
    with pytest.raises(ClientError, match="proj-other"):
        bf.job("mine", client=other).refresh()
    # The two ways on.
    assert requests.submit("mine", client=mine).id == job.id
    assert requests.submit("other", client=other, rerun="again").id != job.id
    assert proxy.creates() == 2


def test_what_may_have_been_sent_under_another_name_is_not_sent_again(
    requests: bf.Requests, proxy: Any, server: batchframe.local.Server
) -> None:
    proxy.fail("POST", "/batches", "reset")
    with pytest.raises(bf.errors.SubmissionUncertain):
        requests.submit("once", client=proxy.client())
    with pytest.raises(SentElsewhere, match="once"):
        requests.submit("once", client=proxy.client().with_options(organization="org-1"))
    # The same address in other words needs no batch to be known.
    local = openai.OpenAI(base_url=proxy.url.replace("http", "HTTP"), api_key="local", timeout=1.0)
    with pytest.raises(bf.errors.SubmissionUncertain):
        requests.submit("once", client=local)
    assert proxy.creates() == 1
    assert server.ledger == []


def test_a_pilot_is_found_under_another_name_of_the_account(
    requests: bf.Requests, server: batchframe.local.Server
) -> None:
    client = server.client()
    first = requests.pilot(2, client=client)
    assert requests.pilot(2, client=client.with_options(project="proj_1")).job == first.job


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("HTTPS://API.OpenAI.com:443/v1/", "https://api.openai.com/v1", True),
        ("http://gateway:80/v1", "http://Gateway/v1", True),
        ("http://[::1]:8000/v1", "http://localhost:8000/v1", True),
        ("http://127.0.0.1:8000/v1", "http://LOCALHOST:8000/v1", True),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8001/v1", False),
        ("http://gateway/v1", "https://gateway/v1", False),
        ("http://gateway/v1", "http://gateway/V1", False),
        ("http://gateway:80x/v1", "http://gateway/v1", False),
        ("http://[::1/v1", "http://localhost/v1", False),
    ],
)
def test_addresses_are_compared_in_their_normal_form(one: str, other: str, alike: bool) -> None:
    assert (address(one) == address(other)) is alike
