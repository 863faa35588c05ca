"""What a model or a batch would refuse is refused before a byte is sent, with a way out."""

from __future__ import annotations

import re
import tomllib
from contextlib import suppress
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

import openai
import pandas as pd
import pytest
from openai.types.chat import completion_create_params

import batchframe as bf
import batchframe.local
from batchframe.errors import CostError, ParameterWarning, RequestError

FRAME = pd.DataFrame({"text": ["a", "b"]}, index=["x", "y"])
LUNA = "gpt-5.6-luna"
OPENAI_URL = "https://api.openai.com/v1/"


def ask(model: str = "gpt-4.1", prompt: Any = "{{ text }}", **body: Any) -> bf.Requests:
    return FRAME.bf.requests(prompt, model=model, **body)


def rules() -> dict[str, Any]:
    text = (files("batchframe._models") / "rules.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    (LUNA, {"max_tokens": 5}, "max_completion_tokens="),
    ("o3", {"max_tokens": 5}, "max_completion_tokens="),
    (LUNA, {"temperature": 0}, 'reasoning_effort="none"'),
    (LUNA, {"temperature": True}, 'reasoning_effort="none"'),
    ("ft:o3-mini:acme::1", {"temperature": 0.5}, "omit it"),
    ("gpt-5.1", {"temperature": 0, "reasoning_effort": "low"}, 'reasoning_effort="none"'),
    ("gpt-6-luna", {"top_p": 0.5}, "omit it"),
    (LUNA, {"logprobs": True}, "omit it"),
    (LUNA, {"top_logprobs": 3}, "omit it"),
    (LUNA, {"presence_penalty": 1}, "omit it"),
    (LUNA, {"frequency_penalty": 0.1, "reasoning_effort": "none"}, "omit it"),
    (LUNA, {"logit_bias": {"50256": -100}}, "omit it"),
    ("o4-mini", {"stop": ["."]}, "omit it"),
    (LUNA, {"tools": [{"type": "function"}]}, 'reasoning_effort="none"'),
    ("gpt-4.1", {"reasoning_effort": "low"}, "does not reason"),
    ("gpt-5-chat-latest", {"reasoning_effort": "low"}, "does not reason"),
    ("gpt-5-mini-2025-08-07", {"reasoning_effort": "none"}, '"low"'),
    ("gpt-6.1-sol", {"reasoning_effort": "none"}, '"low"'),
    (LUNA, {"reasoning_effort": "minimal"}, '"none"'),
]


@pytest.mark.parametrize(("model", "body", "way_out"), REFUSED)
def test_a_parameter_that_the_model_refuses_is_refused_with_source_and_way_out(
    model: str, body: dict[str, Any], way_out: str
) -> None:
    name = next(iter(body))
    with pytest.raises(RequestError) as caught:
        ask(model, **body)
    told = str(caught.value)
    assert told.startswith(f"{name}: rejected by {model}")
    assert way_out in told
    assert re.search(r"20\d\d-\d\d-\d\d", told)
    sent = ask(model, **body, allow=[name]).preview(1)[0]["body"]
    assert sent[name] == body[name]
    assert "allow" not in sent


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (LUNA, {"temperature": 0, "reasoning_effort": "none"}),
        (LUNA, {"temperature": 1, "top_p": 1.0, "presence_penalty": 0, "logprobs": False}),
        (LUNA, {"temperature": None, "max_completion_tokens": 9, "seed": 1, "stop": ["."]}),
        (LUNA, {"tools": [{"type": "function"}], "reasoning_effort": "none"}),
        ("gpt-5.1", {"temperature": 0}),
        ("gpt-5.4-mini", {"temperature": 0}),
        ("gpt-5.1", {"reasoning_effort": "none"}),
        ("gpt-5-mini", {"reasoning_effort": "minimal"}),
        ("gpt-4.1", {"temperature": 0, "max_tokens": 9, "logprobs": True, "top_logprobs": 3}),
        ("gpt-5-chat-latest", {"temperature": 0}),
        ("my-model", {"temprature": 0, "reasoning_effort": "low", "service_tier": "flex"}),
        ("openai/gpt-5.6-luna", {"temperature": 0, "top_k": 3, "max_tokens": 7}),
    ],
)
def test_what_the_model_takes_or_nobody_knows_passes_untouched(
    model: str, body: dict[str, Any]
) -> None:
    sent = ask(model, **body).preview(1)[0]["body"]
    assert {name: sent[name] for name in body} == body


