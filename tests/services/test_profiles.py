"""Provider profiles: selection, changes and storage with the job."""

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
    options = {"azure_endpoint": "https://acme.openai.azure.com", "api_version": "1", **how}
    return openai.AzureOpenAI(api_key="any", **options)


def ask(*texts: str, **options: Any) -> bf.Requests:
    frame = pd.DataFrame({"text": list(texts or ("a",))})
    return frame.bf.requests("{{ text }}", **{"model": "any-model", **options})


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
        ("https://ws-1.ap-southeast-1.maas.aliyuncs.com/compatible-mode/v1", "dashscope"),
        ("https://api.tokenfactory.nebius.com/v1/", "nebius"),
        ("https://api.siliconflow.cn/v1", "siliconflow"),
        ("https://api.moonshot.ai/v1", "moonshot"),
        ("https://api.scaleway.ai/v1", "scaleway"),
        ("https://inference.do-ai.run/v1", "digitalocean"),
        ("https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1", "bedrock"),
        ("https://x1.execute-api.us-west-2.amazonaws.com/v1", "other"),
        ("https://us-east5-aiplatform.googleapis.com/v1", "vertex"),
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
    complete = {key for key, profile in provider._NAMED.items() if profile.list_is_complete}
    assert complete == {"openai"}


def test_azure_is_polled_once_a_minute_and_takes_100_000_requests_a_file() -> None:
    profile = connect.expected_profile(azure())
    assert (profile.first_poll, profile.last_poll, profile.max_requests) == (60.0, 60.0, 100_000)
    assert not profile.expires
    assert profile.url_of("/v1/chat/completions") == "/chat/completions"


def test_every_profile_cites_its_sources() -> None:
    for profile in provider._NAMED.values():
        assert profile.source, profile.key


def test_a_given_profile_takes_precedence_over_the_address() -> None:
    profile = bf.provider("groq", window="7d")
    assert connect.expected_profile(azure(), profile) is profile
    assert connect.expected_profile(azure(), "groq").key == "groq"


@pytest.mark.parametrize(
    ("name", "changes", "fragment"),
    [
        ("grok", {}, "Did you mean 'groq'"),
        (None, {}, "one of 'openai'"),
        (["groq"], {}, "one of 'openai'"),
        ("groq", {"windo": "7d"}, "Did you mean 'window'"),
        ("groq", {"window": "8d"}, 'from "24h" to "7d"'),
        ("groq", {"window": "soon"}, 'from "24h" to "7d"'),
        ("openai", {"window": "7d"}, '"24h", which OpenAI supports'),
        ("groq", {"windows": "24h"}, "a pair of hours or days"),
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
        ("groq", {"discounted_models": ["a"]}, "a tuple of strings"),
        ("together", {"uploads_by_redirect": None}, "True or False"),
    ],
)
def test_an_impossible_profile_is_refused(
    name: Any, changes: dict[str, Any], fragment: str
) -> None:
    with pytest.raises(RequestError, match=fragment):
        bf.provider(name, **changes)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("anthropic", "own API"), ("batchlane", "loses the answers"), ("digitalocean", "presigned")],
)
def test_the_name_of_a_service_without_uploaded_files_says_why(name: str, reason: str) -> None:
    with pytest.raises(RequestError, match=rf"takes batches .*{reason}.*, not as uploaded files"):
        bf.provider(name)


def test_a_job_of_6000_rows_has_two_files_where_a_file_has_5000(home: Path) -> None:
    frame = pd.DataFrame({"text": [f"{number}" for number in range(6_000)]})
    requests = frame.bf.requests("{{ text }}", model="any-model")
    assert len(requests.to_jsonl(home, provider=bf.provider("siliconflow"))) == 2
    assert len(requests.to_jsonl(home / "one", provider=bf.provider("nebius"))) == 1


