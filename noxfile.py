"""Run each check in its own environment; ``nox --list`` names them.

``.ci/run`` and the workflows in ``.github`` call these sessions. Those that test use the wheel that
``build`` made, and run in a folder without the package's source, so that they can only import the
wheel.
"""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "venv"
nox.options.sessions = ["lint", "types"]

ROOT = Path(__file__).parent
DIST = Path(os.environ.get("BATCHFRAME_DIST", ROOT / "dist"))
READ_BY_TESTS = (
    *(".ci", ".github", "benchmarks", "data_samples", "docs", "notebooks", "tests", "tools"),
    *(".pre-commit-config.yaml", "CITATION.cff", "LICENSE", "noxfile.py", "pyproject.toml"),
    *(path.name for path in ROOT.glob("*.md")),
)
# What a browser loads from another host when it shows a page.
LOADED = re.compile(r'<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)="(https?:[^"]*)"')


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format, import contracts and prose."""
    session.install(".[dev]")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports")
    session.run("python", ".ci/prose")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types with mypy, and those of the public API with pyright."""
    session.install(".[dev]")
    session.run("mypy")
    session.run("pyright")


@nox.session
def build(session: nox.Session) -> None:
    """Build the source distribution and the wheel, for all other sessions."""
    session.install("build")
    shutil.rmtree(DIST, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(DIST), silent=True)
    session.log("built %s", ", ".join(sorted(path.name for path in DIST.iterdir())))


@nox.session
@nox.parametrize("pandas", [nox.param(version, id=version) for version in ("2.3", "3")])
def tests(session: nox.Session, pandas: str) -> None:
    """Test the wheel; arguments after ``--`` go to pytest."""
    session.install(f"{wheel(session)}[test]", f"pandas=={pandas}.*")
    run_in_empty_folder(session, "pytest", *session.posargs, "--ignore=tests/browser")


@nox.session
def oldest(session: nox.Session) -> None:
    """Test the wheel with the oldest openai and pandas that it supports."""
    session.install(
        f"{wheel(session)}[demo,images]",
        *("certifi", "hypothesis", "pytest", "pytest-xdist"),
        *(oldest_version(package) for package in ("openai", "pandas")),
    )
    run_in_empty_folder(
        session,
        *("pytest", "-q", "--all", "tests/journeys", "tests/services"),
        *("tests/api/test_webhooks.py", "tests/project/test_installed.py"),
    )


@nox.session
def frames(session: nox.Session) -> None:
    """Test the frames of other libraries."""
    session.install(f"{wheel(session)}[frames]")
    run_in_empty_folder(
        session, "pytest", "-q", "--all", "tests/frames/test_kinds.py", BATCHFRAME_FRAMES="required"
    )


@nox.session
def browser(session: nox.Session) -> None:
    """Test the cards in JupyterLab and Chromium."""
    session.install(f"{wheel(session)}[browser]")
    run_in_empty_folder(session, "pytest", "-rs", "--all", "tests/browser")


@nox.session
def clients(session: nox.Session) -> None:
    """Run clients of others against the local server, each in its own venv."""
    session.install(f"{wheel(session)}[local]", "certifi", "hypothesis", "pytest", "pytest-xdist")
    session.env["BATCHFRAME_CLIENTS"] = "installed"
    run_in_empty_folder(session, "pytest", "-rs", "--all", "--durations=7", "tests/clients")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Prove that the benchmarks run; the figures mean nothing."""
    session.install(f"{wheel(session)}[test]")
    run_in_empty_folder(session, "benchmarks", "--quick", "--json", "figures.json", silent=True)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site in ``build/site``, offline and with warnings as errors."""
    session.install(".[docs]")
    site = ROOT / "build" / "site"
    for folder in (site, ROOT / "docs" / "api"):
        shutil.rmtree(folder, ignore_errors=True)
    session.run(
        *("python", "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going"),
        *("--conf-dir", "docs", ".", str(site)),
    )
    loaded = {
        found
        for path in site.rglob("*.html")
        for found in LOADED.findall(path.read_text(encoding="utf-8"))
    }
    if loaded:
        session.error(f"the site loads from elsewhere: {', '.join(sorted(loaded))}")


@nox.session
def facts(session: nox.Session) -> None:
    """Compare the tables of models and prices with the newest packages."""
    session.install(".")
    session.run("python", "-m", "tools.facts")


def wheel(session: nox.Session) -> Path:
    """Find the wheel that ``build`` made."""
    found = sorted(DIST.glob("*.whl"))
    if len(found) != 1:
        session.error(f"{DIST}: {len(found)} wheels (one is needed). Fix: nox -s build")
    return found[0]


def run_in_empty_folder(
    session: nox.Session, module: str, *arguments: str, silent: bool = False, **environment: str
) -> None:
    """Run a module in a copy of the checkout without the package's source."""
    folder = Path(session.create_tmp()) / "checkout"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in READ_BY_TESTS:
        path = ROOT / name
        (shutil.copytree if path.is_dir() else shutil.copy2)(path, folder / name)
    environment |= {
        "BATCHFRAME_INSTALLED": "required",
        "BATCHFRAME_HOME": str(folder / "home"),
        "BATCHFRAME_SHARED": os.environ.get("BATCHFRAME_SHARED", str(ROOT.parent / "shared")),
        "NO_PROXY": "127.0.0.1,localhost",
    }
    with session.chdir(folder):
        session.run("python", "-m", module, *arguments, env=environment, silent=silent)


def oldest_version(package: str) -> str:
    """Return the lowest version of a dependency in ``pyproject.toml``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (lowest,) = (
        wanted.removeprefix(f"{package}>=").split(",")[0]
        for wanted in project["dependencies"]
        if wanted.startswith(f"{package}>=")
    )
    return f"{package}=={lowest}"
