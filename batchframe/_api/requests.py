"""Requests built from a frame, before they are sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
import pandas as pd
import pyarrow.compute as pc

from batchframe._api import estimating, submitting
from batchframe._api.cards import requests_card
from batchframe._base.errors import RequestError
from batchframe._display import Card, CardRepr, shortened
from batchframe._endpoints import endpoint_of
from batchframe._estimate.counting import InputTokens, count_input
from batchframe._requests.input_files import input_files, plan_input_files
from batchframe._requests.table import RequestTable
from batchframe._services.connect import expected_profile
from batchframe._services.provider import OPENAI, Provider

_MAX_PROMPT: Final = 600


@dataclass(frozen=True, repr=False, eq=False)
class Requests(CardRepr):
    """Requests built from a frame: rendered and checked, not written or sent.

    ``len()`` is the number of requests to send, after duplicates are merged.

    Examples
    --------
    >>> import pandas as pd, batchframe as bf
    >>> frame = pd.DataFrame({"text": ["good", "bad", "good"]})
    >>> plan = frame.bf.requests("{{ text }}", model="gpt-6-luna", output=["+", "-"])
    >>> len(plan), plan.rows, plan.model
    (2, 3, 'gpt-6-luna')
    """

    _table: RequestTable
    _label: str | None = None
    _name: str | None = None
    _counts: dict[bool, InputTokens] = field(default_factory=dict, init=False)

    def __len__(self) -> int:
        return self._table.requests

    @property
    def rows(self) -> int:
        """Number of rows of the frame."""
        return self._table.rows

    @property
    def model(self) -> str:
        """Name of the model."""
        return self._table.recipe.model

    @property
    def endpoint(self) -> str:
        """Path of the endpoint, such as "/v1/chat/completions"."""
        return self._table.recipe.endpoint

    @property
    def fingerprint(self) -> str:
        """Fingerprint of all requests in any order, as 64 hexadecimal digits."""
        return self._table.fingerprint

    @property
    def skipped(self) -> pd.DataFrame:
        """Rows without a request, by index label; ``bf_error`` is the reason.

        These are rows with a missing cell, under ``on_missing="skip"``, and rows that
        ``moderate()`` flagged.

        Examples
        --------
        >>> import pandas as pd, batchframe as bf
        >>> frame = pd.DataFrame({"text": ["good", None]}, index=["x", "y"])
        >>> frame.bf.requests("{{ text }}", model="gpt-6-luna", on_missing="skip").skipped
                             bf_error
        y  column 'text' is missing
        """
        source = self._table.source
        rows = pc.indices_nonzero(pc.is_valid(source.absent))
        reasons = source.absent.take(rows).to_pylist()
        return pd.DataFrame({"bf_error": reasons}, index=source.labels[rows.to_numpy()])

    def preview(self, n: int = 3) -> list[dict[str, Any]]:
        """Return the first `n` request lines, exactly as they are sent.

        Raises
        ------
        RequestError
            If `n` is negative.

        Examples
        --------
        >>> import pandas as pd, batchframe as bf
        >>> frame = pd.DataFrame({"text": ["good"]})
        >>> line = frame.bf.requests("Rate: {{ text }}", model="gpt-6-luna").preview(1)[0]
        >>> line["body"]["messages"]
        [{'role': 'user', 'content': 'Rate: good'}]
        """
        if n < 0:
            raise RequestError.invalid_argument(keyword="n", value=n, wanted="an int of 0 or more")
        return [msgspec.json.decode(line) for line in islice(self._table.lines(), n)]

    estimate = estimating.estimate
    compare = estimating.compare
    moderate = submitting.moderate
    pilot = submitting.pilot
    submit = submitting.submit

    def to_jsonl(self, folder: str | Path, *, provider: Provider | str = OPENAI) -> list[Path]:
        """Write the input files to a folder, for inspection or another client.

        Parameters
        ----------
        provider
            Provider whose limits and format apply: a name such as "azure", or
            :func:`batchframe.provider`.

        Returns
        -------
        Paths of the files; each is within the provider's limits.

        Raises
        ------
        RequestError
            If a request is larger than an input file may be, or `folder` is a file.
        FileIsThereError
            If a file of that name exists.

        Examples
        --------
        >>> import pandas as pd, batchframe as bf, tempfile
        >>> plan = pd.DataFrame({"t": ["a", "b"]}).bf.requests("{{ t }}", model="gpt-6-luna")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     paths = plan.to_jsonl(folder)
        ...     [path.read_text().count("custom_id") for path in paths]
        [2]
        """
        profile = expected_profile(choice=provider)
        files = plan_input_files(self._table, profile)
        return input_files(self._table, files, Path(folder), profile)

    def _count_tokens(self, table: RequestTable, *, exact: bool = False) -> InputTokens:
        if table is not self._table:
            return count_input(table, exact=exact or None)
        if exact not in self._counts:
            tokens = self._counts.get(not exact)
            if tokens is None or (exact and tokens.chance is not None):
                tokens = count_input(table, exact=exact or None)
            self._counts[exact] = tokens
        return self._counts[exact]

    def _card(self) -> Card:
        return requests_card(self._table.recipe, self.estimate(), self._quoted_prompt())

    def _quoted_prompt(self) -> tuple[str, str] | None:
        prompts = [endpoint_of(self.endpoint).prompt_text(line["body"]) for line in self.preview(1)]
        return ("first prompt", shortened(prompts[0], _MAX_PROMPT)) if prompts else None