def test_a_misspelt_parameter_is_named_with_the_one_that_is_meant() -> None:
    with pytest.raises(RequestError, match=r"Did you mean temperature=\?"):
        ask(temprature=0)
    with pytest.raises(RequestError, match=r"Did you mean max_completion_tokens=\?"):
        ask(LUNA, max_completion_token=5)
    assert len(ask(temprature=0, allow="temprature")) == 2


def test_an_unknown_parameter_passes_with_a_warning_that_can_be_answered() -> None:
    with pytest.warns(ParameterWarning, match="novelty: not a known parameter") as caught:
        sent = ask(novelty=3).preview(1)[0]["body"]
    assert caught[0].filename == __file__
    assert sent["novelty"] == 3
    assert len(ask(novelty=3, allow=["novelty"])) == 2


def test_allow_changes_no_byte_and_is_kept_with_the_job(server: batchframe.local.Server) -> None:
    plain, allowed = ask(temperature=0), ask(temperature=0, allow=["temperature", "model"])
    assert allowed.fingerprint == plain.fingerprint
    job = allowed.submit(client=server.client()).wait()
    assert job._record.manifest.recipe.allow == ("model", "temperature")


def test_allow_must_name_what_is_there() -> None:
    with pytest.raises(RequestError, match=r"allow: not a parameter .*'temprature'"):
        ask(temperature=0, allow=["temprature"])
    with pytest.raises(RequestError, match="allow: not a list"):
        ask(allow=7)


@pytest.mark.parametrize("tier", ["flex", "priority", "fast", "ultrafast", "scale"])
def test_a_tier_in_the_requests_is_refused(tier: str) -> None:
    with pytest.raises(RequestError, match="not needed in a batch"):
        ask(service_tier=tier)
    assert len(ask(service_tier=tier, allow=["service_tier"])) == 2


def test_a_tier_that_says_nothing_passes() -> None:
    assert ask(service_tier="default").preview(1)[0]["body"]["service_tier"] == "default"
    assert len(ask(service_tier="auto")) == 2


def test_a_tier_given_to_submit_is_told_where_it_belongs(home: Path) -> None:
    with pytest.raises(RequestError) as caught:
        ask().submit(service_tier="flex")  # type: ignore[arg-type]
    told = str(caught.value)
    assert "service_tier: not a parameter of submit()" in told
    assert "billed at the batch price" in told
    assert 'requests(..., service_tier="default")' in told
    assert not home.exists()


