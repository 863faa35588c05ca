"""Requests that a model or batch would reject are refused before sending."""

from __future__ import annotations

import json
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
from genai_prices.data import providers as PRICE_BOOK  # noqa: N812 - the list of a price book
from openai.types.chat import completion_create_params

import batchframe as bf
import batchframe.local
from batchframe._models.availability import check_spelling
from batchframe.errors import CostError, ParameterWarning, RequestError, TemplateError
from tests.support.other_server import FakeServer, fake_server

__all__ = ["fake_server"]

FRAME = pd.DataFrame({"text": ["a", "b"]}, index=["x", "y"])
LUNA = "gpt-5.6-luna"
OPENAI_URL = "https://api.openai.com/v1/"


def ask(model: str = "gpt-4.1", prompt: Any = "{{ text }}", **body: Any) -> bf.Requests:
    return FRAME.bf.requests(prompt, model=model, **body)


def out_of_reach(url: str = OPENAI_URL) -> openai.OpenAI:
    """Return a client of a service that nothing can be sent to from here."""
    nowhere = openai.DefaultHttpxClient(proxy="http://127.0.0.1:9")
    return openai.OpenAI(base_url=url, api_key="sk-none", http_client=nowhere)


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
    (LUNA, {"reasoning_effort": "minimal"}, '"low" or "none"'),
    ("gpt-6.2-sol", {"reasoning_effort": "none"}, '"low"'),
    ("gpt-6.2-astra", {"reasoning_effort": "none"}, '"low"'),
    ("gpt-5.5-pro", {"reasoning_effort": "none"}, '"low"'),
    *[
        (model, {"tools": [{"type": "function"}], **effort}, 'endpoint="/v1/responses"')
        for model, effort in (
            ("gpt-5.2", {"reasoning_effort": "low"}),
            ("gpt-5.4-mini", {"reasoning_effort": "high"}),
            ("gpt-5.5", {}),
            ("gpt-6.2-sol", {}),
        )
    ],
]


ALWAYS_REASONING = ("gpt-5", "o3", "gpt-5.5-pro", "gpt-6-astra", "gpt-6.1-sol", "gpt-6.2-sol")


@pytest.mark.parametrize("model", ALWAYS_REASONING)
def test_a_model_that_always_reasons_is_never_asked_not_to(model: str) -> None:
    bodies = ({"temperature": 0}, {"reasoning_effort": "none"}, {"tools": [{"type": "function"}]})
    for endpoint in ("/v1/chat/completions", "/v1/responses"):
        notes = FRAME.bf.requests("{{ text }}", model=model, endpoint=endpoint).estimate().notes
        assert any("Reasoning tokens" in note for note in notes)
        assert "none" not in " ".join(notes)
    for body in bodies:
        with suppress(RequestError):
            ask(model, **body)
            continue
        with pytest.raises(RequestError) as excinfo:
            ask(model, **body)
        assert '="none"' not in str(excinfo.value)
    notes = ask("gpt-6-luna").estimate().notes
    assert any('reasoning_effort="none"' in note for note in notes)


@pytest.mark.parametrize(("model", "body", "way_out"), REFUSED)
def test_a_parameter_that_the_model_rejects_is_refused_with_source_and_fix(
    model: str, body: dict[str, Any], way_out: str
) -> None:
    name = next(iter(body))
    with pytest.raises(RequestError) as excinfo:
        ask(model, **body)
    message = str(excinfo.value)
    assert message.startswith(f"{name}: rejected by {model}")
    assert way_out in message
    assert re.search(r"20\d\d-\d\d-\d\d", message)
    request_body = ask(model, **body, allow=[name]).preview(1)[0]["body"]
    assert request_body[name] == body[name]
    assert "allow" not in request_body


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (LUNA, {"temperature": 0, "reasoning_effort": "none"}),
        (LUNA, {"temperature": 1, "top_p": 1.0, "presence_penalty": 0, "logprobs": False}),
        (LUNA, {"temperature": None, "max_completion_tokens": 9, "seed": 1, "stop": ["."]}),
        (LUNA, {"tools": [{"type": "function"}], "reasoning_effort": "none"}),
        (LUNA, {"tools": []}),
        ("gpt-5.4", {"tools": [{"type": "function"}]}),
        ("gpt-5.1", {"tools": [{"type": "function"}], "reasoning_effort": "low"}),
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
def test_supported_and_unknown_parameters_are_passed_unchanged(
    model: str, body: dict[str, Any]
) -> None:
    request_body = ask(model, **body).preview(1)[0]["body"]
    assert {name: request_body[name] for name in body} == body