def test_the_estimate_notes_the_terms_of_the_provider() -> None:
    def notes(name: str, model: str = "any-model", **changes: Any) -> str:
        profile = bf.provider(name, **changes)
        return " ".join(ask("a b c", "d e f", model=model).estimate(provider=profile).notes)

    assert "SiliconFlow answers within 24h, and keeps results for 30 days." in notes("siliconflow")
    assert "Groq answers within 7d." in notes("groq", window="7d")
    assert "not among the models that Groq discounts" in notes("groq", "moonshotai/kimi-k2")
    assert "not among the models" not in notes("groq", "llama-3.3-70b-versatile")
    assert "Azure OpenAI answers in its own time." in notes("azure")
    limited = notes("openai", "gpt-4.1", max_enqueued_tokens=10)
    assert "Sent in about 2 waves: the queue takes 10 input tokens" in limited
    kept = "OpenAI answers within 24h at 50% of the standard price, and keeps results for 30 days."
    assert kept in notes("openai", "gpt-4.1")
    assert "Groq answers within 24h at 50% of the" in notes("groq", "llama-3.3-70b-versatile")
    for name in ("other", "self-hosted"):
        assert "answers within" not in notes(name, "gpt-4.1")


def test_a_discount_covers_the_models_that_are_listed() -> None:
    listed, other = "llama-3.3-70b-versatile", "moonshotai/kimi-k2"
    groq, standard = bf.provider("groq"), {"standard": {"input": "0.60", "output": "0.80"}}
    costs = {
        model: ask(model=model).estimate(provider=groq, prices=standard).cost
        for model in (listed, other)
    }
    assert costs[other] is None
    assert costs[listed] is not None
    all_of_them = bf.provider("groq", discounted_models=None)
    assert ask(model=other).estimate(provider=all_of_them, prices=standard).cost is not None


@pytest.mark.parametrize("value", [7, {"key": "groq"}, bf.Provider])
def test_an_invalid_profile_is_refused_with_an_example(value: Any) -> None:
    with pytest.raises(RequestError, match=r'bf\.provider\("groq"'):
        ask().submit(provider=value)


@pytest.mark.parametrize(
    ("client", "fragment"),
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
def test_another_kind_of_client_is_refused_with_the_right_one(client: Any, fragment: str) -> None:
    for verb in (ask().submit, ask().estimate, ask().pilot):
        with pytest.raises(ClientError, match=fragment):
            verb(client=client)


def test_an_azure_client_made_for_a_deployment_has_the_same_account() -> None:
    identity = connect.expected_identity(azure())
    assert identity == connect.expected_identity(azure(azure_deployment="mine"))
    assert identity.base_url == "https://acme.openai.azure.com/openai"


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("openrouter.ai/api", "OpenRouter"),
        ("api.x.ai", "xAI"),
        ("bedrock-runtime.eu-west-1.amazonaws.com", "Amazon Bedrock"),
        ("api.scaleway.ai", "Scaleway"),
    ],
)
def test_a_service_with_an_incompatible_batch_api_is_refused_before_anything_is_sent(
    host: str, name: str, home: Path
) -> None:
    client = openai.OpenAI(base_url=f"https://{host}/v1", api_key="any")
    with pytest.raises(RequestError, match=f"{name} takes batches .*, not as uploaded files"):
        ask().submit(client=client)
    assert not home.exists()


def test_an_endpoint_without_batches_is_refused_and_can_be_allowed(home: Path) -> None:
    with pytest.raises(RequestError, match="Groq is not known to support batches of") as excinfo:
        ask(endpoint="/v1/embeddings").submit(client=groq())
    assert 'bf.provider("groq", endpoints=None)' in str(excinfo.value).replace("'", '"')
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


def test_a_row_above_the_limit_of_the_service_is_named() -> None:
    tiny = bf.provider("groq", max_bytes=200)
    with pytest.raises(RequestError, match="Groq"):
        ask("a" * 300).submit(client=groq(), provider=tiny)


def test_an_unknown_price_is_noted_and_max_cost_refuses() -> None:
    requests = ask(output=["+", "-"], max_completion_tokens=5)
    estimate = requests.estimate(client=groq())
    assert estimate.cost is None
    assert any("any-model at Groq is unknown" in note for note in estimate.notes)
    with pytest.raises(CostError):
        requests.submit(client=groq(), max_cost=1)


