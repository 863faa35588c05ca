"""Local tiktoken vocabularies, to compare engines with."""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from batchframe._tokens import engines as _token_engines
from benchmarks._vocabulary import of_splintr

# Names of tiktoken's cache files: the SHA-1 of the URL of each vocabulary.
VOCABULARIES = {
    "o200k_base": "fb374d419588a4632f3f557e76b4b70aebbca790",
    "cl100k_base": "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
}
SHA256 = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}


@pytest.fixture
def fresh_engines() -> Iterator[None]:
    """Clear the cache of engines before and after a test."""
    _forget()
    yield
    _forget()


def _forget() -> None:
    _token_engines._load_splintr.cache_clear()
    _token_engines._tiktoken.cache_clear()


@pytest.fixture
def judge(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fresh_engines: None
) -> Callable[[str], Any]:
    """Return tiktoken's encoding by name, from a local vocabulary."""
    _ = fresh_engines
    tiktoken = pytest.importorskip("tiktoken")

    def encoding(name: str) -> Any:
        vocabulary = _local_vocabulary(name)
        if vocabulary is None:
            pytest.skip(f"tiktoken's vocabulary {name} is not on this machine")
        (tmp_path / VOCABULARIES[name]).write_bytes(vocabulary)
        monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
        return tiktoken.get_encoding(name)

    return encoding


def _local_vocabulary(name: str) -> bytes | None:
    folder = os.environ.get("TIKTOKEN_CACHE_DIR") or Path(tempfile.gettempdir(), "data-gym-cache")
    places = [Path(folder, VOCABULARIES[name])]
    if find_spec("litellm"):
        places.append(Path(str(files("litellm")), "litellm_core_utils/tokenizers", places[0].name))
    for place in places:
        if place.exists() and hashlib.sha256(place.read_bytes()).hexdigest() == SHA256[name]:
            return place.read_bytes()
    return _vocabulary_of_splintr(name)


@functools.cache
def _vocabulary_of_splintr(name: str) -> bytes | None:
    """Write splintr's vocabulary in the format of OpenAI's file."""
    if not find_spec("splintr"):
        return None
    written = of_splintr(name)
    return written if hashlib.sha256(written).hexdigest() == SHA256[name] else None