def test_other_parameters_given_to_submit_are_told_where_they_belong() -> None:
    with pytest.raises(RequestError, match=r"requests\(\.\.\., temperature=\.\.\.\)\.submit"):
        ask().submit(temperature=0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unexpected keyword argument 'color'"):
        ask().submit(color=0)  # type: ignore[arg-type]


JSON_MODE = {"type": "json_object"}


class TestJsonMode:
    """JSON mode needs the word in the messages of every request."""

    def test_a_prompt_without_the_word_is_refused_by_its_first_row(self) -> None:
        with pytest.raises(RequestError, match=r"row 0 \(index 'x'\)") as caught:
            ask(response_format=JSON_MODE)
        assert "output=" in str(caught.value)
        assert len(ask(response_format=JSON_MODE, allow=["response_format"])) == 2

    @pytest.mark.parametrize(
        ("prompt", "system"),
        [("Answer in JSON: {{ text }}", None), ("{{ text }}", "You write Json."),
         ([{"role": "user", "content": [{"type": "text", "text": "json {{ text }}"}]}], None),
         (lambda row: f"json: {row['text']}", None)],
        ids=["template", "system", "parts", "function"],
    )  # fmt: skip
    def test_the_word_may_stand_anywhere(self, prompt: Any, system: str | None) -> None:
        sent = ask("gpt-4.1", prompt, system=system, response_format=JSON_MODE).preview(1)
        assert sent[0]["body"]["response_format"] == JSON_MODE

    def test_a_row_may_bring_the_word_itself_and_one_that_does_not_is_named(self) -> None:
        frame = pd.DataFrame({"text": ["as JSON", "as jSoN", "as XML"]})
        words = {"model": "gpt-4.1", "response_format": JSON_MODE}
        assert len(frame.head(2).bf.requests("{{ text }}", **words)) == 2
        with pytest.raises(RequestError, match="missing in row 2"):
            frame.bf.requests("{{ text }}", **words)

    @pytest.mark.parametrize(
        "message",
        [
            {"role": "user", "name": "json", "content": "{{ text }}"},
            {"role": "user", "content": [
                {"type": "text", "text": "{{ text }}"},
                {"type": "image_url", "image_url": {"url": "https://example.org/{{ text }}.json"}},
            ]},
        ],
        ids=["name", "url"],
    )  # fmt: skip
    def test_what_the_model_is_not_told_does_not_count(self, message: dict[str, Any]) -> None:
        with pytest.raises(RequestError, match="row 0"):
            ask(prompt=[message], response_format=JSON_MODE)
        told = {"role": "system", "content": "Write JSON."}
        assert len(ask(prompt=[told, message], response_format=JSON_MODE)) == 2
        with pytest.raises(RequestError, match="row 0"):
            ask(prompt=lambda row: [{**message, "content": row["text"]}], response_format=JSON_MODE)

    def test_what_a_tool_was_called_with_counts(self) -> None:
        called = {"name": "look", "arguments": '{"as":"json"}'}
        calls = [{"id": "c", "type": "function", "function": called}]
        before = {"role": "assistant", "content": "", "tool_calls": calls}
        after = {"role": "user", "content": "{{ text }}"}
        assert len(ask(prompt=[before, after], response_format=JSON_MODE)) == 2

    def test_a_model_of_others_is_left_alone(self) -> None:
        assert len(ask("my-model", response_format=JSON_MODE)) == 2

    def test_a_schema_belongs_into_output(self) -> None:
        with pytest.raises(RequestError, match="schema or class as output="):
            ask(response_format={"type": "json_schema"})
        with pytest.raises(RequestError, match="schema or class as output="):
            ask(response_format=JSON_MODE, output=["a"])


class TestSending:
    """What depends on the service, the day or the counts is refused by `submit`."""

    def check(self, requests: bf.Requests, url: str = OPENAI_URL, on: str = "2026-11-21") -> None:
        """Submit on this day, up to the limit of the cost, which comes last of what is checked."""
        client = openai.OpenAI(base_url=url, api_key="sk-none")
        with pytest.MonkeyPatch.context() as patch, suppress(CostError):
            patch.setattr("batchframe._api.submitting.today", lambda: date.fromisoformat(on))
            requests.submit(client=client, max_cost=0)
            pytest.fail("nothing may be sent for nothing")

    def test_a_model_that_is_shut_down_is_refused_from_its_day_on(self) -> None:
        self.check(ask("gpt-5-mini"), on="2026-12-10")
        with pytest.raises(RequestError, match=r"gpt-5-mini down on 2026-12-11") as caught:
            self.check(ask("gpt-5-mini"), on="2026-12-11")
        assert 'model="gpt-6.1-terra"' in str(caught.value)
        self.check(ask("gpt-5-mini", allow=["model"]), on="2027-01-01")
        with pytest.raises(RequestError, match="Fix: another"):
            self.check(ask("gpt-3.5-turbo-1106"))

    def test_a_tuned_model_follows_its_base(self) -> None:
        with pytest.raises(RequestError, match="2027-01-14"):
            self.check(ask("ft:gpt-4o-mini-2024-07-18:acme::1"), on="2027-01-14")

    def test_a_model_without_a_place_in_the_batch_api_is_refused(self) -> None:
        with pytest.raises(RequestError, match="not available in OpenAI's Batch API"):
            self.check(ask("gpt-6-cyber"))
        self.check(ask("gpt-6-cyber", allow=["model"]))

    @pytest.mark.parametrize(
        "url",
        ["http://127.0.0.1:8000/v1", "https://res.openai.azure.com/openai/v1", "https://a.b/v1"],
    )
    def test_another_service_may_have_any_model(self, url: str) -> None:
        self.check(ask("gpt-4.1-nano"), url)
        self.check(ask("gpt-6-cyber"), url)

    def test_submit_asks_for_it_before_anything_is_written(
        self, monkeypatch: pytest.MonkeyPatch, home: Path
    ) -> None:
        monkeypatch.setattr("batchframe._api.submitting.today", lambda: date(2026, 11, 21))
        client = openai.OpenAI(base_url=OPENAI_URL, api_key="sk-none")
        with pytest.raises(RequestError, match=r"gpt-4\.1-nano down on 2026-10-23"):
            ask("gpt-4.1-nano").submit(client=client)
        assert not (home / "jobs").exists() or not any((home / "jobs").iterdir())

    def test_a_prompt_beyond_the_window_is_refused_by_its_row(
        self, server: batchframe.local.Server
    ) -> None:
        frame = pd.DataFrame({"text": ["a", "a", "word " * 9_000, "c"]}, index=list("pqrs"))
        requests = frame.bf.requests("{{ text }}", model="gpt-4")
        assert "first at row 2" in " ".join(requests.estimate().notes)
        with pytest.raises(RequestError, match=r"row 2 \(index 'r'\).*8,192") as caught:
            requests.submit(client=server.client())
        assert 'allow=["context_window"]' in str(caught.value)
        kept = frame.bf.requests("{{ text }}", model="gpt-4", allow=["context_window"])
        assert kept.submit(client=server.client()).wait().done
        assert frame.bf.requests("{{ text }}", model="my-model").estimate().requests == 3

    def test_a_prompt_that_fills_the_window_exactly_passes(self) -> None:
        def asking(words: int) -> bf.Requests:
            frame = pd.DataFrame({"text": ["a", "word" + " word" * (words - 1)]})
            return frame.bf.requests("{{ text }}", model="gpt-4")

        around = bf.count_tokens(asking(1).preview(2)[1]["body"]).tokens - 1
        full = asking(8_192 - around)
        assert bf.count_tokens(full.preview(2)[1]["body"]).tokens == 8_192
        self.check(full, on="2026-01-01")
        with pytest.raises(RequestError, match="in row 1"):
            self.check(asking(8_193 - around), on="2026-01-01")


class TestTheTable:
    """Each line has its source and its day, and says what is meant."""

    def test_every_line_says_whence_and_when(self) -> None:
        table = rules()
        lines = [
            *table["parameter"], *table["shutdown"], *table["context_window"],
            *table["known_parameters"].values(), table["not_in_batch"], table["service_tiers"],
            table["no_reasoning_by_default"],
        ]  # fmt: skip
        for line in lines:
            assert line["source"], line
            assert date(2024, 1, 1) <= line["as_of"] <= date(2027, 12, 31), line
        for line in table["parameter"]:
            assert {"name", "instead", "source", "as_of"} <= set(line)
            assert "family" in line or "models" in line

    def test_the_known_parameters_are_those_of_the_openai_package(self) -> None:
        line = rules()["known_parameters"]["/v1/chat/completions"]
        if f"openai {openai.__version__}" not in line["source"]:
            pytest.skip("another version of the package knows other parameters")
        theirs = set(completion_create_params.CompletionCreateParamsBase.__annotations__)
        # `stream` stands in the two kinds that are made of this one.
        assert set(line["names"]) == theirs - {"model", "messages"} | {"stream"}

    def test_models_are_told_apart(self) -> None:
        for model in ("gpt-4o-mini", "gpt-6.2-sol", "o3-pro", "gpt-3.5-turbo", "codex-mini-latest"):
            with pytest.raises(RequestError, match="temperature"):
                ask(model, temperature=7)
        for model in ("gpt-oss-20b", "llama-4", "openai/gpt-4o", "gpt-neo", "o30", "mygpt-4"):
            assert len(ask(model, temperature=7)) == 2
        long = pd.DataFrame({"text": ["word " * 400_001]})
        for model, window in (
            ("gpt-5.4-mini", "400,000"),
            ("gpt-5.4", None),
            ("gpt-oss-20b", None),
        ):
            told = " ".join(long.bf.requests("{{ text }}", model=model).estimate().notes)
            assert ("above the context window" in told) == (window is not None), told
            assert window is None or f"({window} tokens)" in told

    def test_no_model_shuts_down_twice(self) -> None:
        names = [name for line in rules()["shutdown"] for name in line["models"]]
        assert len(names) == len(set(names))
        for name in names:
            notes = ask(name, allow=["model"]).estimate().notes
            assert any(name in note and "down" in note for note in notes), name


RESPONSES, EMBEDDINGS = "/v1/responses", "/v1/embeddings"
CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("endpoint", "model", "body", "words"),
    [
        (RESPONSES, "gpt-5.6-luna", {"temperature": 0}, r'reasoning=\{"effort": "none"\}'),
        (RESPONSES, "gpt-5.6-luna", {"reasoning": {"effort": "minimal"}}, "reasoning: rejected by"),
        (RESPONSES, "gpt-4.1", {"reasoning": {"effort": "low"}}, "does not reason"),
        (RESPONSES, "gpt-5.6-luna", {"reasoning": {"effort": "lo"}}, "Did you mean 'low'"),
        (RESPONSES, "gpt-4.1", {"max_output_token": 9}, "max_output_tokens="),
        (EMBEDDINGS, "text-embedding-3-small", {"dimension": 9}, "dimensions="),
        (CHAT, "gpt-5.6-luna", {"reasoning_effort": "lo"}, "Did you mean 'low'"),
        (CHAT, "gpt-4.1", {"temperature": 3}, "not a number from 0 to 2"),
        (CHAT, "gpt-4.1", {"temperature": "0"}, "not a number from 0 to 2"),
        (CHAT, "gpt-4.1", {"max_completion_tokens": -5}, "an int of at least 1"),
        (CHAT, "my-model", {"max_tokens": -5}, "an int of at least 1"),
    ],
)
def test_a_value_or_a_name_that_every_request_would_fail_for_is_refused(
    endpoint: str, model: str, body: dict[str, Any], words: str
) -> None:
    with pytest.raises(RequestError, match=words):
        ask(model, endpoint=endpoint, **body)
    assert len(ask(model, endpoint=endpoint, **body, allow=[*body])) == 2