def test_an_openai_model_behind_an_unknown_gateway_has_no_price() -> None:
    client = openai.OpenAI(base_url="https://llm.example.com/v1", api_key="any")
    requests = ask(model="gpt-4.1", output=["+", "-"])
    assert requests.estimate(client=client).cost is None
    assert requests.estimate(client=client, provider="openai").cost is not None
    mine = {"input": "1", "output": "2"}
    assert requests.estimate(client=client, prices=mine).cost is not None


def test_deepinfra_s_discount_is_20_percent_of_a_given_standard_price() -> None:
    client = openai.OpenAI(base_url="https://api.deepinfra.com/v1/openai", api_key="any")
    requests = ask(output=["+", "-"])
    estimate = requests.estimate(client=client)
    assert estimate.cost is None
    assert any("takes 20% off" in note for note in estimate.notes)
    priced = requests.estimate(client=client, prices={"standard": {"input": "1", "output": "1"}})
    assert priced.cost is not None
    assert priced.standard_cost is not None
    assert priced.cost.low == priced.standard_cost.low * Decimal("0.8")


def test_compare_uses_the_provider_s_prices() -> None:
    costs = ask(output=["+", "-"]).compare(["openai/gpt-oss-120b", "gpt-4.1"], client=groq())
    assert costs["low"]["openai/gpt-oss-120b", "batch"] > 0
    assert pd.isna(costs["low"]["gpt-4.1", "batch"])


def test_a_job_keeps_the_profile_it_was_submitted_with(
    server: batchframe.local.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = bf.provider("self-hosted", max_requests=1, name="Ours", first_poll=0.1, last_poll=0.3)
    server.pause()
    job = ask("a", "b").submit("kept", client=server.client(), provider=profile)
    assert len(job.batches) == 2
    change_local(monkeypatch, max_requests=50)
    server.resume()
    again = bf.job("kept", client=server.client()).wait()
    assert read_manifest(again)["provider"] == msgspec.json.decode(msgspec.json.encode(profile))
    # A rerun without it finds the same job with its input files.
    assert ask("a", "b").submit("kept", client=server.client()).id == job.id
    assert read_manifest(again)["provider"] == msgspec.json.decode(msgspec.json.encode(profile))
    assert len(server.ledger) == 2


def test_a_job_of_an_earlier_version_follows_its_address(
    server: batchframe.local.Server,
) -> None:
    job = ask().submit("old", client=server.client()).wait()
    path = job.folder / "manifest.json"
    manifest = json.loads(path.read_bytes())
    del manifest["provider"]
    path.write_text(json.dumps(manifest))
    assert bf.job("old")._record.manifest.provider.key == "local"
    assert bf.job("old").counts == {"ok": 1}


def test_a_damaged_profile_is_reported(server: batchframe.local.Server) -> None:
    job = ask().submit("bad", client=server.client()).wait()
    path = job.folder / "manifest.json"
    manifest = json.loads(path.read_bytes())
    manifest["provider"]["max_requests"] = -1
    path.write_text(json.dumps(manifest))
    with pytest.raises(bf.errors.JobError, match="max_requests"):
        bf.job(job.folder).counts  # noqa: B018 - the access raises


def test_an_unsent_job_is_divided_again_for_another_profile(
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


def test_an_azure_price_is_the_standard_price_minus_its_discount() -> None:
    requests = ask(model="gpt-4o", output=["+", "-"])
    estimate = requests.estimate(client=azure())
    assert estimate.cost is not None
    assert estimate.standard_cost is not None
    assert estimate.cost.low * 2 == estimate.standard_cost.low
    assert any("your deployment may run another model" in note for note in estimate.notes)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OPENAI_BASE_URL": "http://127.0.0.1:8000/v1/"},
        {"OPENAI_BASE_URL": "http://user:secret@127.0.0.1:8000/v1?token=secret"},
        {"OPENAI_ORG_ID": "org-1", "OPENAI_PROJECT_ID": "proj_1"},
    ],
)
def test_the_account_from_the_environment_equals_that_of_its_client(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    expected = connect.expected_identity()
    assert expected == connect.connect().identity
    assert "secret" not in repr(expected)
    monkeypatch.delenv("OPENAI_API_KEY")
    assert connect.expected_identity() == expected
