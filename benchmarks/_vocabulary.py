"""Vocabulary for tiktoken from splintr's copy, to avoid a download."""

from __future__ import annotations

import base64


def of_splintr(name: str) -> bytes:
    """Return splintr's vocabulary in the format of OpenAI's file."""
    from splintr import Tokenizer  # noqa: PLC0415 - slow to load, and an extra

    tokenizer = Tokenizer.from_pretrained(name)
    lines = []
    for rank in range(tokenizer.vocab_size):
        try:
            token = tokenizer.decode_bytes([rank])
        except ValueError:
            break
        lines.append(base64.b64encode(token) + f" {rank}\n".encode())
    return b"".join(lines)
