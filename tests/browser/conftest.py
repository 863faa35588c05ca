"""JupyterLab with a copy of the notebooks, in Debian's Chromium.

Skipped with a reason where something is missing; BATCHFRAME_BROWSER=required makes that a failure.
BATCHFRAME_SCREENSHOTS names a folder that keeps the pictures.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import pytest

REPO = Path(__file__).parents[2]
PATIENCE = 120.0
TOKEN = "browser-test"  # noqa: S105 - token of a server that exists only during the test
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
SETTINGS = {
    # Every cell is in the page, including those outside the visible area.
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


def absent(reason: str) -> NoReturn:
    """Skip, unless the browser is required."""
    if os.environ.get("BATCHFRAME_BROWSER") == "required":
        pytest.fail(reason)
    pytest.skip(reason)


class Page:
    """A notebook in the browser, used as a person would."""

    def __init__(self, page: Any, url: str, pictures: Path) -> None:
        self.page = page
        self._url = url
        self._pictures = pictures

    def open(self, path: str) -> None:
        """Open a notebook and wait for its kernel."""
        self.page.goto(f"{self._url}/lab/tree/{path}?token={TOKEN}")
        self.ready()

    def reload(self) -> None:
        self.page.reload()
        self.ready()

    def ready(self) -> None:
        self.page.wait_for_function(
            "() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status"
            " === 'idle'"
        )

    def do(self, command: str, **arguments: Any) -> None:
        """Execute a JupyterLab command."""
        self.page.evaluate(
            "([command, arguments]) => { window.jupyterapp.commands.execute(command, arguments); }",
            [command, arguments],
        )

    def cell(self, number: int) -> Any:
        return self.page.locator(".jp-Cell").nth(number)

    def see(self, title: str, *, in_: Any) -> None:
        """Wait until a cell shows a card whose title begins with this text."""
        in_.get_by_role("heading", name=title).wait_for()

    def run(self, source: str) -> Any:
        """Type code into a new cell at the end and run it; return the cell."""
        before = self.page.locator(".jp-Cell").count()
        self.cell(before - 1).locator(".jp-InputPrompt").click()
        self.do("notebook:insert-cell-below")
        cell = self.cell(before)
        cell.locator(".cm-content").click()
        self.page.keyboard.insert_text(source)
        self.do("notebook:run-cell")
        return cell

    def restart(self) -> None:
        """Restart the kernel and confirm."""
        self.do("kernelmenu:restart")
        self.page.locator(".jp-Dialog .jp-mod-accept").click()
        self.page.locator(".jp-Dialog").wait_for(state="detached")
        self.ready()

    def save(self) -> None:
        self.do("docmanager:save")
        self.page.wait_for_function(
            "() => !window.jupyterapp.shell.currentWidget.context.model.dirty"
        )

    def picture(self, name: str, *, of: Any = None) -> None:
        """Take a picture of a cell's output, or of the window, in both themes."""
        for theme in ("Light", "Dark"):
            self.do("apputils:change-theme", theme=f"JupyterLab {theme}")
            light = "true" if theme == "Light" else "false"
            self.page.locator(f'body[data-jp-theme-light="{light}"]').wait_for(state="attached")
            self.page.wait_for_timeout(500)  # until the style sheet is painted
            path = self._pictures / f"{name} {theme.lower()}.png"
            (self.page if of is None else of.locator(".jp-Cell-outputWrapper")).screenshot(
                path=path
            )
            assert path.stat().st_size


@pytest.fixture
def chromium() -> str:
    """Find Chromium and its driver, or skip."""
    for package in ("jupyterlab", "playwright"):
        if find_spec(package) is None:
            absent(f'needs {package}: pip install ".[browser]"')
    path = shutil.which("chromium")
    if path is None:
        absent("needs Debian's Chromium: apt-get install chromium")
    return path


@pytest.fixture
def lab(chromium: str, tmp_path: Path, home: Path) -> Iterator[str]:  # noqa: ARG001 - not without
    """Serve copies of the notebooks in JupyterLab, with separate settings."""
    root = tmp_path / "checkout"
    for folder in ("notebooks", "data_samples"):
        # Without the temporary files of notebooks that other tests run.
        shutil.copytree(REPO / folder, root / folder, ignore=shutil.ignore_patterns("service"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        "--no-browser", "--allow-root", "--expose-app-in-browser", "--ServerApp.port_retries=0",
        "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={root}",
    ]  # fmt: skip
    with (tmp_path / "jupyterlab.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *command],
            env={**os.environ, **_of_its_own(tmp_path), "BATCHFRAME_HOME": str(home)},
            stdout=log,
            stderr=log,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(f"{url}/api?token={TOKEN}", server, tmp_path / "jupyterlab.log")
        yield url
    finally:
        server.terminate()
        server.wait(30)


def _of_its_own(folder: Path) -> dict[str, str]:
    settings = folder / "settings"
    for name, content in SETTINGS.items():
        path = settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    return {
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
    }


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    over = time.monotonic() + PATIENCE
    while time.monotonic() < over and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own server
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab does not answer: {log.read_text()[-2000:]}")


@pytest.fixture
def browser(chromium: str, lab: str, tmp_path: Path) -> Iterator[Page]:
    """Open Chromium, with a new and empty profile."""
    from playwright.sync_api import sync_playwright

    pictures = Path(os.environ.get("BATCHFRAME_SCREENSHOTS") or tmp_path / "pictures")
    pictures.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path / "profile",
            executable_path=chromium,
            headless=True,
            args=list(FLAGS),
            viewport={"width": 1200, "height": 900},
        )
        context.set_default_timeout(PATIENCE * 1000)
        yield Page(context.pages[0], lab, pictures)
        context.close()