def test_what_a_response_takes_passes() -> None:
    off = {"temperature": 0, "reasoning": {"effort": "none"}, "max_output_tokens": 9}
    for model, endpoint, body in (
        ("gpt-5.6-luna", RESPONSES, off),
        ("gpt-5.6-luna", RESPONSES, {"tools": [], "reasoning": {}}),
        ("gpt-4.1", RESPONSES, {"temperature": 0, "top_logprobs": 3}),
        ("my-model", CHAT, {"temperature": 7, "reasoning_effort": "lo"}),
    ):
        assert len(ask(model, endpoint=endpoint, **body)) == 2


def test_json_mode_of_a_response_needs_the_word_too() -> None:
    form = {"format": {"type": "json_object"}}
    with pytest.raises(RequestError, match=r'JSON.*allow=\["text"\]'):
        ask(endpoint=RESPONSES, text=form)
    assert len(ask(endpoint=RESPONSES, text=form, system="Answer in JSON.")) == 2
    assert len(ask(endpoint=RESPONSES, text=form, allow=["text"])) == 2


def test_a_parameter_near_a_word_of_ours_may_be_meant() -> None:
    for model in ("my-model", "gpt-4.1"):
        with pytest.raises(RequestError, match=r'Did you mean name=\?.*allow=\["names"\]'):
            ask(model, names=1)
    asked = ask("my-model", names=["a"], promt="b", allow=["names", "promt"])
    body = asked.preview(1)[0]["body"]
    assert (body["names"], body["promt"]) == (["a"], "b")
    with pytest.raises(RequestError, match=r"allow: .*'nope'"):
        ask("my-model", names=1, allow=["names", "nope"])


