"""One account under several names: a job is found by its requests."""

from __future__ import annotations

from typing import Any

import openai
import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from batchframe._services.accounts import address
from batchframe.errors import ClientError, RequestError, SentElsewhere
from batchframe.local import Fault


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
def test_another_name_of_the_account_finds_the_job_at_no_cost(
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
    # A frame with more rows sends only those.
    more = pd.DataFrame({"text": ["a", "b", "c", "d"]})
    larger = more.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"]).submit("more")
    assert larger.wait().counts == {"ok": 4}
    assert [batch.requests for batch in server.ledger] == [3, 1]


def test_a_client_finds_a_job_submitted_with_other_environment_variables(
    requests: bf.Requests, server: batchframe.local.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    named(server.url.replace("127.0.0.1", "LOCALHOST"), monkeypatch)
    job = requests.submit("once").wait()
    again = requests.submit("once", client=openai.OpenAI())
    assert (again.id, len(server.ledger)) == (job.id, 1)


def test_a_job_whose_batch_the_client_does_not_see_raises_and_sends_nothing(
    requests: bf.Requests, proxy: Any, server: batchframe.local.Server
) -> None:
    server.pause()
    mine = proxy.client()
    job = requests.submit("mine", client=mine)
    proxy.fail("GET", job.batches[0].id, "404 refused", times=99)
    other = mine.with_options(project="proj-other")
    calls = len(proxy.calls)
    with pytest.raises(SentElsewhere, match=r"'mine'.*\n?.*submit\(client=\.\.\.\).*rerun="):
        requests.submit("other", client=other)
    assert {method for method, _ in proxy.calls[calls:]} == {"GET"}
    assert len(bf.jobs()) == 1
    with pytest.raises(ClientError, match="proj-other"):
        bf.job("mine", client=other).refresh()
    # The two fixes.
    assert requests.submit("mine", client=mine).id == job.id
    assert requests.submit("other", client=other, rerun="again").id != job.id
    assert proxy.creates() == 2


@pytest.mark.parametrize("created", [False, True])
@pytest.mark.parametrize("name", ["localhost", "organization", "project"])
def test_an_uncertain_job_is_found_by_its_input_file(
    name: str, created: bool, requests: bf.Requests, proxy: Any, server: batchframe.local.Server
) -> None:
    server.faults.add(Fault("GET /v1/batches", "lag", looks=10**6))
    proxy.fail("POST", "/batches", "500" if created else "reset", after=created)
    client = proxy.client()
    with pytest.raises(bf.errors.SubmissionUncertain):
        requests.submit("once", client=client)
    base_url = proxy.url.replace("127.0.0.1", "localhost")
    other = client.with_options(
        **{"localhost": {"base_url": base_url}}.get(name, {name: "another"})
    )
    with pytest.raises(bf.errors.SubmissionUncertain, match="once"):
        requests.submit("once", client=other)
    # More rows do not send the same ones under another name, either.
    more = pd.DataFrame({"text": ["a", "b", "c", "d"]})
    larger = more.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])
    with pytest.raises(RequestError, match="'once'"):
        larger.submit("more", client=other)
    assert proxy.creates() == 1
    server.faults.clear()
    if created:
        assert requests.submit("once", client=other).wait().counts == {"ok": 3}
    else:
        job = bf.job("once", client=other).resume(recreate=True)
        assert job.wait().counts == {"ok": 3}
    assert len(server.ledger) == 1


def test_an_uncertain_job_of_another_account_name_is_not_sent_again(
    requests: bf.Requests, proxy: Any, server: batchframe.local.Server
) -> None:
    proxy.fail("POST", "/batches", "reset")
    with pytest.raises(bf.errors.SubmissionUncertain):
        requests.submit("once", client=proxy.client())
    server.faults.add(Fault("GET /v1/files/{id}", 404))
    with pytest.raises(SentElsewhere, match=r"'once'.*\n?.*submit\(client=\.\.\.\).*rerun="):
        requests.submit("once", client=proxy.client().with_options(organization="org-1"))
    # The same address in another spelling is recognized without a batch.
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
def test_base_urls_are_normalized_before_comparison(one: str, other: str, alike: bool) -> None:
    assert (address(one) == address(other)) is alike
