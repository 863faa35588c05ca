"""Clients of others against `batchframe serve`, each in its own venv.

`nox -s clients` runs them, with the versions of the table in docs/testing_your_pipeline.md. Each
script prints what it has done; the table must say the same.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, NoReturn

import pytest

from tests.conftest import REPO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCRIPTS = REPO / "tests" / "clients"
TABLE = REPO / "docs" / "testing_your_pipeline.md"
ROW = re.compile(r"^\| `([\w-]+)`(?: \((npm)\))? \| ([\d.]+) \| ([\w, ]+) \|$", re.MULTILINE)
# What a client needs besides, and does not declare.
EXTRAS = {"openai-batch": ["httpx"], "pydantic-ai": [], "chatlas": ["openai"]}
PACKAGES = {"pydantic-ai": "pydantic-ai-slim[openai]"}
KEY = "sk-CANARY-clients"

ROWS = {
    name: (manager, version, features.split(", "))
    for name, manager, version, features in ROW.findall(TABLE.read_text(encoding="utf-8"))
}
FEATURES = {feature for _, _, features in ROWS.values() for feature in features}


def script(name: str) -> Path:
    suffix = "mjs" if ROWS[name][0] == "npm" else "py"
    return SCRIPTS / f"{name.replace('-', '_')}_client.{suffix}"


def absent(reason: str) -> NoReturn:
    """Skip, unless this is a CI service, which can install everything."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def call(
    *command: str | Path, folder: Path, env: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder; its output is text."""
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=900, check=False
    )


@pytest.fixture
def url() -> Iterator[str]:
    """Start `batchframe serve` with a key; return its URL.

    Each client has its own server: instructor, for example, cannot list batches without metadata.
    """
    command = [sys.executable, "-m", "batchframe", "serve", "--seconds", "0.5", "--json"]
    env = os.environ | {"BATCHFRAME_SERVE_KEY": KEY}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        document = ""
        while not document.endswith("}\n"):
            document += process.stdout.readline()
        yield json.loads(document)["url"]
        process.send_signal(signal.SIGINT)


def installed(name: str, folder: Path, env: dict[str, str]) -> list[str | Path]:
    """Install a client in a folder; return the command that runs its script."""
    manager, version, _ = ROWS[name]
    copy = shutil.copy(script(name), folder)
    if manager == "npm":
        npm, node = shutil.which("npm"), shutil.which("node")
        if npm is None or node is None:
            absent("node and npm are not installed")
        made = call(npm, "install", "--no-audit", f"{name}@{version}", folder=folder, env=env)
        command: list[str | Path] = [node, copy]
    else:
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        python = folder / "venv" / "bin" / "python"
        needs = [f"{PACKAGES.get(name, name)}=={version}", *EXTRAS.get(name, ())]
        made = call(python, "-m", "pip", "install", "-q", *needs, folder=folder, env=env)
        command = [python, copy]
    if made.returncode:
        absent(f"{name} {version} could not be installed: {made.stderr.strip()[-300:]}")
    return command


def test_every_script_has_a_row_in_the_table() -> None:
    scripts = {path.name for path in SCRIPTS.glob("*_client.*")}
    assert {script(name).name for name in ROWS} == scripts


@pytest.mark.slow
@pytest.mark.skipif(
    "BATCHFRAME_CLIENTS" not in os.environ, reason="`nox -s clients` installs the clients"
)
@pytest.mark.parametrize("name", ROWS)
def test_a_client_of_others_works_with_the_local_server(
    name: str, url: str, tmp_path: Path
) -> None:
    outer = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    env = outer | {
        "OPENAI_BASE_URL": url,
        "OPENAI_API_KEY": KEY,
        "NO_PROXY": "127.0.0.1,localhost",
    }
    command = installed(name, tmp_path, env)
    ran = call(*command, folder=tmp_path, env=env)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    done = [line for line in ran.stdout.splitlines() if line in FEATURES]
    assert done == ROWS[name][2]
    # The environments are large.
    shutil.rmtree(tmp_path)