def test_what_can_never_be_sent_is_told_before_its_price(monkeypatch: pytest.MonkeyPatch) -> None:
    key = openai.OpenAI(api_key="sk-none")
    for model, words in (
        ("gpt-4.1-nano", "shut gpt-4.1-nano down"),
        ("gpt-6-cyber", "not available"),
    ):
        asked = ask(model)
        with pytest.raises(RequestError, match=words):
            asked.submit(max_cost=0, client=key)
        with pytest.raises(RequestError, match=words):
            asked.pilot(2, max_cost=0, client=key)
    monkeypatch.setattr("batchframe._api.submitting.today", lambda: date(2026, 1, 1))
    with pytest.raises(CostError):
        ask("gpt-4.1-nano").submit(max_cost=0, client=key)


def test_a_job_that_is_sent_is_found_again_whatever_has_changed_since(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with batchframe.local.serve(answer=lambda _: "a long answer " * 50) as server:
        asked = ask("gpt-4.1", max_completion_tokens=500)
        job = asked.submit("once", client=server.client(), max_cost=1).wait()

        def refuse(*_: object) -> None:
            raise AssertionError

        monkeypatch.setattr("batchframe._api.submitting.check_sending", refuse)
        again = asked.submit("once", client=server.client(), max_cost="0.000001")
        assert again.id == job.id
        with pytest.raises(AssertionError):
            asked.submit("once", client=server.client(), rerun="again")
        assert len(server.ledger) == 1


@pytest.mark.parametrize(
    ("model", "endpoint", "instead"),
    [
        ("text-embedding-3-small", CHAT, 'endpoint="/v1/embeddings"'),
        ("text-embedding-3-small", RESPONSES, 'endpoint="/v1/embeddings"'),
        ("omni-moderation-latest", CHAT, 'endpoint="/v1/moderations"'),
        (LUNA, EMBEDDINGS, 'model="text-embedding-3-small"'),
        (LUNA, "/v1/moderations", 'model="omni-moderation-latest"'),
    ],
)
def test_a_model_of_another_endpoint_is_refused_with_the_right_one(
    model: str, endpoint: str, instead: str
) -> None:
    with pytest.raises(RequestError, match=re.escape(instead)):
        ask(model, endpoint=endpoint)
    asked = ask(model, endpoint=endpoint, allow=["model"])
    assert len(asked) == 2
    assert model in repr(asked)


def test_models_of_other_makers_may_be_asked_anywhere() -> None:
    for model in ("nomic-embed", "openai/text-embedding-3-small"):
        assert len(ask(model)) == len(ask(model, endpoint=EMBEDDINGS)) == 2


def test_a_model_that_is_almost_one_is_asked_about() -> None:
    notes = " ".join(ask("gpt5.6-luna").estimate().notes)
    assert "Did you mean gpt-5.6-luna?" in notes
    assert "Did you mean" not in " ".join(ask("llama-4-scout").estimate().notes)
