"""Requests → a job folder that is ready to be submitted.

In: a request table and the account it goes to. Out: input files, ``rows.parquet``, manifest.
Must not know: the network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from batchframe._clock import SYSTEM, Clock
from batchframe._estimate import Estimate
from batchframe._folder import JobFolder, sync_folder
from batchframe._request_table import FINGERPRINT_VERSION, RequestTable
from batchframe._rows import rows_of, write_rows
from batchframe._service import Identity
from batchframe._shards import Shard, write_inputs
from batchframe._version import __version__


@dataclass(frozen=True)
class Plan:
    """A job as it was decided: whose, called what, in which files, for how much."""

    table: RequestTable
    identity: Identity
    name: str | None
    rerun: str | None
    shards: list[Shard]
    estimate: Estimate
    prices: Mapping[str, Any] | None = None
    clock: Clock = SYSTEM

    @property
    def job_id(self) -> str:
        """The content of the requests, the account and the run label, as 20 hexadecimal digits."""
        account = msgspec.json.encode([asdict(self.identity), "24h", self.rerun])
        content = FINGERPRINT_VERSION + self.table.fingerprint.encode() + account
        return hashlib.sha256(content).hexdigest()[:20]


def prepare(plan: Plan, folder: JobFolder) -> dict[str, Any]:
    """Write the job folder, or find it written, and return its manifest.

    What was once meant to be sent is never written again: only the recipe's words that do not reach
    the wire (the answer column's name, the job's name) follow the latest cell.
    """
    if folder.journal.is_file():
        manifest = folder.read_manifest()
        manifest["recipe"] = plan.table.recipe.to_json()
        manifest["name"] = plan.name or manifest["name"]
        folder.write_manifest(manifest)
        return manifest
    # No journal: nothing was ever begun, so whatever stands here is an unfinished preparation.
    paths = [folder.input(number) for number in range(len(plan.shards))]
    written = [asdict(file) for file in write_inputs(plan.table, plan.shards, paths)]
    write_rows(rows_of(plan.table), folder.rows)
    sync_folder(folder.path)
    manifest = _manifest(plan, written)
    folder.write_manifest(manifest)
    return manifest


def _manifest(plan: Plan, shards: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": plan.job_id,
        "name": plan.name,
        "created_at": plan.clock.now(),
        "batchframe": __version__,
        "fingerprint": plan.table.fingerprint,
        "identity": asdict(plan.identity),
        "rerun": plan.rerun,
        "recipe": plan.table.recipe.to_json(),
        "rows": plan.table.rows,
        "requests": plan.table.requests,
        "shards": shards,
        "estimate": _told(plan.estimate),
        "prices": _as_text(plan.prices),
    }


def _told(estimate: Estimate) -> dict[str, Any]:
    """Keep the estimate beside the job, to set the actual figures against."""
    cost = estimate.cost
    return {
        "input_tokens": asdict(estimate.input_tokens),
        "output_tokens": asdict(estimate.output_tokens),
        "cost": None if cost is None else {k: v and str(v) for k, v in asdict(cost).items()},
    }


def _as_text(prices: Any) -> Any:
    """Write prices as text, so that no digit is lost on the way to the disk."""
    if isinstance(prices, Mapping):
        return {key: _as_text(value) for key, value in prices.items()}
    return None if prices is None else str(prices)
