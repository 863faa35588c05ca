"""Checks of installed packages, the jobs folder and the tokenizers."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from batchframe._base.errors import JobError
from batchframe._base.private_files import private_home
from batchframe._base.safe_text import in_shell
from batchframe._cli.doctor.finding import Finding
from batchframe._store.folder import state_dir
from batchframe._tokens.counter import INSTALL_FAST
from batchframe._tokens.engines import SplintrEngine, engine_for
from batchframe._version import __version__

_PACKAGES: Final = ("openai", "pandas", "pyarrow")
_ENCODINGS: Final = ("o200k_base", "cl100k_base")
_LOW_SPACE: Final = 1_000_000_000
"""In bytes; a full batch takes some hundred MB of requests and answers."""


def versions() -> Finding:
    """Check the versions of the packages."""
    installed = {name: _version(name) for name in _PACKAGES}
    listed = ", ".join(f"{name} {number or 'absent'}" for name, number in installed.items())
    text = f"batchframe {__version__}, {listed}, Python {platform.python_version()}"
    if absent := [name for name, number in installed.items() if number is None]:
        return Finding("versions", "problem", text, f"pip install {' '.join(absent)}")
    return Finding("versions", "ok", text)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def home_folder() -> Finding:
    """Check the jobs folder, without creating it."""
    try:
        path = state_dir()
        if path.exists():
            private_home(path)
    except JobError as refusal:
        return Finding("home", "problem", "jobs cannot be kept", in_shell(refusal))
    source = "as BATCHFRAME_HOME says" if os.environ.get("BATCHFRAME_HOME") else "by default"
    text = f"{path} ({source})"
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    if reason := _write_error(existing):
        return Finding(
            "home",
            "problem",
            f"{text}: nothing can be written there: {reason}",
            "Set BATCHFRAME_HOME to a folder of your own.",
        )
    free = shutil.disk_usage(existing).free
    text = f"{text}, {free / 1e9:,.1f} GB free" + ("" if path.exists() else ", made when needed")
    if free < _LOW_SPACE:
        return Finding(
            "home",
            "warning",
            f"{text}: little room for requests and answers",
            "Make room, or set BATCHFRAME_HOME to a folder on another disk.",
        )
    return Finding("home", "ok", text)


def _write_error(folder: Path) -> str | None:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"batchframe doctor")
    except OSError as reason:
        return reason.strerror or str(reason)
    return None


def vocabularies() -> Iterator[Finding]:
    """Check the tokenizer of each encoding, and whether it needs the network."""
    for encoding in _ENCODINGS:
        engine, why = engine_for(encoding)
        if not engine.exact:
            text = f"{encoding} can only be approximated: {why}"
            yield Finding("tokens", "warning", text, INSTALL_FAST)
            continue
        how = "tiktoken, from its cache on this disk"
        if isinstance(engine, SplintrEngine):
            how = "splintr-rs, also offline"
        yield Finding("tokens", "ok", f"{encoding} is counted exactly by {how}")