def test_a_misspelled_parameter_suggests_the_right_one() -> None:
    with pytest.raises(RequestError, match=r"Did you mean temperature=\?"):
        ask(temprature=0)
    with pytest.raises(RequestError, match=r"Did you mean max_completion_tokens=\?"):
        ask(LUNA, max_completion_token=5)
    assert len(ask(temprature=0, allow="temprature")) == 2


def test_an_unknown_parameter_warns_unless_allowed() -> None:
    with pytest.warns(ParameterWarning, match="novelty: not a known parameter") as warned:
        body = ask(novelty=3).preview(1)[0]["body"]
    assert warned[0].filename == __file__
    assert body["novelty"] == 3
    assert len(ask(novelty=3, allow=["novelty"])) == 2


def test_allow_changes_no_bytes_and_is_stored_with_the_job(server: batchframe.local.Server) -> None:
    plain, allowed = ask(temperature=0), ask(temperature=0, allow=["temperature", "model"])
    assert allowed.fingerprint == plain.fingerprint
    job = allowed.submit(client=server.client()).wait()
    assert job._record.manifest.recipe.allow == ("model", "temperature")


def test_allow_must_name_an_existing_parameter() -> None:
    with pytest.raises(RequestError, match=r"allow: unknown check .*'temprature'"):
        ask(temperature=0, allow=["temprature"])
    with pytest.raises(RequestError, match="allow: not a list"):
        ask(allow=7)


@pytest.mark.parametrize("tier", ["flex", "priority", "fast", "ultrafast", "scale"])
def test_a_tier_in_the_requests_is_refused(tier: str) -> None:
    with pytest.raises(RequestError, match="not needed in a batch"):
        ask(service_tier=tier)
    assert len(ask(service_tier=tier, allow=["service_tier"])) == 2


def test_a_tier_without_effect_is_accepted() -> None:
    assert ask(service_tier="default").preview(1)[0]["body"]["service_tier"] == "default"
    assert len(ask(service_tier="auto")) == 2


def test_a_tier_passed_to_submit_is_redirected_to_requests(home: Path) -> None:
    with pytest.raises(RequestError) as excinfo:
        ask().submit(service_tier="flex")  # type: ignore[arg-type]
    message = str(excinfo.value)
    assert "service_tier: not a parameter of submit()" in message
    assert "billed at the batch price" in message
    assert 'requests(..., service_tier="default")' in message
    assert not home.exists()


def test_other_parameters_passed_to_submit_are_redirected_to_requests() -> None:
    with pytest.raises(RequestError, match=r"requests\(\.\.\., temperature=\.\.\.\)\.submit"):
        ask().submit(temperature=0)  # type: ignore[arg-type]
    with pytest.raises(RequestError, match=r"requests\(\.\.\., top_k=5\), as keywords"):
        ask().submit(extra_body={"top_k": 5})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unexpected keyword argument 'color'"):
        ask().submit(color=0)  # type: ignore[arg-type]


