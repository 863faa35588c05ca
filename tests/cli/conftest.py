"""A shell: the command line in processes of its own or here, against a server on loopback."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import batchframe.local
from tests.support.commands import run_command

KEY = os.environ.get("OPENAI_API_KEY", "")
LABELS = "positive,negative,mixed"


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The document on the standard output, and nothing else may be there."""
        return json.loads(self.out)


class Shell:
    """Runs commands as a user would, and never sees a key or a traceback."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = dict(
            os.environ, COLUMNS="100", NO_COLOR="1", PYTHONWARNINGS="error,ignore::ResourceWarning"
        )

    def at(self, url: str) -> Shell:
        """Connect to this server from now on."""
        self.env["OPENAI_BASE_URL"] = url
        return self

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command and leave it running."""
        return subprocess.Popen(
            [sys.executable, "-m", "batchframe", *words],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def __call__(self, *words: str, stdin: bytes | None = None) -> Ran:
        """Run a command to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "batchframe", *words],
            cwd=self.folder,
            env=self.env,
            input=stdin or b"",
            capture_output=True,
            check=False,
        )
        ran = Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert self.env["OPENAI_API_KEY"].strip() not in ran.out + ran.err
        assert "Traceback" not in ran.err
        return ran

    def here(self, *words: str, stdin: bytes = b"") -> Ran:
        """Run a command to its end in this process, which takes less than to start one."""
        streams = [io.TextIOWrapper(io.BytesIO(given)) for given in (stdin, b"", b"")]
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            for name, value in self.env.items():
                patch.setenv(name, value)
            for name, stream in zip(("stdin", "stdout", "stderr"), streams, strict=True):
                patch.setattr(sys, name, stream)
            code = run_command(*words)
        out, err = (stream.buffer.getvalue().decode() for stream in streams[1:])  # type: ignore[attr-defined]
        assert self.env["OPENAI_API_KEY"].strip() not in out + err
        return Ran(code, out, err)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Give a shell in a folder of its own, with a CSV of three reviews."""
    folder = tmp_path / "work"
    folder.mkdir()
    frame = pd.DataFrame(
        {
            "id": ["007", "1e5", "NA"],
            "text": ["Great, really.", "Broke\nat once", "Größe passt"],
            "note": [None, "null", "1.50"],
        }
    )
    frame.to_csv(folder / "reviews.csv", index=False)
    return Shell(folder)


@pytest.fixture
def at_server(shell: Shell, server: batchframe.local.Server) -> Shell:
    """Return a shell connected to the simulated model."""
    return shell.at(server.url)


ASK = ("reviews.csv", "--prompt", "Rate: {{ text }}", "--model", "gpt-4.1", "--output", LABELS)


@pytest.fixture
def ask() -> tuple[str, ...]:
    """Give the words of a question about the reviews."""
    return ASK


@pytest.fixture
def failing() -> Callable[[Any], Any]:
    """Give a model that refuses one of the three rows."""

    def answer(body: Any) -> Any:
        if "Broke" in body["messages"][-1]["content"]:
            return batchframe.local.AnswerError(429, "No quota.", code="insufficient_quota")
        return {"label": "positive"}

    return answer
