"""Token counts of strings for a model, and whether they are exact."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from batchframe._models.names import base_model
from batchframe._tokens.engines import Engine, count_guarded, engine_for

# Bytes per engine call; the token ids take about as much again.
BLOCK_BYTES: Final = 16 * 2**20
_FEW: Final = 32
"""Up to this many strings, deduplication costs more than counting duplicates."""

# Relative errors of the approximation in total, and of another maker's tokenizer.
_APPROXIMATE: Final = 0.25
_UNKNOWN: Final = 0.33
_PRESUMED_ERROR: Final = 0.03
"""Relative difference of o200k_base and cl100k_base on English text."""

INSTALL_FAST: Final = 'pip install "batchframe[fast]"'

_EDGE = r"(?![a-z0-9])"
_O200K = re.compile(
    r"(gpt-4o|chatgpt-4o|gpt-4\.1|gpt-4\.5|gpt-5|o1|o3|o4-mini|codex-mini|gpt-oss)" + _EDGE
)
_CL100K = re.compile(r"(gpt-4|gpt-3\.5|text-embedding-(3|ada)|davinci-002|babbage-002)" + _EDGE)
_PRESUMED = re.compile(r"gpt-6" + _EDGE)


@dataclass(frozen=True)
class TokenCount:
    """A token count.

    Attributes
    ----------
    tokens
        Number of tokens.
    exact
        Whether the service counts the same; False means an approximation.
    fewer, more
        Possible error in tokens, down and up; `more` is None if unbounded.
    notes
        Why the count is not exact and by how much it may be off; empty if exact.

    Examples
    --------
    >>> TokenCount(tokens=14, exact=True)
    TokenCount(tokens=14, exact=True)
    """

    tokens: int
    exact: bool
    fewer: int = field(default=0, repr=False)
    more: int | None = field(default=0, repr=False)
    notes: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Tally:
    """Token counts of strings, and whether each count is exact."""

    tokens: NDArray[np.int64]
    exact: NDArray[np.bool_]


@dataclass(frozen=True)
class TokenCounter:
    """A token counter for one model.

    Attributes
    ----------
    encoding
        The name of the encoding, such as ``"o200k_base"``.
    exact
        Whether counts equal OpenAI's: the model's encoding is published and its vocabulary could be
        loaded.
    note
        Why counts are not exact, and how to fix it; None if exact.
    relative_error
        Known relative error of a total; 0 if exact.
    """

    encoding: str
    exact: bool
    note: str | None
    _engine: Engine = field(repr=False)
    relative_error: float = 0.0

    def count(self, texts: pa.Array | pa.ChunkedArray | Sequence[str]) -> NDArray[np.int64]:
        """Count the tokens of each string.

        Duplicates are counted once, and special tokens are treated as plain text:
        ``<|endoftext|>`` is seven tokens. A missing string has none.

        Parameters
        ----------
        texts
            An Arrow array of strings (dictionary-encoded or not), or Python strings.

        Examples
        --------
        >>> token_counter("gpt-4o").count(["Say hello", "", "Say hello"]).tolist()
        [2, 0, 2]
        """
        return self.tally(texts).tokens

    def count_one(self, text: str) -> int:
        """Count the tokens of one string."""
        return int(self.count([text])[0])

    def tally(
        self, texts: pa.Array | pa.ChunkedArray | Sequence[str], *, distinct: bool = False
    ) -> Tally:
        """Count the tokens of each string, and whether each count is exact.

        An exact counter may return an inexact count for a string that breaks the tokenizer, such as
        a million spaces.

        Parameters
        ----------
        texts
            As for `count`.
        distinct
            Whether the strings are known to be distinct, which skips deduplication.
        """
        if distinct and isinstance(texts, pa.Array) and not pa.types.is_dictionary(texts.type):
            return self._tally_all(texts)
        if isinstance(texts, list | tuple) and len(texts) <= _FEW:
            tokens, exact = count_guarded(self._engine, [_text_to_count(text) for text in texts])
            return Tally(tokens, exact & self.exact)
        rows = _distinct(texts)
        tally = self._tally_all(rows.dictionary)
        # The last item stands for a missing string: zero tokens, exact.
        tokens, exact = np.append(tally.tokens, 0), np.append(tally.exact, self.exact)
        places = pc.fill_null(rows.indices.cast(pa.int64()), len(tokens) - 1).to_numpy()
        return Tally(tokens[places], exact[places])

    def _tally_all(self, texts: pa.Array) -> Tally:
        blocks = [count_guarded(self._engine, block) for block in _blocks(texts)]
        tokens = np.concatenate([np.zeros(0, np.int64), *(block[0] for block in blocks)])
        exact = np.concatenate([np.zeros(0, np.bool_), *(block[1] for block in blocks)])
        return Tally(tokens, exact & self.exact)


def encoding_of(model: str) -> tuple[str, bool]:
    """Return the encoding of a model.

    Fine-tunes, dated snapshots and Azure's ``gpt-35-turbo`` use their base model's. OpenAI has
    published no encoding for gpt-6 (2026-11): gpt-5's is assumed. Other models are looked up in the
    installed tiktoken, which may be newer.

    Returns
    -------
    tuple
        The tiktoken name of the encoding, and whether OpenAI has published it for this model.
        Models of other makers are counted with ``o200k_base``.

    Examples
    --------
    >>> [encoding_of(m) for m in ("gpt-5.6-luna", "text-embedding-3-small", "llama-4-scout")]
    [('o200k_base', True), ('cl100k_base', True), ('o200k_base', False)]
    """
    name = base_model(model)
    if _O200K.match(name):
        return "o200k_base", True
    if _CL100K.match(name):
        return "cl100k_base", True
    published = _tiktoken_encoding(name)
    return ("o200k_base", False) if published is None else (published, True)


def token_counter(model: str) -> TokenCounter:
    """Return the best token counter available for a model.

    The first call may load a vocabulary, and download it if only tiktoken is installed. Without a
    vocabulary the counter approximates and explains so in its note.

    Examples
    --------
    >>> counter = token_counter("gpt-6-luna")
    >>> counter.encoding, counter.exact
    ('o200k_base', False)
    >>> print(counter.note)
    OpenAI has published no tokenizer for gpt-6-luna; gpt-5's is assumed (within about 3%).
    """
    encoding, published = encoding_of(model)
    engine, missing = engine_for(encoding)
    note, error = ("", 0.0) if published else _tokenizer_note(model, encoding)
    notes = [note] if note else []
    if missing is not None:
        notes.append(
            f"Token counts are approximate (most strings within 25%): {missing}. Fix: "
            f"{INSTALL_FAST}"
        )
    error += 0.0 if engine.exact else _APPROXIMATE
    return TokenCounter(
        encoding, engine.exact and published, " ".join(notes) or None, engine, error
    )


def _tokenizer_note(model: str, encoding: str) -> tuple[str, float]:
    """Return a note on an unpublished tokenizer, and its relative error."""
    # Every model since gpt-4o uses o200k_base, so gpt-6 is expected to as well.
    if _PRESUMED.match(base_model(model)):
        presumed = (
            f"OpenAI has published no tokenizer for {model}; gpt-5's is assumed (within about 3%)."
        )
        return presumed, _PRESUMED_ERROR
    unknown = f"The tokenizer of {model} is unknown; {encoding} is assumed (within a third)."
    return unknown, _UNKNOWN


@functools.cache
def _tiktoken_encoding(model: str) -> str | None:
    try:
        # Slow to load, and only needed for models that match no pattern above.
        from tiktoken import encoding_name_for_model  # noqa: PLC0415

        name: str = encoding_name_for_model(model)
    except (ImportError, KeyError):
        return None
    # The ranks are equal; only special tokens differ, which are not used here.
    return "o200k_base" if name == "o200k_harmony" else name


def _distinct(texts: pa.Array | pa.ChunkedArray | Sequence[str]) -> pa.DictionaryArray:
    column = texts if isinstance(texts, pa.Array | pa.ChunkedArray) else _arrow(texts)
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.large_string()).dictionary_encode()
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _arrow(texts: Sequence[str]) -> pa.Array:
    try:
        return pa.array(texts, pa.large_string())
    except UnicodeEncodeError:
        # A lone surrogate is replaced, as in tiktoken.
        return pa.array([text and _without_surrogates(text) for text in texts], pa.large_string())


def _text_to_count(text: str | None) -> str:
    text = text or ""
    return text if text.isascii() else _without_surrogates(text)


def _without_surrogates(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _blocks(texts: pa.Array) -> Iterator[list[str]]:
    """Split strings into blocks of about `BLOCK_BYTES` to bound memory."""
    sizes = pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False)
    block = np.cumsum(sizes, dtype=np.int64) // BLOCK_BYTES
    starts = np.flatnonzero(np.diff(block, prepend=-1))
    for start, end in pairwise([*starts, len(texts)]):
        piece = texts.slice(start, end - start)
        yield (pc.fill_null(piece, "") if piece.null_count else piece).to_pylist()