class TestTheName:
    """A misspelled name is distinguished from a new one by its letters."""

    @pytest.mark.parametrize(
        ("model", "suggestion"),
        [
            ("gpt-5.6-lunna", "gpt-5.6-luna"),
            ("gpt-5.6-lua", "gpt-5.6-luna"),
            ("GTP-4o-mini", "gpt-4o-mini"),
            ("gpt-6.1-tera", "gpt-6.1-terra"),
            ("text-embeding-3-small", "text-embedding-3-small"),
            ("omni-moderation-lates", "omni-moderation-latest"),
        ],
    )
    def test_a_letter_too_many_too_few_or_out_of_place_is_misspelled(
        self, model: str, suggestion: str
    ) -> None:
        with pytest.raises(RequestError, match="model: not one of OpenAI's") as excinfo:
            ask(model)
        assert f"Did you mean {suggestion!r}?" in str(excinfo.value)
        assert 'allow=["model"]' in str(excinfo.value)
        assert len(ask(model, allow=["model"])) == 2

    @pytest.mark.parametrize(
        "model",
        [
            "gpt-5.7-luna", "gpt-5.6-luna-2026-12-01", "gpt-5.6-luna-pro", "gpt-4.1-maxi", "gpt-7",
            "o5-mini", "gpt4o", "my-model", "openai/gpt-5.6-lunna", "ft:gpt-4.1-mini:acme::1",
        ],
    )  # fmt: skip
    def test_other_digits_another_date_or_suffix_may_be_new(self, model: str) -> None:
        assert len(ask(model)) == 2

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("OPENAI_BASE_URL", "https://api.groq.com/openai/v1"),
            ("AZURE_OPENAI_ENDPOINT", "https://acme.openai.azure.com"),
        ],
    )
    def test_models_of_other_services_may_have_any_name(
        self, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(variable, value)
        assert len(ask("gpt-4.1-mine")) == 2

    def test_no_model_of_another_service_is_refused(self) -> None:
        """A client passed to submit() may be of any service."""
        names = {
            name
            for service in PRICE_BOOK
            if service.id != "openai"
            for model in service.models
            for name in (model.id, model.id.rpartition("/")[2])
        }
        assert len(names) > 1_000
        for name in names:
            check_spelling(name, ())

    def test_a_template_is_not_a_model(self) -> None:
        for model in ("{{ model }}", "gpt-4.1{% if x %}-mini{% endif %}"):
            with pytest.raises(RequestError, match="model: not a template"):
                ask(model)


def test_a_reusable_prompt_is_refused_since_they_have_ended() -> None:
    with pytest.raises(TemplateError, match=r"prompt: a reusable prompt .* ended them on 2026-11"):
        ask(prompt={"id": "pmpt_1", "version": "2"}, endpoint="/v1/responses")


def test_a_batch_has_no_background() -> None:
    for body in ({"background": True}, {"background_options": {"completion_window": "8h"}}):
        (name,) = body
        with pytest.raises(RequestError, match=f"{name}: not supported in a batch"):
            ask(endpoint="/v1/responses", **body)
    image = ask("gpt-image-2.6-flare", endpoint="/v1/images/generations", background="transparent")
    assert image.preview(1)[0]["body"]["background"] == "transparent"


def test_the_service_takes_precedence_over_the_table(fake_server: FakeServer) -> None:
    def submit(*models: dict[str, Any]) -> None:
        fake_server.reply("GET", "/models", (200, json.dumps({"data": models}).encode()))
        ask("gpt-4.1-nano").submit(client=fake_server.client(), provider="openai", max_cost=0)

    for day in (None, "2099-01-01"):
        with pytest.raises(CostError):
            submit({"id": "gpt-4.1-nano", "shutdown_date": day})
    for models in ([], [{"id": "gpt-4.1-nano", "shutdown_date": "2026-10-23"}]):
        with pytest.raises(RequestError, match="down on 2026-10-23"):
            submit(*models)
    assert set(fake_server.calls) == {("GET", "/v1/models")}


JSON_MODE = {"type": "json_object"}


class TestJsonMode:
    """JSON mode needs the word in the messages of every request."""

    def test_a_prompt_without_the_word_json_is_refused_by_its_first_row(self) -> None:
        with pytest.raises(RequestError, match=r"row 0 \(index 'x'\)") as excinfo:
            ask(response_format=JSON_MODE)
        assert "output=" in str(excinfo.value)
        assert len(ask(response_format=JSON_MODE, allow=["response_format"])) == 2

    @pytest.mark.parametrize(
        ("prompt", "system"),
        [("Answer in JSON: {{ text }}", None), ("{{ text }}", "You write Json."),
         ([{"role": "user", "content": [{"type": "text", "text": "json {{ text }}"}]}], None),
         (lambda row: f"json: {row['text']}", None)],
        ids=["template", "system", "parts", "function"],
    )  # fmt: skip
    def test_the_word_json_may_be_anywhere(self, prompt: Any, system: str | None) -> None:
        lines = ask("gpt-4.1", prompt, system=system, response_format=JSON_MODE).preview(1)
        assert lines[0]["body"]["response_format"] == JSON_MODE

    def test_a_cell_may_contain_the_word_json_and_a_row_without_it_is_named(self) -> None:
        frame = pd.DataFrame({"text": ["as JSON", "as jSoN", "as XML"]})
        options = {"model": "gpt-4.1", "response_format": JSON_MODE}
        assert len(frame.head(2).bf.requests("{{ text }}", **options)) == 2
        with pytest.raises(RequestError, match="missing in row 2"):
            frame.bf.requests("{{ text }}", **options)

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
    def test_text_that_the_model_does_not_see_does_not_count(self, message: dict[str, Any]) -> None:
        with pytest.raises(RequestError, match="row 0"):
            ask(prompt=[message], response_format=JSON_MODE)
        system = {"role": "system", "content": "Write JSON."}
        assert len(ask(prompt=[system, message], response_format=JSON_MODE)) == 2
        with pytest.raises(RequestError, match="row 0"):
            ask(prompt=lambda row: [{**message, "content": row["text"]}], response_format=JSON_MODE)

    def test_tool_call_arguments_count(self) -> None:
        called = {"name": "look", "arguments": '{"as":"json"}'}
        calls = [{"id": "c", "type": "function", "function": called}]
        before = {"role": "assistant", "content": "", "tool_calls": calls}
        after = {"role": "user", "content": "{{ text }}"}
        assert len(ask(prompt=[before, after], response_format=JSON_MODE)) == 2

    def test_models_of_other_makers_are_not_checked(self) -> None:
        assert len(ask("my-model", response_format=JSON_MODE)) == 2

    def test_a_schema_belongs_in_output(self) -> None:
        with pytest.raises(RequestError, match="schema or class as output="):
            ask(response_format={"type": "json_schema"})
        with pytest.raises(RequestError, match="schema or class as output="):
            ask(response_format=JSON_MODE, output=["a"])


class TestSending:
    """Checks of `submit`: service, date and token counts."""

    def check(self, requests: bf.Requests, url: str = OPENAI_URL, on: str = "2026-11-21") -> None:
        """Submit on this day, up to the check of max_cost, which is the last."""
        client = out_of_reach(url)
        with pytest.MonkeyPatch.context() as patch, suppress(CostError):
            patch.setattr("batchframe._api.submitting.today", lambda: date.fromisoformat(on))
            requests.submit(client=client, max_cost=0)
            pytest.fail("nothing may be sent for nothing")

    def test_a_model_is_refused_from_its_shutdown_date_on(self) -> None:
        self.check(ask("gpt-5-mini"), on="2026-12-10")
        with pytest.raises(RequestError, match=r"gpt-5-mini down on 2026-12-11") as excinfo:
            self.check(ask("gpt-5-mini"), on="2026-12-11")
        assert 'model="gpt-6.1-terra"' in str(excinfo.value)
        self.check(ask("gpt-5-mini", allow=["model"]), on="2027-01-01")
        with pytest.raises(RequestError, match="Fix: another"):
            self.check(ask("gpt-3.5-turbo-1106"))

    def test_a_tuned_model_follows_its_base(self) -> None:
        with pytest.raises(RequestError, match="2027-01-14"):
            self.check(ask("ft:gpt-4o-mini-2024-07-18:acme::1"), on="2027-01-14")

    def test_a_model_without_batch_support_is_refused(self) -> None:
        with pytest.raises(RequestError, match="not available in OpenAI's Batch API"):
            self.check(ask("gpt-6-cyber"))
        self.check(ask("gpt-6-cyber", allow=["model"]))

    @pytest.mark.parametrize(
        "url",
        ["http://127.0.0.1:8000/v1", "https://res.openai.azure.com/openai/v1", "https://a.b/v1"],
    )
    def test_another_service_may_offer_any_model(self, url: str) -> None:
        self.check(ask("gpt-4.1-nano"), url)
        self.check(ask("gpt-6-cyber"), url)

    def test_submit_checks_the_model_before_anything_is_written(
        self, monkeypatch: pytest.MonkeyPatch, home: Path
    ) -> None:
        monkeypatch.setattr("batchframe._api.submitting.today", lambda: date(2026, 11, 21))
        client = out_of_reach()
        with pytest.raises(RequestError, match=r"gpt-4\.1-nano down on 2026-10-23"):
            ask("gpt-4.1-nano").submit(client=client)
        assert not (home / "jobs").exists() or not any((home / "jobs").iterdir())

    def test_a_prompt_beyond_the_window_is_refused_by_its_row(
        self, server: batchframe.local.Server
    ) -> None:
        frame = pd.DataFrame({"text": ["a", "a", "word " * 9_000, "c"]}, index=list("pqrs"))
        requests = frame.bf.requests("{{ text }}", model="gpt-4")
        assert "first at row 2" in " ".join(requests.estimate().notes)
        with pytest.raises(RequestError, match=r"row 2 \(index 'r'\).*8,192") as excinfo:
            requests.submit(client=server.client())
        assert 'allow=["context_window"]' in str(excinfo.value)
        allowed = frame.bf.requests("{{ text }}", model="gpt-4", allow=["context_window"])
        assert allowed.submit(client=server.client()).wait().done
        assert frame.bf.requests("{{ text }}", model="my-model").estimate().requests == 3

    def test_a_prompt_that_fills_the_window_exactly_passes(self) -> None:
        def asking(word_count: int) -> bf.Requests:
            frame = pd.DataFrame({"text": ["a", "word" + " word" * (word_count - 1)]})
            return frame.bf.requests("{{ text }}", model="gpt-4")

        around = bf.count_tokens(asking(1).preview(2)[1]["body"]).tokens - 1
        full = asking(8_192 - around)
        assert bf.count_tokens(full.preview(2)[1]["body"]).tokens == 8_192
        self.check(full, on="2026-01-01")
        with pytest.raises(RequestError, match="in row 1"):
            self.check(asking(8_193 - around), on="2026-01-01")


class TestTheTable:
    """Each line has its source and its day, and says what is meant."""

    def test_every_rule_has_a_source_and_a_date(self) -> None:
        table = rules()
        lines = [
            *table["parameter"], *table["shutdown"], *table["context_window"],
            *table["known_parameters"].values(), table["not_in_batch"], table["service_tiers"],
            table["no_reasoning_by_default"], table["names"], table["not_a_model"],
            *table["known_arguments"].values(),
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
        # `stream` is in the two types derived from this one.
        assert set(line["names"]) == theirs - {"model", "messages"} | {"stream"}

    def test_the_table_states_the_day_of_its_last_check(self) -> None:
        assert date(2026, 11, 1) <= rules()["checked"] <= date(2027, 12, 31)

    def test_similar_model_names_are_distinguished(self) -> None:
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
            notes = " ".join(long.bf.requests("{{ text }}", model=model).estimate().notes)
            assert ("above the context window" in notes) == (window is not None), notes
            assert window is None or f"({window} tokens)" in notes

    def test_no_model_has_two_shutdown_dates(self) -> None:
        names = [name for line in rules()["shutdown"] for name in line["models"]]
        assert len(names) == len(set(names))
        for name in names:
            notes = ask(name, allow=["model"]).estimate().notes
            assert any(name in note and "down" in note for note in notes), name


RESPONSES, EMBEDDINGS = "/v1/responses", "/v1/embeddings"
CHAT = "/v1/chat/completions"


@pytest.mark.parametrize(
    ("endpoint", "model", "body", "fragment"),
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
def test_a_value_or_name_that_would_fail_every_request_is_refused(
    endpoint: str, model: str, body: dict[str, Any], fragment: str
) -> None:
    with pytest.raises(RequestError, match=fragment):
        ask(model, endpoint=endpoint, **body)
    assert len(ask(model, endpoint=endpoint, **body, allow=[*body])) == 2


def test_valid_parameters_are_accepted() -> None:
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


def test_allow_accepts_a_parameter_similar_to_a_keyword() -> None:
    for model in ("my-model", "gpt-4.1"):
        with pytest.raises(RequestError, match=r'Did you mean name=\?.*allow=\["names"\]'):
            ask(model, names=1)
    requests = ask("my-model", names=["a"], promt="b", allow=["names", "promt"])
    body = requests.preview(1)[0]["body"]
    assert (body["names"], body["promt"]) == (["a"], "b")
    with pytest.raises(RequestError, match=r"allow: .*'nope'"):
        ask("my-model", names=1, allow=["names", "nope"])


def test_invalid_requests_are_reported_before_their_price(monkeypatch: pytest.MonkeyPatch) -> None:
    key = out_of_reach()
    for model, fragment in (
        ("gpt-4.1-nano", "shut gpt-4.1-nano down"),
        ("gpt-6-cyber", "not available"),
    ):
        requests = ask(model)
        with pytest.raises(RequestError, match=fragment):
            requests.submit(max_cost=0, client=key)
        with pytest.raises(RequestError, match=fragment):
            requests.pilot(2, max_cost=0, client=key)
    monkeypatch.setattr("batchframe._api.submitting.today", lambda: date(2026, 1, 1))
    with pytest.raises(CostError):
        ask("gpt-4.1-nano").submit(max_cost=0, client=key)


def test_a_submitted_job_is_found_again_although_rules_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with batchframe.local.serve(answer=lambda _: "a long answer " * 50) as server:
        requests = ask("gpt-4.1", max_completion_tokens=500)
        job = requests.submit("once", client=server.client(), max_cost=1).wait()

        def refuse(*_: object) -> None:
            raise AssertionError

        monkeypatch.setattr("batchframe._api.submitting.check_sending", refuse)
        again = requests.submit("once", client=server.client(), max_cost="0.000001")
        assert again.id == job.id
        with pytest.raises(AssertionError):
            requests.submit("once", client=server.client(), rerun="again")
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
    requests = ask(model, endpoint=endpoint, allow=["model"])
    assert len(requests) == 2
    assert model in repr(requests)


def test_models_of_other_makers_are_accepted_at_any_endpoint() -> None:
    for model in ("nomic-embed", "openai/text-embedding-3-small"):
        assert len(ask(model)) == len(ask(model, endpoint=EMBEDDINGS)) == 2


def test_a_model_name_similar_to_a_known_one_is_refused() -> None:
    notes = " ".join(ask("gpt5.6-luna").estimate().notes)
    assert "Did you mean gpt-5.6-luna?" in notes
    assert "Did you mean" not in " ".join(ask("llama-4-scout").estimate().notes)
