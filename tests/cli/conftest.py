"""The command line, in this process or another, with a local server."""

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
class Result:
    """Result of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The JSON document that is the whole standard output."""
        return json.loads(self.out)


class Shell:
    """Runs commands as a user would; no output contains a key or a traceback."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = dict(
            os.environ, COLUMNS="100", NO_COLOR="1", PYTHONWARNINGS="error,ignore::ResourceWarning"
        )

    def at(self, url: str) -> Shell:
        """Connect to this server from now on."""
        self.env["OPENAI_BASE_URL"] = url
        return self

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command and leave it running."""
        return subprocess.Popen(
            [sys.executable, "-m", "batchframe", *arguments],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def __call__(self, *arguments: str, stdin: bytes | None = None) -> Result:
        """Run a command to its end."""
        process = subprocess.run(
            [sys.executable, "-m", "batchframe", *arguments],
            cwd=self.folder,
            env=self.env,
            input=stdin or b"",
            capture_output=True,
            check=False,
        )
        result = Result(process.returncode, process.stdout.decode(), process.stderr.decode())
        assert self.env["OPENAI_API_KEY"].strip() not in result.out + result.err
        assert "Traceback" not in result.err
        return result

    def here(self, *arguments: str, stdin: bytes = b"") -> Result:
        """Run a command in this process, which is faster than starting one."""
        streams = [io.TextIOWrapper(io.BytesIO(data)) for data in (stdin, b"", b"")]
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            for name, value in self.env.items():
                patch.setenv(name, value)
            for name, stream in zip(("stdin", "stdout", "stderr"), streams, strict=True):
                patch.setattr(sys, name, stream)
            code = run_command(*arguments)
        for stream in streams[1:]:
            stream.flush()
        out, err = (stream.buffer.getvalue().decode() for stream in streams[1:])  # type: ignore[attr-defined]
        assert self.env["OPENAI_API_KEY"].strip() not in out + err
        return Result(code, out, err)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell in a new folder with a CSV file of three reviews."""
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
    """Return the options of requests about the reviews."""
    return ASK


@pytest.fixture
def failing() -> Callable[[Any], Any]:
    """Return a model that fails one of the three rows."""

    def answer(body: Any) -> Any:
        if "Broke" in body["messages"][-1]["content"]:
            return batchframe.local.AnswerError(429, "No quota.", code="insufficient_quota")
        return {"label": "positive"}

    return answer
