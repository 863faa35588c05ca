"""Behavior of each provider, imitated by the local server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import openai
import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from batchframe.errors import LocalServerError, SubmissionError, SubmissionUncertain
from batchframe.local import AnswerError, Fault, Limits, Server

CHAT = "/v1/chat/completions"
PROFILES = (
    "openai", "azure", "groq", "together", "deepinfra", "gateway", "self-hosted", "dashscope",
)  # fmt: skip


def echo(body: dict[str, Any]) -> str:
    text = body["messages"][-1]["content"] if "messages" in body else str(body["input"])
    return f"to {text}"


@pytest.fixture
def azure() -> Iterator[Server]:
    with batchframe.local.serve(answer=echo, profile="azure") as server:
        yield server


def ask(*texts: str, **options: Any) -> bf.Requests:
    frame = pd.DataFrame({"text": list(texts or ("a", "b"))})
    return frame.bf.requests("{{ text }}", **{"model": "my-deployment", **options})


def given(profile: str) -> str | None:
    # A local address does not identify the provider.
    return None if profile in {"openai", "azure"} else {"gateway": "other"}.get(profile, profile)


def sent(job: bf.Job) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (job.folder / "input-000.jsonl").read_bytes().splitlines()]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_job_completes_joins_and_is_found_again(profile: str) -> None:
    frame = pd.DataFrame({"text": ["a", "b", "a"]})
    requests = frame.bf.requests("{{ text }}", model="my-model")
    with batchframe.local.serve(answer=echo, profile=profile) as server:
        job = requests.submit("one", client=server.client(), provider=given(profile)).wait()
        again = requests.submit("one", client=server.client(), provider=given(profile))
        assert again.id == job.id
    assert frame.bf.join(job)["response"].tolist() == ["to a", "to b", "to a"]
    assert [batch.requests for batch in server.ledger] == [2]


@pytest.mark.parametrize("profile", PROFILES)
def test_failed_rows_are_sent_again_under_the_same_names(profile: str) -> None:
    refusals = [AnswerError(400, "Not today.", code="invalid_prompt")]

    def fail_some(body: dict[str, Any]) -> str:
        if body["messages"][-1]["content"] == "b" and refusals:
            raise refusals.pop()
        return echo(body)

    frame = pd.DataFrame({"text": ["a", "b"]})
    requests = frame.bf.requests("{{ text }}", model="my-model")
    with batchframe.local.serve(answer=fail_some, profile=profile) as server:
        how = {"client": server.client(), "provider": given(profile)}
        job = requests.submit("failing", **how).wait()
        assert job.counts == {"ok": 1, "failed": 1}
        assert "Not today." in job.results()["bf_error"][1]
        again = job.unanswered().submit(**how).wait()
    assert again.counts == {"ok": 1}
    assert frame.bf.join(job, again)["response"].tolist() == ["to a", "to b"]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_lost_response_to_a_create_never_makes_a_second_batch(profile: str) -> None:
    with batchframe.local.serve(answer=echo, profile=profile) as server:
        server.faults.add(Fault("POST /v1/batches", "reset", after=True))
        how = {"client": server.client(), "provider": given(profile), "on_uncertain": "recreate"}
        if profile == "gateway":
            with pytest.raises(SubmissionUncertain):
                ask().submit("lost", **how)
            with pytest.raises(SubmissionUncertain):
                bf.job("lost", client=server.client()).resume()
        else:
            assert ask().submit("lost", **how).wait().counts == {"ok": 2}
        server.resume()
        wait_for_the_end(server)
    assert len(server.ledger) == 1


def wait_for_the_end(server: Server) -> None:
    while not all(entry.status == "completed" for entry in server.ledger) or not server.ledger:
        time.sleep(0.01)


def test_a_gateway_declared_as_openai_has_a_trusted_list() -> None:
    with batchframe.local.serve(answer=echo, profile="gateway") as server:
        server.faults.add(Fault("POST /v1/batches", "close"))  # nothing was created
        how = {"client": server.client(), "on_uncertain": "recreate"}
        assert ask().submit("sure", provider="openai", **how).wait().counts == {"ok": 2}


class TestAzure:
    def test_its_client_is_an_azure_client_at_an_address_without_v1(self, azure: Server) -> None:
        client = azure.client()
        assert isinstance(client, openai.AzureOpenAI)
        assert azure.url.endswith("/openai")
        assert client.batches.list().data == []
        plain = openai.OpenAI(
            base_url=azure.url.replace("/openai", "/v1"), api_key="any", max_retries=0
        )
        with pytest.raises(openai.NotFoundError, match="/v1/batches"):
            plain.batches.list()

    def test_the_address_with_openai_v1_works_too(self, azure: Server) -> None:
        client = openai.OpenAI(base_url=f"{azure.url}/v1/", api_key="any")
        job = ask().submit("ga", client=client, provider="azure").wait()
        assert job.counts == {"ok": 2}

    def test_an_address_without_a_version_is_not_found(self, azure: Server) -> None:
        client = openai.OpenAI(base_url=azure.url, api_key="any", max_retries=0)
        with pytest.raises(openai.NotFoundError):
            client.batches.list()

    @pytest.mark.parametrize("options", [{}, {"azure_deployment": "my-deployment"}])
    def test_lines_and_batches_are_spelled_without_v1(
        self, azure: Server, options: dict[str, str]
    ) -> None:
        root = azure.url.removesuffix("/openai")
        client = openai.AzureOpenAI(
            azure_endpoint=root, api_version="2024-10-21", api_key="any", **options
        )
        job = ask().submit("spelled", client=client).wait(timeout=30)
        assert {line["url"] for line in sent(job)} == {"/chat/completions"}
        assert {line["body"]["model"] for line in sent(job)} == {"my-deployment"}
        assert job.batches[0].endpoint == "/chat/completions"
        assert job.counts == {"ok": 2}

    def test_the_response_to_a_create_has_no_endpoint_and_no_counts(self, azure: Server) -> None:
        azure.pause()
        job = ask().submit("null", client=azure.client())
        [batch] = azure.client().batches.list().data
        assert (batch.endpoint, batch.request_counts) == (None, None)
        azure.resume()
        assert job.wait().counts == {"ok": 2}

    def test_responses_are_read_from_the_lines(self, azure: Server) -> None:
        job = ask(endpoint="/v1/responses").submit("resp", client=azure.client()).wait()
        assert {line["url"] for line in sent(job)} == {"/v1/responses"}
        assert job.results()["response"].tolist() == ["to a", "to b"]

    def test_embeddings_have_no_batches(self, azure: Server) -> None:
        with pytest.raises(bf.errors.RequestError, match="Azure OpenAI is not known"):
            ask(endpoint="/v1/embeddings").submit(client=azure.client())
        with pytest.raises(SubmissionError) as excinfo:
            ask(endpoint="/v1/embeddings").submit(
                client=azure.client(),
                provider=bf.provider("azure", endpoints=None, created_as="/embeddings"),
            )
        assert "invalid_value" in str(excinfo.value)

    def test_success_has_an_error_file_of_0_bytes(self, azure: Server) -> None:
        job = ask().submit("empty", client=azure.client()).wait()
        error_file = job.batches[0].error_file_id
        assert error_file is not None
        assert azure.client().files.retrieve(error_file).bytes == 0
        assert job.counts == {"ok": 2}
        assert job.report() is not None

    def test_its_lines_have_no_id_and_include_filter_results(self, azure: Server) -> None:
        job = ask().submit("lines", client=azure.client()).wait()
        line = json.loads((job.folder / "output-000.jsonl").read_bytes().splitlines()[0])
        assert "id" not in line
        assert "content_filter_results" in line["response"]["body"]["choices"][0]

    def test_a_batch_is_never_expired(self, azure: Server) -> None:
        azure.pause()
        job = ask().submit("late", client=azure.client())
        with pytest.raises(LocalServerError, match="never expire"):
            azure.expire(job.batches[0].id)
        assert job._record.manifest.provider.hours == float("inf")
        azure.resume()
        assert job.wait().counts == {"ok": 2}

    def test_an_input_file_is_kept_for_30_days_and_no_less_than_14(self, azure: Server) -> None:
        ask().submit("kept", client=azure.client()).wait()
        [input_file] = [one for one in azure.client().files.list() if one.purpose == "batch"]
        assert input_file.expires_at is not None
        assert input_file.expires_at - input_file.created_at == 30 * 86_400
        with pytest.raises(openai.BadRequestError, match="1209600 to 2592000"):
            azure.client().files.create(
                file=("a.jsonl", b"{}\n"),
                purpose="batch",
                expires_after={"anchor": "created_at", "seconds": 86_400},
            )

    def test_files_above_its_limit_are_rejected_and_never_sent(self) -> None:
        limits = Limits(requests=2, unsupported_models=())
        with batchframe.local.serve(answer=echo, profile="azure", limits=limits) as server:
            how = {"client": server.client()}
            over = ask("a", "b", "c").submit("over", **how).wait()
            assert over.status == "failed"
            assert over.batches[0].errors[0].code == "too_many_tasks"
            two = bf.provider("azure", max_requests=2, first_poll=0.1, last_poll=0.2)
            divided = ask("c", "d", "e").submit("cut", provider=two, **how).wait()
            inputs = [file for file in server.client().files.list() if file.purpose == "batch"]
            assert all((file.expires_at or 0) - file.created_at == 30 * 86_400 for file in inputs)
        assert len(divided.batches) == 2
        assert divided.counts == {"ok": 3}

    @pytest.mark.parametrize(
        ("lines", "code"),
        [
            ([("a", "m", CHAT), ("b", "m", "/v1/responses")], "url_mismatch"),
            ([("a", "m", CHAT), ("b", "n", CHAT)], "model_mismatch"),
            ([], "empty_file"),
        ],
    )
    def test_it_has_its_own_error_codes(
        self, azure: Server, lines: list[tuple[str, str, str]], code: str
    ) -> None:
        client = azure.client()
        body = {"messages": [{"role": "user", "content": "hi"}], "input": "hi"}
        content = b"".join(
            msgspec.json.encode(
                {"custom_id": name, "method": "POST", "url": url, "body": {"model": model, **body}}
            )
            + b"\n"
            for name, model, url in lines
        )
        file = client.files.create(file=("a.jsonl", content), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id,
            endpoint="/chat/completions",  # type: ignore[arg-type]
            completion_window="24h",
        )
        while batch.status != "failed":
            batch = client.batches.retrieve(batch.id)
        assert batch.errors is not None
        assert batch.errors.data is not None
        assert [error.code for error in batch.errors.data] == [code]

    def test_its_full_queue_error_is_retried(self) -> None:
        limits = Limits(enqueued_tokens=60, unsupported_models=())
        one = bf.provider("azure", max_requests=1, first_poll=0.1, last_poll=0.2, queue_pause=0.2)
        text = "some words that take tokens " * 5
        with batchframe.local.serve(answer=echo, profile="azure", limits=limits) as server:
            job = ask(f"{text} a", f"{text} b", f"{text} c").submit(
                "queue", client=server.client(), provider=one
            )
            assert job.wait(timeout=60).counts == {"ok": 3}
        assert len(server.ledger) == 3

    def test_a_pilot_calls_the_deployment(self, azure: Server) -> None:
        pilot = ask("a", "b", "c").pilot(2, client=azure.client())
        assert pilot.frame["bf_status"].tolist() == ["ok", "ok"]
        job = ask("a", "b", "c").submit("rest", client=azure.client()).wait()
        assert job.counts == {"ok": 3}
        assert [batch.requests for batch in azure.ledger] == [1]

    def test_a_lost_folder_is_rebuilt_under_the_same_names(
        self, azure: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
    ) -> None:
        job = ask().submit("gone", client=azure.client()).wait()
        monkeypatch.setenv("BATCHFRAME_HOME", str(tmp_path / "another"))
        [restored] = bf.recover(azure.client())
        assert restored.id == job.id
        assert restored._record.manifest.provider.key == "azure"
        restored.wait()
        frame = pd.DataFrame({"text": ["b", "a"]})
        same = frame.bf.requests("{{ text }}", model="my-deployment")
        assert same.submit("gone", client=azure.client()).id == job.id
        assert frame.bf.join(restored)["response"].tolist() == ["to b", "to a"]
        assert len(azure.ledger) == 1


class TestGroq:
    def test_a_window_up_to_7_days_is_sent(self) -> None:
        with batchframe.local.serve(answer=echo, profile="groq") as server:
            assert server.url.endswith("/openai/v1")
            week = bf.provider("groq", window="7d")
            ask("a").submit("week", client=server.client(), provider=week)
            [batch] = server.client().batches.list().data
            assert batch.completion_window == "7d"
            too_long = bf.provider("groq", windows=("24h", "8d"), window="8d")
            with pytest.raises(SubmissionError, match="Invalid value: '8d'"):
                ask("b").submit("longer", client=server.client(), provider=too_long)

    def test_files_are_cut_at_100_mb(self) -> None:
        assert bf.provider("groq").max_bytes == 100_000_000
        limits = Limits(batch_bytes=1_000, unsupported_models=())
        with batchframe.local.serve(answer=echo, profile="groq", limits=limits) as server:
            profile = bf.provider("groq", max_bytes=1_000)
            texts = [f"{number}" * 300 for number in range(4)]
            job = ask(*texts).submit("cut", client=server.client(), provider=profile)
            assert len(job.batches) == 2
            with pytest.raises(bf.errors.ServiceError, match="larger than the 1000 maximum"):
                ask(*texts, "more").submit(
                    "whole", client=server.client(), provider="groq", reuse=False
                )

    def test_other_endpoints_are_rejected_by_the_service_too(self) -> None:
        every = bf.provider("groq", endpoints=None)
        with (
            batchframe.local.serve(answer=echo, profile="groq") as server,
            pytest.raises(SubmissionError, match="Supported values are: '/v1/chat/compl"),
        ):
            ask(endpoint="/v1/responses").submit(client=server.client(), provider=every)


class TestTogether:
    def test_files_are_uploaded_for_its_own_purpose(self) -> None:
        with batchframe.local.serve(answer=echo, profile="together") as server:
            with pytest.raises(bf.errors.ServiceError, match="batch-api"):
                ask().submit("plain", client=server.client(), provider="other")
            job = ask().submit("plain", client=server.client(), provider="together").wait()
        assert job.counts == {"ok": 2}

    def test_files_that_are_uploaded_in_parallel_have_its_purpose_too(self) -> None:
        one = bf.provider("together", max_requests=1, first_poll=0.1, last_poll=0.2)
        with batchframe.local.serve(answer=echo, profile="together") as server:
            job = ask("a", "b", "c", "d", "e").submit(client=server.client(), provider=one).wait()
            purposes = [file.purpose for file in server.client().files.list()]
        assert job.counts == {"ok": 5}
        assert purposes.count("batch-api") == 5

    def test_an_upload_is_announced_then_sent_to_another_address_then_checked(self) -> None:
        with batchframe.local.serve(answer=echo, profile="together") as server:
            client = server.client()
            profile = bf.provider("together", uploads_by_redirect=False)
            with pytest.raises(bf.errors.ServiceError):
                ask().submit("as a form", client=client, provider=profile)
            assert list(client.files.list()) == []
            job = ask("é" * 3_000).submit("redirected", client=client, provider="together").wait()
            (file,) = [one for one in client.files.list() if one.purpose == "batch-api"]
            sent = client.files.content(file.id).read()
        assert job.counts == {"ok": 1}
        assert file.bytes == len(sent)
        assert json.loads(sent)["body"]["messages"][0]["content"] == "é" * 3_000

    @pytest.mark.parametrize(
        ("fault", "message"),
        [
            (Fault("PUT /v1/uploads/*", 403), "input file was not stored: .* HTTP 403"),
            (Fault("PUT /v1/uploads/*", "reset"), "could not be reached"),
            (Fault("POST /v1/files/*/preprocess", 400), "HTTP 400"),
            (Fault("POST /v1/files", "login page"), "not an address for the upload"),
        ],
    )
    def test_an_upload_that_fails_on_its_way_creates_no_batch_and_is_repeated(
        self, fault: Fault, message: str
    ) -> None:
        with batchframe.local.serve(answer=echo, profile="together", faults=[fault]) as server:
            how = {"client": server.client(), "provider": "together"}
            with pytest.raises(bf.errors.BatchframeError, match=message):
                ask().submit("again", **how)
            assert server.ledger == []
            assert ask().submit("again", **how).wait().counts == {"ok": 2}

    def test_its_list_is_an_array_and_its_statuses_are_in_capitals(self) -> None:
        with batchframe.local.serve(answer=echo, profile="together") as server:
            job = ask().submit("loud", client=server.client(), provider="together").wait()
            assert job.status == "completed"
            raw = server.client().batches.with_raw_response.list().text
            listed = json.loads(raw() if callable(raw) else raw)
            assert [one["status"] for one in listed] == ["COMPLETED"]


class TestSelfHosted:
    def test_a_line_that_failed_has_its_error_at_the_top_and_no_body(self) -> None:
        def refuse(_: dict[str, Any]) -> str:
            raise AnswerError(400, "Too long for me.")

        with batchframe.local.serve(answer=refuse, profile="self-hosted") as server:
            job = ask("a").submit("v", client=server.client(), provider="self-hosted").wait()
        line = json.loads((job.folder / "errors-000.jsonl").read_bytes())
        assert line["response"]["body"] is None
        assert "Too long for me." in job.results()["bf_error"][0]


def test_an_unknown_profile_suggests_a_similar_one() -> None:
    with pytest.raises(LocalServerError, match="Did you mean 'azure'"):
        batchframe.local.serve(profile="azur")


def test_a_server_with_the_azure_profile_continues_after_a_restart(tmp_path: Any) -> None:
    def start() -> Server:
        return batchframe.local.serve(answer=echo, profile="azure", folder=tmp_path / "state")

    server = start()
    server.pause(after=1)
    job = ask(endpoint="/v1/responses").submit("restart", client=server.client())
    while server.ledger == []:
        time.sleep(0.01)
    server.close()
    with start() as server:
        job = bf.job("restart", client=server.client()).wait()
    assert job.counts == {"ok": 2}
