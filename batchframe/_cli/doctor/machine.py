"""Check what is installed, where jobs are kept, and which vocabularies are available."""

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
from batchframe._store.folder import home
from batchframe._tokens.counter import INSTALL_FAST
from batchframe._tokens.engines import SplintrEngine, engine_for
from batchframe._version import __version__

_PACKAGES: Final = ("openai", "pandas", "pyarrow")
_ENCODINGS: Final = ("o200k_base", "cl100k_base")
_LITTLE_ROOM: Final = 1_000_000_000
"""Bytes: a job keeps its requests and its answers, some hundred MB for a full batch."""


def versions() -> Finding:
    """Say which versions are at work."""
    found = {name: _version(name) for name in _PACKAGES}
    listed = ", ".join(f"{name} {number or 'absent'}" for name, number in found.items())
    told = f"batchframe {__version__}, {listed}, Python {platform.python_version()}"
    if absent := [name for name, number in found.items() if number is None]:
        return Finding("versions", "problem", told, f"pip install {' '.join(absent)}")
    return Finding("versions", "ok", told)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def home_folder() -> Finding:
    """Say where jobs are kept, and whether they can be; an absent folder is not made."""
    try:
        path = home()
        if path.exists():
            private_home(path)
    except JobError as refusal:
        return Finding("home", "problem", "jobs cannot be kept", in_shell(refusal))
    chosen = "as BATCHFRAME_HOME says" if os.environ.get("BATCHFRAME_HOME") else "by default"
    told = f"{path} ({chosen})"
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    if reason := _not_writable(there):
        return Finding(
            "home",
            "problem",
            f"{told}: nothing can be written there: {reason}",
            "Set BATCHFRAME_HOME to a folder of your own.",
        )
    room = shutil.disk_usage(there).free
    told = f"{told}, {room / 1e9:,.1f} GB free" + ("" if path.exists() else ", made when needed")
    if room < _LITTLE_ROOM:
        return Finding(
            "home",
            "warning",
            f"{told}: little room for requests and answers",
            "Make room, or set BATCHFRAME_HOME to a folder on another disk.",
        )
    return Finding("home", "ok", told)


def _not_writable(folder: Path) -> str | None:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"batchframe doctor")
    except OSError as reason:
        return reason.strerror or str(reason)
    return None


def vocabularies() -> Iterator[Finding]:
    """Say for each encoding who counts its tokens, and whether that needs the network."""
    for encoding in _ENCODINGS:
        engine, why = engine_for(encoding)
        if not engine.exact:
            told = f"{encoding} can only be approximated: {why}"
            yield Finding("tokens", "warning", told, INSTALL_FAST)
            continue
        how = "tiktoken, from its cache on this disk"
        if isinstance(engine, SplintrEngine):
            how = "splintr-rs, also offline"
        yield Finding("tokens", "ok", f"{encoding} is counted exactly by {how}")
