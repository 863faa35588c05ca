"""What a handle on requests can do without sending anything (``_api/requests.py`` has the rest).

Each method is its documentation and one step into the room that does the work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pandas as pd
import pyarrow.compute as pc

from batchframe._api.cards import requests_card
from batchframe._base.errors import RequestError
from batchframe._display import Card, CardRepr
from batchframe._endpoints import endpoint_of
from batchframe._estimate.compare import compare
from batchframe._estimate.counting import InputTokens, count_input
from batchframe._estimate.estimate import Estimate
from batchframe._estimate.history import experience
from batchframe._estimate.pricing import estimate
from batchframe._estimate.service_count import check_input
from batchframe._jobs.preparation import already_answered, sent_as
from batchframe._models.price import Tier
from batchframe._requests.input_files import input_files, plan_input_files
from batchframe._requests.table import RequestTable
from batchframe._services.connect import connect, expected_identity, expected_profile
from batchframe._services.protocol import Identity
from batchframe._services.provider_table import OPENAI, Provider

if TYPE_CHECKING:
    from openai import OpenAI


@dataclass(frozen=True, repr=False, eq=False)
class RequestsHandle(CardRepr):
    """The requests that a frame makes: rendered and checked, nothing written, nothing sent."""

    _table: RequestTable
    _label: str | None = None
    _name: str | None = None

    def __len__(self) -> int:
        return self._table.requests

    @property
    def rows(self) -> int:
        """How many rows the frame has."""
        return self._table.rows

    @property
    def model(self) -> str:
        """The model that is asked."""
        return self._table.recipe.model

    @property
    def endpoint(self) -> str:
        """The path of the endpoint, such as "/v1/chat/completions"."""
        return self._table.recipe.endpoint

    @property
    def fingerprint(self) -> str:
        """The content of all requests, in any order, as 64 hexadecimal digits."""
        return self._table.fingerprint

    @property
    def skipped(self) -> pd.DataFrame:
        """The rows that ask nothing, under their index labels, and why: the column ``bf_error``.

        They are those with a missing cell, under ``on_missing="skip"``, and those that
        ``moderate()`` held back.

        Examples
        --------
        >>> import pandas as pd, batchframe as bf
        >>> frame = pd.DataFrame({"text": ["good", None]}, index=["x", "y"])
        >>> frame.bf.requests("{{ text }}", model="gpt-4.1", on_missing="skip").skipped
                             bf_error
        y  column 'text' is missing
        """
        source = self._table.source
        rows = pc.indices_nonzero(pc.is_valid(source.absent))
        why = source.absent.take(rows).to_pylist()
        return pd.DataFrame({"bf_error": why}, index=source.labels[rows.to_numpy()])

    def preview(self, n: int = 3) -> list[dict[str, Any]]:
        """Return the first `n` request lines, exactly as they would be sent.

        Raises
        ------
        RequestError
            If `n` is negative.

        Examples
        --------
        >>> import pandas as pd, batchframe as bf
        >>> frame = pd.DataFrame({"text": ["good"]})
        >>> line = frame.bf.requests("Rate: {{ text }}", model="gpt-4.1").preview(1)[0]
        >>> line["body"]["messages"]
        [{'role': 'user', 'content': 'Rate: good'}]
        """
        if n < 0:
            raise RequestError.not_a_word(keyword="n", value=n, wanted="a number of requests")
        return [msgspec.json.decode(line) for line in islice(self._table.lines(), n)]

    def estimate(
        self,
        *,
        prices: Mapping[str, Any] | None = None,
        reuse: bool = True,
        exact: bool = False,
        check: bool = False,
        client: OpenAI | None = None,
        provider: Provider | str | None = None,
    ) -> Estimate:
        """Count the tokens and price them, before anything is sent.

        Parameters
        ----------
        prices
            Your own, in USD per million tokens: ``{"input": "0.10", "output": "0.60"}``, or one
            such dict for each of ``"batch"`` and ``"standard"``. They win over the price book.
        reuse
            Whether requests that an earlier job answered are left out of the figures, as `submit`
            does not send them again.
        exact
            Count every request, however long it takes. By default a random sample is counted
            where all would take more than about ten seconds, and the range shows its chance.
        check
            Ask the API to count 20 requests drawn at random, and correct by what it says. That
            sends those 20 prompts; nothing is generated.
        client
            Whose jobs to look through: the client that will submit, if it is not the
            environment's. Nothing is sent to it but by `check`.
        provider
            Whose limits and prices count, as for :meth:`submit`.

        Raises
        ------
        CostError
            If `prices` has another shape.
        RequestError, ClientError, ServiceError
            With `check`: if the API does not count these requests, or cannot be asked.

        Examples
        --------
        >>> import pandas as pd, batchframe as bf
        >>> requests = pd.DataFrame({"t": ["a"]}).bf.requests("{{ t }}", model="m", output=["+"])
        >>> requests.estimate().cost is None
        True
        >>> requests.estimate(prices={"input": 1, "output": 2}).cost.low > 0
        True
        """
        identity, profile = expected_identity(client), expected_profile(client, provider)
        asked = already_answered(self._table, identity, self._label, reuse=reuse)
        read = self._counted(asked.table, exact=exact)
        if check and asked.table.to_send:
            read = check_input(asked.table, read, connect(client))
        known = self._estimate_of(asked.table, read, identity, prices, profile)
        sent = sent_as(self._table, identity, self._label) if asked.table.to_send else None
        return known if sent is None else known.with_notes(_SENT.format(repr(sent)))

    def _estimate_of(
        self,
        table: RequestTable,
        read: InputTokens,
        identity: Identity,
        prices: Mapping[str, Any] | None,
        profile: Provider,
        *,
        narrow: bool = False,
    ) -> Estimate:
        before = experience(table.recipe, identity.base_url)
        return estimate(
            table,
            read,
            prices=prices,
            before=before,
            narrow=narrow,
            base_url=identity.base_url,
            provider=profile,
        )

    def compare(
        self,
        models: Iterable[str],
        *,
        tiers: Iterable[Tier] = ("batch", "standard"),
        prices: Mapping[str, Mapping[str, Any]] | None = None,
        client: OpenAI | None = None,
        provider: Provider | str | None = None,
    ) -> pd.DataFrame:
        """Set side by side what other models would cost for the same rows.

        The input is counted anew with each model's own tokenizer.

        Parameters
        ----------
        models
            Their names.
        tiers
            Of "batch", "standard", "flex" and "priority".
        prices
            Your own by model: ``{"my-model": {"input": "0.10", "output": "0.60"}}``, each as for
            :meth:`estimate`.
        client, provider
            Whose models they are; as for :meth:`submit`. Nothing is sent.

        Returns
        -------
        One row for each model and tier, the index: ``low``, ``expected`` and ``high`` in USD as
        `Decimal` (missing where unknown), ``input_tokens``, ``exact`` and ``note``, which says what
        the model would refuse of these requests.

        Raises
        ------
        CostError
            If `prices` has another shape, or a tier is unknown.
        RequestError
            If a name is no model's.

        Examples
        --------
        >>> import pandas as pd, batchframe as bf
        >>> frame = pd.DataFrame({"text": ["good"]})
        >>> asked = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])
        >>> costs = asked.compare(["gpt-4.1", "gpt-5.6-luna"])
        >>> costs.index.names, costs["low"]["gpt-5.6-luna", "batch"] < costs["low"].iloc[0]
        (FrozenList(['model', 'tier']), True)
        """
        identity, profile = expected_identity(client), expected_profile(client, provider)
        return compare(
            self._table, models, tiers, prices, base_url=identity.base_url, provider=profile
        )

    def _counted(self, table: RequestTable, *, exact: bool = False) -> InputTokens:
        if table is not self._table:
            return count_input(table, exact=exact or None)
        return self._every_token if exact else self._input_tokens

    @cached_property
    def _input_tokens(self) -> InputTokens:
        counted: InputTokens | None = self.__dict__.get("_every_token")
        return count_input(self._table) if counted is None else counted

    @cached_property
    def _every_token(self) -> InputTokens:
        counted: InputTokens | None = self.__dict__.get("_input_tokens")
        if counted is not None and counted.chance is None:
            return counted
        return count_input(self._table, exact=True)

    def to_jsonl(self, folder: str | Path, *, provider: Provider | str = OPENAI) -> list[Path]:
        """Write the input files into a folder, to look at or to send by other means.

        Parameters
        ----------
        provider
            Whose limits and spelling they keep to: a name such as "azure", or
            :func:`batchframe.provider`.

        Returns
        -------
        The files' paths; each is within the service's limits.

        Raises
        ------
        RequestError
            If a row makes a request that is too large for any file, or `folder` is the name of a
            file: several may be needed.
        FileIsThereError
            If a file of that name is there already.

        Examples
        --------
        >>> import pandas as pd, batchframe as bf, tempfile
        >>> requests = pd.DataFrame({"t": ["a", "b"]}).bf.requests("{{ t }}", model="gpt-4.1")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     paths = requests.to_jsonl(folder)
        ...     [path.read_text().count("custom_id") for path in paths]
        [2]
        """
        profile = expected_profile(given=provider)
        shards = plan_input_files(self._table, profile)
        return input_files(self._table, shards, Path(folder), profile)

    def _card(self) -> Card:
        prompts = [endpoint_of(self.endpoint).prompt_text(line["body"]) for line in self.preview(1)]
        return requests_card(self._table.recipe, self.estimate(), *prompts)


_SENT: Final = (
    "These requests were sent as job {}: submit() finds it again, sends nothing and costs nothing."
)
