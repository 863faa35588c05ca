"""X2: the API key is in the Authorization header, and nowhere else."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
import textwrap
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest

import batchframe as bf
import batchframe.local
from tests.support import notebooks
from tests.support.seams import service_of

KEY = "sk-CANARY-0123456789abcdef"
ODD_KEY = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"  # like Azure's, which have no prefix


def echo(key: str) -> str:
    """Return an error that contains the key, as some services do."""
    return json.dumps({"error": {"message": f"Incorrect API key: {key}.", "code": "bad"}})


FAULTS = [
    ("POST", "/files", "401 refused"),
    ("POST", "/files", "500"),
    ("POST", "/files", "reset"),
    ("POST", "/files", "login page"),
    ("POST", "/batches", "400 refused"),
    ("POST", "/batches", "broken JSON"),
    ("GET", "/batches", "401 refused"),
]


def failure_of(act: Callable[[], object]) -> BaseException:
    with pytest.raises(bf.errors.BatchframeError) as excinfo:
        act()
    return excinfo.value


def frames_of(reason: BaseException) -> str:
    """Format a traceback with local variables, except those of this file."""
    trace = traceback.TracebackException.from_exception(reason, capture_locals=True)
    ours = [frame for frame in trace.stack if frame.filename != __file__]
    return "".join(f"{frame.name} {frame.locals}" for frame in ours) + "".join(
        trace.format_exception_only()
    )


def everything_reachable(reason: BaseException) -> str:
    """Format everything reachable from an exception."""
    texts = []
    exceptions: list[BaseException | None] = [reason]
    while exceptions:
        one = exceptions.pop()
        if one is not None:
            texts.append(f"{one!r} {one} {one.args} {vars(one)}")
            exceptions += [one.__cause__, one.__context__]
    return "\n".join(texts)


@pytest.mark.parametrize("key", [KEY, ODD_KEY], ids=["OpenAI's", "another's"])
@pytest.mark.parametrize("fault", FAULTS, ids=" ".join)
def test_x2_no_exception_carries_the_key(
    fault: tuple[str, str, str], key: str, proxy: Any, requests: bf.Requests
) -> None:
    method, path, kind = fault
    refused = kind in {"400 refused", "401 refused", "500"}
    proxy.fail(method, path, kind, body=echo(key) if refused else None, times=50)
    client = proxy.client(key=key).with_options(max_retries=0)
    reason = failure_of(lambda: requests.submit("secret", client=client))
    assert key not in everything_reachable(reason)
    assert key not in frames_of(reason)
    pickled = pickle.dumps(reason)
    assert key.encode() not in pickled
    again = pickle.loads(pickled)  # noqa: S301 - our own bytes
    assert (type(again), str(again)) == (type(reason), str(reason))
    assert getattr(again, "status", None) == getattr(reason, "status", None)


def test_x2_the_key_of_an_azure_client_is_redacted_too(proxy: Any, requests: bf.Requests) -> None:
    proxy.fail("GET", "/batches", "401 refused", body=echo(ODD_KEY), times=50)
    client = openai.AzureOpenAI(base_url=proxy.url, api_version="2026-01-01", api_key=ODD_KEY)
    reason = failure_of(lambda: requests.submit("secret", client=client))
    assert "Incorrect API key" in str(reason)
    assert ODD_KEY not in everything_reachable(reason)


@pytest.mark.slow
def test_x2_the_debug_log_does_not_contain_the_key(proxy: Any) -> None:
    code = """
        import logging, os, sys
        import openai, pandas as pd
        import batchframe as bf

        logging.basicConfig(level=0)
        client = openai.OpenAI(base_url=sys.argv[1])
        asked = pd.DataFrame({"t": ["a"]}).bf.requests("{{ t }}", model="gpt-4.1", output=["+"])
        asked.submit("loud", client=client).wait()
        print(repr(bf.job("loud")), bf.jobs())
    """
    proxy.fail("POST", "/files", "500", body=echo(KEY))
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), proxy.url],
        env={**os.environ, "OPENAI_LOG": "debug", "OPENAI_API_KEY": KEY},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert "openai._base_client" in process.stderr  # debug logging was on
    assert KEY not in process.stdout + process.stderr


def test_x2_a_verbose_notebook_traceback_does_not_contain_the_key(
    proxy: Any,
) -> None:
    from IPython.core.ultratb import VerboseTB

    def frames(reason: BaseException) -> Any:
        # Without those of this test, which contain the proxy.
        return reason.__traceback__ and reason.__traceback__.tb_next

    proxy.fail("POST", "/files", "401 refused", body=echo(KEY))
    code = textwrap.dedent(
        """
        import openai, pandas as pd, batchframe as bf
        client = openai.OpenAI(base_url=url)
        asked = pd.DataFrame({"t": ["a"]}).bf.requests("{{ t }}", model="gpt-4.1", output=["+"])
        asked.submit("verbose", client=client)
        """
    )
    try:
        exec(compile(code, "<cell>", "exec"), {"url": proxy.url})  # noqa: S102 - as a kernel does
    except bf.errors.ServiceError as reason:
        trace = VerboseTB(theme_name="nocolor").text(type(reason), reason, frames(reason))
    assert "OpenAIService" in trace
    assert KEY not in trace


@pytest.mark.slow
def test_x2_a_saved_notebook_does_not_contain_the_key(proxy: Any) -> None:
    cells = [
        "%xmode Verbose\nimport openai, pandas as pd, batchframe as bf",
        f"client = openai.OpenAI(base_url={proxy.url!r})",
        'asked = pd.DataFrame({"t": ["a"]}).bf.requests("{{ t }}", model="gpt-4.1", output=["+"])',
        'asked.submit("first", client=client)',
        'job = asked.submit("first", client=client).wait()\njob',
        "job.results(details=True)",
        "bf.jobs()",
    ]
    proxy.fail("POST", "/files", "401 refused", body=echo(KEY))
    notebook = notebooks.new(*cells)
    notebooks.client_of(notebook, timeout=120, allow_errors=True).execute()
    text = notebooks.as_text(notebook)
    assert "The service rejected the request (HTTP 401" in text
    assert "completed" in text
    assert KEY not in text


def test_x2_the_service_gets_the_key_in_one_header_only(
    proxy: Any, heard: list[Any], requests: bf.Requests, server: batchframe.local.Server
) -> None:
    job = requests.submit("heard", client=proxy.client(key=KEY)).wait()
    job.cancel()
    lines = {request.line.split("?")[0].rsplit("/", 1)[0] for request in heard}
    assert {"POST /v1", "GET /v1", "GET /v1/batches", "GET /v1/files"} <= lines
    for request in heard:
        names = [name.lower() for name, value in request.headers if KEY in value]
        assert names == ["authorization"], request.line
        assert KEY not in request.line
        assert KEY.encode() not in request.body
    batch = server.client().batches.list().data[0]
    assert KEY not in str(batch.metadata)


def test_x2_nothing_stored_or_shown_contains_the_key(
    proxy: Any, requests: bf.Requests, home: Path
) -> None:
    client = proxy.client(key=KEY)
    job = requests.submit("kept", client=client).wait()
    service = service_of(client)
    texts = [
        repr(job), str(job), job._repr_html_(), repr(vars(job)), repr(service), str(vars(service)),
        repr(service.identity), repr(requests), bf.jobs().to_string(),
        job.results(details=True).to_csv(), pickle.dumps(job).decode("latin-1"),
    ]  # fmt: skip
    again = pickle.loads(pickle.dumps(job))  # noqa: S301 - our own bytes
    assert again.counts == {"ok": 3}
    texts += [path.read_bytes().decode("latin-1") for path in home.rglob("*") if path.is_file()]
    assert len(texts) > 15
    assert not [text for text in texts if KEY in text]


def test_x2_a_url_with_a_password_is_kept_and_shown_without_it(
    server: batchframe.local.Server, requests: bf.Requests, home: Path
) -> None:
    url = server.url.replace("http://", f"http://me:{KEY}@")
    client = openai.OpenAI(base_url=url, api_key="x", default_query={"code": KEY})
    job = requests.submit("with a password", client=client).wait()
    assert job.counts == {"ok": 3}
    for path in home.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path
    far = openai.OpenAI(base_url=f"http://me:{KEY}@192.0.2.1/v1", api_key="x")
    assert KEY not in str(failure_of(lambda: requests.submit(client=far)))


def test_x2_the_key_in_the_reason_of_a_failed_batch_is_redacted(
    proxy: Any, requests: bf.Requests, server: batchframe.local.Server, home: Path
) -> None:
    server.pause()
    job = requests.submit("failed", client=proxy.client(key=KEY))
    batch = server.client().batches.list().data[0].to_dict()
    errors = {"data": [{"code": "bad", "message": f"The key {KEY} may not.", "line": None}]}
    body = json.dumps({**batch, "status": "failed", "errors": errors})
    proxy.fail("GET", batch["id"], "500", status=200, body=body, times=50)
    job.refresh()
    assert job.status == "failed"
    assert "sk-…" in job.results()["bf_error"][0]
    for path in home.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"Incorrect API key provided: {KEY}.", "Incorrect API key provided: sk-…."),
        ("key: sk-proj-********************abcd. You", "key: sk-…. You"),
        ("sk-...wxyz", "sk-…"),
        ("'sk-ab…yz'", "'sk-…'"),
        ("a disk-image, a task-force, sk-8", "a disk-image, a task-force, sk-8"),
        ("nothing", "nothing"),
    ],
)
def test_x2_anything_that_looks_like_a_key_is_redacted(
    text: str, expected: str, proxy: Any, requests: bf.Requests
) -> None:
    for message in (text, expected):
        refusal = json.dumps({"error": {"message": f"<{message}>", "code": "bad"}})
        proxy.fail("POST", "/batches", "400 refused", body=refusal)
        with pytest.raises(bf.errors.SubmissionError) as excinfo:
            requests.submit("secret", client=proxy.client())
        assert f"<{expected}>" in str(excinfo.value)


@pytest.mark.slow
def test_x2_the_search_for_leaks_finds_one(tmp_path: Path) -> None:
    # The check at the end of a session fails for a log and for a file.
    (tmp_path / "test_leak.py").write_text(
        textwrap.dedent(
            """
            import logging, os

            def test_a_file(tmp_path):
                (tmp_path / "leak").write_bytes(b"x" * 99 + os.environ["OPENAI_API_KEY"].encode())

            def test_a_log():
                logging.getLogger("leak").error(os.environ["OPENAI_API_KEY"])
            """
        )
    )
    root = Path(__file__).parents[2]
    # Outside this session's folder, which is searched, too.
    with tempfile.TemporaryDirectory() as leaks:
        process = subprocess.run(
            [
                sys.executable, "-m", "pytest", "-q", "-n", "0",
                "-p", "no:cacheprovider", "-p", "tests.conftest",
                "-c", str(root / "pyproject.toml"), "--rootdir", str(root),
                "--basetemp", f"{leaks}/base", str(tmp_path),
            ],
            env={**os.environ, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
    assert process.returncode == 1, process.stdout + process.stderr
    assert "the key stands in" in process.stdout
    assert "test_a_file0/leak" in process.stdout
    assert "test_a_log: Captured log call" in process.stdout
