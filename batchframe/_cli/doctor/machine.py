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

from batchframe._base.clock import today
from batchframe._base.errors import JobError
from batchframe._base.private_files import private_home
from batchframe._base.safe_text import in_shell
from batchframe._cli.doctor.finding import Finding
from batchframe._models import price_table, rules
from batchframe._services import provider
from batchframe._store.folder import state_dir
from batchframe._tokens.counter import INSTALL_FAST
from batchframe._tokens.engines import SplintrEngine, engine_for
from batchframe._version import __version__

_PACKAGES: Final = ("openai", "pandas", "pyarrow")
_ENCODINGS: Final = ("o200k_base", "cl100k_base")
_FRESH_DAYS: Final = 90
_LOW_SPACE: Final = 1_000_000_000
"""In bytes; a full batch takes some hundred MB of requests and answers."""


def versions() -> Finding:
    """Check the versions of the packages."""
    try:
        listed = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    except PackageNotFoundError as missing:
        text = f"{missing.name} is not installed"
        return Finding("versions", "problem", text, f"pip install {missing.name}")
    text = f"batchframe {__version__}, {listed}, Python {platform.python_version()}"
    return Finding("versions", "ok", text)


def tables() -> Finding:
    """Check the age of the tables of models, prices and providers."""
    days = {
        "models": rules.checked_on(),
        "prices": price_table.checked_on(),
        "providers": provider.checked_on(),
    }
    ages = {name: (today() - day).days for name, day in days.items()}
    text = ", ".join(f"{name} checked on {days[name]} ({ages[name]} days ago)" for name in days)
    if max(ages.values()) <= _FRESH_DAYS:
        return Finding("facts", "ok", text)
    step = "pip install --upgrade batchframe; models and limits may have changed since."
    return Finding("facts", "warning", text, step)


def home_folder() -> Finding:
    """Check the jobs folder, without creating it."""
    try:
        path = state_dir()
        if path.exists():
            private_home(path)
    except JobError as refusal:
        return Finding("home", "problem", "jobs cannot be stored", in_shell(refusal))
    source = "BATCHFRAME_HOME" if os.environ.get("BATCHFRAME_HOME") else "default"
    text = f"{path} ({source})"
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    if reason := _write_error(existing):
        step = "Set BATCHFRAME_HOME to a folder of your own."
        return Finding("home", "problem", f"{text}: not writable ({reason})", step)
    free = shutil.disk_usage(existing).free
    text = f"{text}, {free / 1e9:,.1f} GB free" + ("" if path.exists() else ", created when needed")
    if free < _LOW_SPACE:
        step = "Free some space, or set BATCHFRAME_HOME to a folder on another disk."
        return Finding("home", "warning", f"{text}: little space for requests and answers", step)
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
        engine, reason = engine_for(encoding)
        if not engine.exact:
            text = f"{encoding}: counts are approximate: {reason}"
            yield Finding("tokens", "warning", text, INSTALL_FAST)
            continue
        is_fast = isinstance(engine, SplintrEngine)
        source = "splintr-rs, works offline" if is_fast else "tiktoken, cached on this disk"
        yield Finding("tokens", "ok", f"{encoding}: exact counts ({source})")
