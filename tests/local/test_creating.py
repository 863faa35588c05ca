from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openai
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from batchframe import local


def refused(client: openai.OpenAI, body: dict[str, Any]) -> openai.BadRequestError:
    with pytest.raises(openai.BadRequestError) as excinfo:
        client.post("/batches", body=body, cast_to=object)
    return excinfo.value


GOOD = {
    "input_file_id": "file-1",
    "endpoint": "/v1/chat/completions",
    "completion_window": "24h",
}


@pytest.mark.parametrize("name", ["input_file_id", "endpoint", "completion_window"])
def test_a_required_parameter_is_named_when_missing(client: openai.OpenAI, name: str) -> None:
    error = refused(client, {key: value for key, value in GOOD.items() if key != name})
    assert (error.code, error.param) == ("missing_required_parameter", name)


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"endpoint": "/v1/decisions"}, "invalid_value", "endpoint"),
        ({"completion_window": "7d"}, "invalid_value", "completion_window"),
        ({"input_file_id": 7}, "invalid_type", "input_file_id"),
        ({"metadata": "text"}, "invalid_type", "metadata"),
        ({"metadata": {"tags": ["a"]}}, "invalid_type", "metadata.tags"),
        (
            {"metadata": {str(n): "" for n in range(17)}},
            "object_above_max_properties",
            "metadata",
        ),
        ({"metadata": {"k" * 65: ""}}, "string_above_max_length", "metadata"),
        ({"metadata": {"k": "v" * 513}}, "string_above_max_length", "metadata.k"),
        (
            {"output_expires_after": {"anchor": "created_at", "seconds": 1}},
            "integer_out_of_range",
            "output_expires_after.seconds",
        ),
    ],
)
def test_a_wrong_parameter_is_refused(
    client: openai.OpenAI, changes: dict[str, Any], code: str, param: str
) -> None:
    error = refused(client, GOOD | changes)
    assert (error.code, error.param) == (code, param)


def test_the_supported_endpoints_are_listed_when_one_is_wrong(client: openai.OpenAI) -> None:
    error = refused(client, GOOD | {"endpoint": "chat"})
    assert "Supported values are: '/v1/responses', '/v1/chat/completions'" in error.message


def test_a_body_that_is_not_json_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="could not parse the JSON body"):
        client.post("/batches", body=None, cast_to=object)


def test_a_file_with_another_purpose_is_refused(client: openai.OpenAI) -> None:
    file = client.files.create(file=("a.jsonl", b"{}"), purpose="user_data")
    assert refused(client, GOOD | {"input_file_id": file.id}).param == "input_file_id"


def test_a_new_batch_is_validating_and_has_a_day(
    server: local.Server, batch_client: Any, make_lines: Callable[[int], list[Any]]
) -> None:
    server.pause()
    batch = batch_client.submit(make_lines(2), metadata={"job": "one"})
    assert batch.status == "validating"
    assert batch.expires_at == batch.created_at + 24 * 60 * 60
    assert batch.metadata == {"job": "one"}
    assert batch.request_counts is not None
    assert batch.request_counts.total == 0


def test_batches_are_listed_newest_first_in_pages_of_twenty(
    server: local.Server, batch_client: Any, client: openai.OpenAI, make_lines: Any
) -> None:
    server.pause()
    file_id = batch_client.upload(make_lines(1))
    ids = [
        client.batches.create(
            input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h"
        ).id
        for _ in range(25)
    ]
    page: Any = client.batches.list()
    assert [batch.id for batch in page.data] == ids[:4:-1]
    assert page.has_more
    assert (page.first_id, page.last_id) == (ids[24], ids[5])
    assert [batch.id for batch in client.batches.list(limit=7)] == ids[::-1]
    last: Any = client.batches.list(after=ids[5])
    assert [batch.id for batch in last.data] == ids[4::-1]
    assert not last.has_more


@pytest.mark.parametrize("limit", [0, 101])
def test_a_page_holds_one_to_a_hundred_batches(client: openai.OpenAI, limit: int) -> None:
    with pytest.raises(openai.BadRequestError) as excinfo:
        client.batches.list(limit=limit)
    assert excinfo.value.param == "limit"


def test_an_unknown_batch_is_not_found(client: openai.OpenAI) -> None:
    for ask in (client.batches.retrieve, client.batches.cancel):
        with pytest.raises(openai.NotFoundError, match="No batch found with id 'batch_unknown'"):
            ask("batch_unknown")
    with pytest.raises(openai.NotFoundError):
        client.batches.list(after="batch_unknown")


def test_an_unknown_address_is_refused_in_openais_shape(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="Invalid URL"):
        client.post("/decisions", body={}, cast_to=object)
