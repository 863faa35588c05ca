"""Workflow files are valid and call existing commands."""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

import batchframe

REPO = Path(__file__).parents[2]
WORKFLOWS = sorted((REPO / ".github" / "workflows").glob("*.yml"))
FORMS = sorted((REPO / ".github").rglob("*.yml"))
SHELL = {"grep", "git"}
PIP_INSTALLS = {"nox", ".", ".[test]"}


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from load(path)["jobs"].items()


def commands(path: Path) -> Iterator[list[str]]:
    """Split the commands of a workflow, for each value of its matrix."""
    for _, job in jobs(path):
        matrix = job.get("strategy", {}).get("matrix", {})
        for values in product(*matrix.values()):
            for step in job.get("steps", ()):
                text = step.get("run", "")
                for name, value in zip(matrix, values, strict=True):
                    text = text.replace(f"${{{{ matrix.{name} }}}}", str(value))
                yield from (shlex.split(line) for line in text.splitlines())


def sessions() -> set[str]:
    """Read the sessions of the noxfile, with their parameters."""
    text = (REPO / "noxfile.py").read_text(encoding="utf-8")
    matches = re.findall(r"@nox\.session.*\n(@nox\.parametrize\(.*\n)?def (\w+)", text)
    assert len(matches) == text.count("@nox.session")
    names = set()
    for parameters, name in matches:
        ids = re.findall(r'"([\d.]+)"', parameters)
        names |= {f"{name}({one})" for one in ids} or {name}
    return names


def check(words: list[str]) -> None:
    match words:
        case ["python", "-m", "pip", "install", *packages]:
            assert set(packages) <= PIP_INSTALLS
        case ["python", "-m", module, *_]:
            path = REPO / module.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module
        case ["nox", "-s", *names]:
            wanted = names[: names.index("--")] if "--" in names else names
            assert wanted
            assert set(wanted) <= sessions()
        case [command, *_] if command.startswith(".ci/"):
            assert os.access(REPO / command, os.X_OK), command
        case [command, *_]:
            assert command in SHELL, command


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_a_file_of_the_hosting_service_is_yaml(path: Path) -> None:
    assert isinstance(load(path), dict)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_calls_commands_that_exist(path: Path) -> None:
    for words in commands(path):
        check(words)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_only_read_and_ends(path: Path) -> None:
    assert load(path)["permissions"] == {"contents": "read"}
    for name, job in jobs(path):
        if "uses" in job:
            assert (REPO / job["uses"]).exists()
            continue
        assert job["timeout-minutes"] <= 120, name
        for step in job["steps"]:
            assert ("run" in step) != ("uses" in step), name
            assert re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|release/v1)", step.get("uses", "a/b@v1"))


def test_the_wheel_is_built_once_for_all_jobs_and_the_release() -> None:
    built = [words for path in WORKFLOWS for words in commands(path) if "build" in words]
    assert built == [["nox", "-s", "build"]]
    release = load(REPO / ".github" / "workflows" / "release.yml")["jobs"]["publish"]
    assert release["permissions"] == {"id-token": "write"}
    assert [step["uses"].split("@")[0] for step in release["steps"]] == [
        "actions/download-artifact",
        "pypa/gh-action-pypi-publish",
    ]


def test_the_tests_run_on_every_supported_python_and_pandas() -> None:
    matrix = load(REPO / ".github" / "workflows" / "ci.yml")["jobs"]["tests"]["strategy"]["matrix"]
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == f">={matrix['python'][0]}"
    assert matrix["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert f"pandas>={matrix['pandas'][0]}" in project["dependencies"]
    assert {f"tests({pandas})" for pandas in matrix["pandas"]} <= sessions()
    assert matrix["os"] == ["ubuntu-latest", "macos-latest"]


def test_the_gate_runs_every_session() -> None:
    gate = (REPO / ".ci" / "run").read_text(encoding="utf-8")
    calls = re.findall(r'^session "[^"]*" (.*?)(?: -- .*)?$', gate, re.MULTILINE)
    called = {name for words in calls for name in shlex.split(words)}
    # The nightly run has the clients, whose installation takes long.
    assert called == sessions() - {"tests(2.3)", "clients"}


def test_the_hooks_before_a_commit_call_tools_of_the_extra_dev() -> None:
    extras = (REPO / "pyproject.toml").read_text(encoding="utf-8")
    for repo in load(REPO / ".pre-commit-config.yaml")["repos"]:
        for hook in repo["hooks"]:
            command = shlex.split(hook["entry"])[0]
            package = {"lint-imports": "import-linter"}.get(command, command)
            assert package == "python" or f'"{package}>=' in extras, command


def test_the_version_is_the_same_everywhere() -> None:
    changelog = (REPO / "CHANGELOG.md").read_text(encoding="utf-8")
    heading = r"^## \[([\d.]+)\] - (?:unreleased|\d{4}-\d\d-\d\d)$"
    version = re.search(heading, changelog, re.MULTILINE)
    assert version
    assert version[1] == load(REPO / "CITATION.cff")["version"] == batchframe.__version__
