"""Which profile a client gets, what may be changed in one, and how long a job keeps it."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import openai
import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from batchframe._services import connect, provider
from batchframe.errors import ClientError, CostError, RequestError
from tests.support.job_folders import read_manifest
from tests.support.profiles import change_local


def azure(**how: Any) -> openai.AzureOpenAI:
    given = {"azure_endpoint": "https://acme.openai.azure.com", "api_version": "1", **how}
    return openai.AzureOpenAI(api_key="any", **given)


def ask(*texts: str, **how: Any) -> bf.Requests:
    frame = pd.DataFrame({"text": list(texts or ("a",))})
    return frame.bf.requests("{{ text }}", **{"model": "any-model", **how})


@pytest.mark.parametrize(
    ("base_url", "key"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://eu.api.openai.com/v1", "openai"),
        ("https://acme.openai.azure.com/openai/v1/", "azure"),
        ("https://acme.cognitiveservices.azure.com/openai", "azure"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("https://api.together.xyz/v1", "together"),
        ("https://api.deepinfra.com/v1/openai", "deepinfra"),
        ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "dashscope"),
        ("https://llm.example.com/v1", "other"),
        ("https://api.openai.com.example.com/v1", "other"),
        ("https://notapi.groq.com.evil.org/v1", "other"),
        ("http://10.0.0.7:8000/v1", "self-hosted"),
        ("http://vllm:8000/v1", "self-hosted"),
        ("https://gateway.internal/v1", "self-hosted"),
        ("http://127.0.0.1:8000/v1", "local"),
        ("http://[::1]:8000/v1", "local"),
        ("", "other"),
    ],
)
def test_the_profile_follows_from_the_address(base_url: str, key: str) -> None:
    assert provider.profile_of(base_url).key == key


def test_the_profile_follows_from_the_class_of_the_client() -> None:
    assert connect.expected_profile(azure()).key == "azure"
    gateway = openai.AzureOpenAI(
        base_url="https://apim.example.com", api_version="1", api_key="any"
    )
    assert connect.expected_profile(gateway).key == "azure"
    assert connect.expected_profile(openai.OpenAI(api_key="any")).key == "openai"


def test_only_openai_s_list_proves_that_a_batch_does_not_exist() -> None:
    complete = {key for key, known in provider._NAMED.items() if known.list_is_complete}
    assert complete == {"openai"}


def test_azure_is_asked_once_a_minute_and_takes_100_000_requests_a_file() -> None:
    known = connect.expected_profile(azure())
    assert (known.first_poll, known.last_poll, known.max_requests) == (60.0, 60.0, 100_000)
    assert not known.expires
    assert known.url_of("/v1/chat/completions") == "/chat/completions"


def test_every_profile_says_where_its_facts_are_from() -> None:
    for known in provider._NAMED.values():
        assert known.source, known.key


def test_what_is_given_wins_over_the_address() -> None:
    given = bf.provider("groq", window="7d")
    assert connect.expected_profile(azure(), given) is given
    assert connect.expected_profile(azure(), "groq").key == "groq"


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("grok", {}, "Did you mean 'groq'"),
        (None, {}, "one of 'openai'"),
        (["groq"], {}, "one of 'openai'"),
        ("groq", {"windo": "7d"}, "Did you mean 'window'"),
        ("groq", {"window": "8d"}, 'from "24h" to "7d"'),
        ("groq", {"window": "soon"}, 'from "24h" to "7d"'),
        ("openai", {"window": "7d"}, '"24h", which OpenAI supports'),
        ("groq", {"windows": "24h"}, "a tuple of strings"),
        ("groq", {"endpoints": ["/v1/embeddings"]}, "a tuple of strings"),
        ("groq", {"max_requests": 0}, "an int of at least 1"),
        ("groq", {"max_bytes": 1.5}, "an int"),
        ("groq", {"first_poll": float("nan")}, "a number of at least 0.001"),
        ("groq", {"max_requests": True}, "an int"),
        ("groq", {"max_requests": None}, "an int"),
        ("groq", {"first_poll": None}, "a number"),
        ("groq", {"purpose": None}, "a string"),
        ("groq", {"list_is_complete": "no"}, "True or False"),
        ("groq", {"urls": None}, "with or without"),
        ("groq", {"urls": {"/v1/embeddings": "/elsewhere"}}, "with or without"),
        ("groq", {"discount": 0.5}, "a Decimal"),
        ("groq", {"discount": Decimal(2)}, "from 0 to 1"),
        ("groq", {"discount": Decimal("NaN")}, "from 0 to 1"),
    ],
)
def test_a_profile_that_no_service_could_have_is_refused(
    name: Any, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(RequestError, match=words):
        bf.provider(name, **changes)


@pytest.mark.parametrize("given", [7, {"key": "groq"}, bf.Provider])
def test_what_is_no_profile_is_refused_with_an_example(given: Any) -> None:
    with pytest.raises(RequestError, match=r'bf\.provider\("groq"'):
        ask().submit(provider=given)


@pytest.mark.parametrize(
    ("client", "words"),
    [
        (openai.AsyncOpenAI(api_key="any"), r"not a synchronous .* \(AsyncOpenAI\)"),
        (
            openai.AsyncAzureOpenAI(azure_endpoint="https://a.b", api_version="1", api_key="any"),
            r"not a synchronous openai\.OpenAI or openai\.AzureOpenAI \(AsyncAzureOpenAI\)",
        ),
        (openai.OpenAI, "openai.OpenAI"),
        ("sk-123", r"\(str\)"),
        (openai, r"\(module\)"),
    ],
)
def test_another_kind_of_client_is_refused_with_what_to_pass(client: Any, words: str) -> None:
    for verb in (ask().submit, ask().estimate, ask().pilot):
        with pytest.raises(ClientError, match=words):
            verb(client=client)


def test_an_azure_client_made_for_a_deployment_has_the_same_account() -> None:
    identity = connect.expected_identity(azure())
    assert identity == connect.expected_identity(azure(azure_deployment="mine"))
    assert identity.base_url == "https://acme.openai.azure.com/openai"


@pytest.mark.parametrize(
    ("host", "name"), [("openrouter.ai/api", "OpenRouter"), ("api.x.ai", "xAI")]
)
def test_a_service_whose_batches_have_another_shape_is_refused_before_anything_is_sent(
    host: str, name: str, home: Path
) -> None:
    client = openai.OpenAI(base_url=f"https://{host}/v1", api_key="any")
    with pytest.raises(RequestError, match=f"{name} takes batches .*, not as files"):
        ask().submit(client=client)
    assert not home.exists()


def test_an_endpoint_without_batches_is_refused_and_can_be_allowed(home: Path) -> None:
    with pytest.raises(RequestError, match="Groq is not known to have batches for") as caught:
        ask(endpoint="/v1/embeddings").submit(client=groq())
    assert 'bf.provider("groq", endpoints=None)' in str(caught.value).replace("'", '"')
    assert not home.exists()


def groq() -> openai.OpenAI:
    return openai.OpenAI(base_url="https://api.groq.com/openai/v1", api_key="any")


def test_the_limits_of_a_file_come_from_the_profile() -> None:
    texts = [f"{number:09d}" * 100 for number in range(300)]
    small = bf.provider("groq", max_bytes=100_000)
    assert ask(*texts).estimate(client=groq()).files == 1
    assert ask(*texts).estimate(client=groq(), provider=small).files > 3
    few = bf.provider("groq", max_requests=100)
    assert ask(*texts).estimate(client=groq(), provider=few).files == 3


def test_a_row_too_large_for_the_service_names_it() -> None:
    tiny = bf.provider("groq", max_bytes=200)
    with pytest.raises(RequestError, match="Groq"):
        ask("a" * 300).submit(client=groq(), provider=tiny)


def test_the_estimate_says_whose_price_it_does_not_know_and_max_cost_refuses() -> None:
    asked = ask(output=["+", "-"], max_completion_tokens=5)
    known = asked.estimate(client=groq())
    assert known.cost is None
    assert any("any-model at Groq is unknown" in note for note in known.notes)
    with pytest.raises(CostError):
        asked.submit(client=groq(), max_cost=1)


def test_an_openai_model_behind_an_unknown_gateway_has_no_price_of_openai_s() -> None:
    client = openai.OpenAI(base_url="https://llm.example.com/v1", api_key="any")
    asked = ask(model="gpt-4.1", output=["+", "-"])
    assert asked.estimate(client=client).cost is None
    assert asked.estimate(client=client, provider="openai").cost is not None
    mine = {"input": "1", "output": "2"}
    assert asked.estimate(client=client, prices=mine).cost is not None


def test_deepinfra_s_discount_is_20_percent_of_a_given_standard_price() -> None:
    client = openai.OpenAI(base_url="https://api.deepinfra.com/v1/openai", api_key="any")
    asked = ask(output=["+", "-"])
    known = asked.estimate(client=client)
    assert known.cost is None
    assert any("takes 20% off" in note for note in known.notes)
    given = asked.estimate(client=client, prices={"standard": {"input": "1", "output": "1"}})
    assert given.cost is not None
    assert given.standard_cost is not None
    assert given.cost.low == given.standard_cost.low * Decimal("0.8")


def test_compare_asks_the_provider_s_prices() -> None:
    costs = ask(output=["+", "-"]).compare(["openai/gpt-oss-120b", "gpt-4.1"], client=groq())
    assert costs["low"]["openai/gpt-oss-120b", "batch"] > 0
    assert pd.isna(costs["low"]["gpt-4.1", "batch"])


def test_a_job_keeps_its_profile_in_its_folder_whatever_the_table_says_later(
    server: batchframe.local.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = bf.provider("self-hosted", max_requests=1, name="Ours", first_poll=0.1, last_poll=0.3)
    server.pause()
    job = ask("a", "b").submit("kept", client=server.client(), provider=given)
    assert len(job.batches) == 2
    change_local(monkeypatch, max_requests=50)
    server.resume()
    again = bf.job("kept", client=server.client()).wait()
    assert read_manifest(again)["provider"] == msgspec.json.decode(msgspec.json.encode(given))
    # The cell that runs again without it finds the same job, and its parts.
    assert ask("a", "b").submit("kept", client=server.client()).id == job.id
    assert read_manifest(again)["provider"] == msgspec.json.decode(msgspec.json.encode(given))
    assert len(server.ledger) == 2


def test_a_job_of_an_earlier_version_follows_its_address(
    server: batchframe.local.Server,
) -> None:
    job = ask().submit("old", client=server.client()).wait()
    path = job.folder / "manifest.json"
    told = json.loads(path.read_bytes())
    del told["provider"]
    path.write_text(json.dumps(told))
    assert bf.job("old")._record.manifest.provider.key == "local"
    assert bf.job("old").counts == {"ok": 1}


def test_a_profile_that_was_damaged_is_told(server: batchframe.local.Server) -> None:
    job = ask().submit("bad", client=server.client()).wait()
    path = job.folder / "manifest.json"
    told = json.loads(path.read_bytes())
    told["provider"]["max_requests"] = -1
    path.write_text(json.dumps(told))
    with pytest.raises(bf.errors.JobError, match="max_requests"):
        bf.job(job.folder).counts  # noqa: B018 - looking is what raises


def test_a_job_that_was_not_sent_is_divided_anew_under_another_profile(
    server: batchframe.local.Server,
) -> None:
    server.faults.add(batchframe.local.Fault("POST /v1/files", 503, times=float("inf")))
    client = server.client().with_options(max_retries=0)
    with pytest.raises(bf.errors.ServiceError):
        ask("a", "b").submit("moved", client=client)
    server.faults.clear()
    one = bf.provider("self-hosted", max_requests=1)
    job = ask("a", "b").submit("moved", client=client, provider=one)
    assert len(job.batches) == 2


def test_an_azure_price_is_less_by_what_azure_states() -> None:
    asked = ask(model="gpt-4o", output=["+", "-"])
    known = asked.estimate(client=azure())
    assert known.cost is not None
    assert known.standard_cost is not None
    assert known.cost.low * 2 == known.standard_cost.low
    assert any("your deployment may run another model" in note for note in known.notes)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OPENAI_BASE_URL": "http://127.0.0.1:8000/v1/"},
        {"OPENAI_BASE_URL": "http://user:secret@127.0.0.1:8000/v1?token=secret"},
        {"OPENAI_ORG_ID": "org-1", "OPENAI_PROJECT_ID": "proj_1"},
    ],
)
def test_the_environment_names_the_account_that_its_client_has(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    expected = connect.expected_identity()
    assert expected == connect.connect().identity
    assert "secret" not in repr(expected)
    monkeypatch.delenv("OPENAI_API_KEY")
    assert connect.expected_identity() == expected
