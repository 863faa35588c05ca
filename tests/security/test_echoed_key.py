"""X2: a service that echoes the API key in any field or header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import batchframe as bf
from tests.support.other_server import DEFAULT_BATCH, fake_server, jsonl, requests

__all__ = ["fake_server", "requests"]

KEY = "sk-CANARY-0123456789abcdef"
ODD_KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"  # like Azure's, which have no prefix
KEYS = [KEY, ODD_KEY, "a/b+c123456="]
FORMS = ["plain", "escaped"]


def written(value: object, key: str, form: str) -> bytes:
    """Return JSON that holds the key, or its characters as escapes."""
    text = json.dumps(value)
    if form == "escaped":
        escapes = "".join(rf"\u{ord(char):04X}" for char in key)
        text = text.replace(json.dumps(key)[1:-1], escapes)
    return text.encode()


def shown(job: bf.Job) -> list[str]:
    """Return all that a job shows and holds."""
    texts = [repr(job), job._repr_html_(), bf.jobs().to_string(), str(job.report())]
    return [*texts, job.results(details=True).to_csv()]


def assert_nowhere(key: str, home: Path, texts: list[str]) -> None:
    assert not [text for text in texts if key in text]
    for path in home.rglob("*"):
        assert path.is_dir() or key.encode() not in path.read_bytes(), path


def client_of(fake_server: Any, key: str) -> Any:
    return fake_server.client(max_retries=0).with_options(api_key=key)


def answer(handler: Any, status: int, body: bytes, key: str) -> None:
    handler.send_response(status)
    handler.send_header("X-Request-Id", f"req {key}")
    handler.send_header("X-Any", key)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("path", ["/files", "/batches"])
def test_x2_a_key_in_a_refusal_is_masked(
    path: str, key: str, fake_server: Any, requests: bf.Requests, home: Path
) -> None:
    error = {"code": f"code {key}", "type": key, "param": key, "message": f"No: {key}"}
    for form in FORMS:
        body = written({"error": error}, key, form)
        fake_server.reply("POST", path, lambda handler, it=body: answer(handler, 400, it, key))
        with pytest.raises(bf.errors.BatchframeError, match="No") as excinfo:
            requests.submit("job", client=client_of(fake_server, key))
        job = bf.job("job")
        assert_nowhere(key, home, [str(excinfo.value), repr(job), job._repr_html_()])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", KEYS)
def test_x2_a_key_in_a_batch_is_masked(
    key: str, form: str, fake_server: Any, requests: bf.Requests, home: Path
) -> None:
    odd = {
        "status": "failed",
        "metadata": {"who": key, key: "who"},
        "errors": {"data": [{"code": f"bad {key}", "message": f"No: {key}", "line": None}]},
        "output_file_id": None,
        "model": key,
    }
    batch = {**DEFAULT_BATCH, **odd}
    created = {**DEFAULT_BATCH, "status": "validating", "metadata": {"who": key, "it": f"a{key}"}}
    for method, path, body in (
        ("POST", "/batches", created),
        ("GET", "/batches/batch_1", batch),
    ):
        content = written(body, key, form)
        fake_server.reply(method, path, lambda handler, it=content: answer(handler, 200, it, key))
    job = requests.submit("job", client=client_of(fake_server, key)).wait()
    assert job.counts == {"failed": 3}
    assert_nowhere(key, home, shown(job))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", KEYS)
def test_x2_a_key_in_a_result_file_is_masked(
    key: str, form: str, fake_server: Any, requests: bf.Requests, home: Path
) -> None:
    def lines(prompts: Any) -> bytes:
        error = {"code": f"bad {key}", "message": f"No: {key}"}
        (first, _), (second, _), (third, _) = prompts
        text = {"message": {"content": f"You are {key}."}, "finish_reason": "stop"}
        content = jsonl(
            {"custom_id": first, "response": None, "error": error},
            {"custom_id": second, "response": {"status_code": 401, "body": {"error": error}}},
            {"custom_id": third, "response": {"status_code": 200, "body": {"choices": [text]}}},
        )
        return b"\n".join(written(json.loads(line), key, form) for line in content.splitlines())

    fake_server.files["file-out"] = lines
    job = requests.submit("job", client=client_of(fake_server, key)).wait()
    assert job.counts == {"ok": 1, "failed": 2}
    assert_nowhere(key, home, shown(job))
    assert "You are " in job.results()["response"][2]


def test_x2_a_dummy_key_is_a_word_like_others(fake_server: Any, requests: bf.Requests) -> None:
    fake_server.files["file-out"] = lambda prompts: jsonl(
        *(
            {
                "custom_id": custom_id,
                "response": {
                    "status_code": 200,
                    "body": {"choices": [{"message": {"content": "a placeholder"}}]},
                },
            }
            for custom_id, _ in prompts
        )
    )
    job = requests.submit("job", client=client_of(fake_server, "placeholder")).wait()
    assert job.results()["response"].tolist() == ["a placeholder"] * 3
