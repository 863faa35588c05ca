"""Processes that are forked while a job is watched."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

import batchframe as bf
import batchframe.local

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork()")

PROCESSES = "batchframe._services.openai_transport._PROCESSES"
# Forks at many moments of a poll; a child that hangs is ended by its alarm.
PARENT = """
    import os, signal, sys, threading, time, warnings

    warnings.simplefilter("ignore")
    import openai, pandas as pd
    import batchframe as bf

    def client():
        return openai.OpenAI(base_url=sys.argv[1], api_key="any", max_retries=0)

    def refused(act):
        try:
            act()
        except bf.errors.ClientError as reason:
            assert "forked" in str(reason)
        else:
            raise AssertionError("the parent's client was used")

    {watched}
    ready = threading.Event()

    def poll():
        while True:
            job.refresh()
            ready.set()

    threading.Thread(target=poll, daemon=True).start()
    ready.wait(60)
    children = []
    for number in range(12):
        time.sleep(0.003 * number)
        child = os.fork()
        if not child:
            signal.alarm(60)
            try:
                {act}
            except BaseException as reason:
                os.write(2, repr(reason).encode())
                os._exit(1)
            os._exit(0)
        children.append(child)
    print(sum(os.waitpid(child, 0)[1] != 0 for child in children), flush=True)
    os._exit(0)
"""
SUBMITTED = """
    frame = pd.DataFrame({"t": list("abc")})
    requests = frame.bf.requests("{{ t }}", model="gpt-4.1")
    job = requests.submit("forked", client=client()).watch(poll=(0.001, 0.002))
"""


def failed(act: str, server: batchframe.local.Server, watched: str = SUBMITTED) -> str:
    """Return how many of the children failed."""
    server.pause()
    code = textwrap.dedent(PARENT).replace("{watched}", textwrap.dedent(watched))
    process = subprocess.run(
        [sys.executable, "-c", code.replace("{act}", act), server.url],
        capture_output=True,
        text=True,
        check=False,
    )
    return process.stdout.strip() or process.stderr


def test_a_forked_process_continues_a_job_with_a_client_of_its_own(
    server: batchframe.local.Server,
) -> None:
    act = 'assert bf.job("forked", client=client()).refresh().watch().status == "validating"'
    assert failed(act, server) == "0"


def test_a_forked_process_is_told_not_to_use_its_parents_client(
    server: batchframe.local.Server,
) -> None:
    act = "job.status, job.results(), repr(job), bf.jobs(); refused(job.refresh)"
    assert failed(act, server) == "0"


def test_a_forked_process_has_its_own_client_of_the_environment(
    server: batchframe.local.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    watched = SUBMITTED.replace(", client=client()", "")
    act = 'assert job.refresh().status == "validating"'
    assert failed(act, server, watched) == "0"


def test_connections_of_another_process_are_refused(
    requests: bf.Requests, server: batchframe.local.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = server.client()
    requests.submit("kept", client=client).wait()
    with monkeypatch.context() as patch:
        patch.setattr(PROCESSES, {client._client: os.getpid() + 1})
        with pytest.raises(bf.errors.ClientError, match="forked"):
            bf.recover(client)
    assert bf.job("kept", client=client).refresh().counts == {"ok": 3}
