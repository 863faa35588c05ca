"""Requests and jobs as plain JSON, and clients of fixed accounts.

A job's id names the base URL of its account, and the port of a local server is another at each
start. So genuine clients are given a fixed base URL and a transport that turns to the server.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np
import openai
import pandas as pd

import batchframe as bf
import batchframe.local

FROZEN: Final = Path(__file__).parent
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d \S+")
_KEY: Final = "no key"


def _turned_to(server: batchframe.local.Server) -> openai.DefaultHttpxClient:
    """Return a transport that sends every request to a local server."""
    there = urlsplit(server.url)

    def turn(request: Any) -> None:
        request.url = request.url.copy_with(scheme="http", host=there.hostname, port=there.port)
        request.headers["host"] = there.netloc

    return openai.DefaultHttpxClient(event_hooks={"request": [turn]}, trust_env=False)


ACCOUNTS: Final[Mapping[str, Mapping[str, str]]] = {
    "loopback": {"base_url": "http://127.0.0.1:8000/v1"},
    "project": {
        "base_url": "http://127.0.0.1:8000/v1",
        "organization": "org-example",
        "project": "proj_example",
    },
    "elsewhere": {"base_url": "https://batches.example/v1"},
    "groq": {"base_url": "http://127.0.0.1:8000/openai/v1"},
    "azure": {"azure_endpoint": "http://127.0.0.1:8000", "api_version": "2024-10-21"},
}


def client_of(server: batchframe.local.Server, account: str = "loopback") -> openai.OpenAI:
    """Return an openai client of a fixed account that calls a local server."""
    options: dict[str, Any] = {
        "api_key": _KEY,
        "max_retries": 0,
        "http_client": _turned_to(server),
        **ACCOUNTS[account],
    }
    return openai.AzureOpenAI(**options) if account == "azure" else openai.OpenAI(**options)


def describe_requests(
    requests: bf.Requests, submit: Mapping[str, Any], client: openai.OpenAI
) -> dict[str, Any]:
    """Submit requests, and describe what was sent.

    What ``to_jsonl`` writes is the same, which is only checked.
    """
    job = requests.submit(client=client, **submit)
    again = requests.submit(client=client, rerun="once more", **submit)
    manifest = json.loads((job.folder / "manifest.json").read_bytes())
    with tempfile.TemporaryDirectory() as folder:
        key = manifest["provider"]["key"]
        provider = submit.get("provider", key if key == "azure" else "openai")
        written = [path.read_bytes() for path in requests.to_jsonl(folder, provider=provider)]
    contents = [path.read_bytes() for path in sorted(job.folder.glob("input-*.jsonl"))]
    assert contents == written
    return {
        "job": job.id,
        "rerun": again.id,
        "fingerprint": requests.fingerprint,
        "rows": requests.rows,
        "requests": len(requests),
        "skipped": _records(requests.skipped),
        "custom_ids": _plain(job.results(details=True)["bf_custom_id"].tolist()),
        "sent": [file.decode().split("\n") for file in contents],
    }


def describe_job(job: bf.Job) -> dict[str, Any]:
    """Describe a job from its folder."""
    results = job.results()
    return {
        "id": job.id,
        "name": job.name,
        "status": job.status,
        "done": job.done,
        "counts": job.counts,
        "usage": _plain(job.usage),
        "cost": _plain(job.cost),
        "batches": [_plain(batch.id) for batch in job.batches],
        "card": _MOMENT.sub("<moment>", repr(job)).split("\n"),
        "dtypes": {name: _kind(dtype) for name, dtype in results.dtypes.items()},
        "results": _records(job.results(details=True)),
    }


def describe_list() -> list[dict[str, Any]]:
    """Describe the list of jobs, without their age."""
    return _records(pd.DataFrame(bf.jobs()).drop(columns="age"))


def copy_job(name: str, job: str, home: Path) -> None:
    """Copy a frozen job into a state folder."""
    jobs = home / "jobs"
    jobs.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.chmod(0o700)
    copy_private(FROZEN / "jobs" / name, jobs / job)


def copy_private(source: Path, target: Path) -> None:
    """Copy a folder with private permissions, which git does not store."""
    shutil.copytree(source, target)
    for path in [target, *target.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """List the rows with their index labels, without missing values."""
    rows = (_plain(row) for row in frame.to_dict("records"))
    records = ({name: cell for name, cell in row.items() if cell is not None} for row in rows)
    labels = _plain(frame.index.tolist())
    return [{"index": label, **row} for label, row in zip(labels, records, strict=True)]


def _kind(dtype: Any) -> str:
    # pandas 2 and 3 have different names for string dtypes.
    return "text" if str(dtype) in {"object", "str", "string"} else str(dtype)


def _plain(value: Any) -> Any:
    """Convert a value to JSON, with paths relative to the state folder."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    if pd.isna(value):
        return None
    if isinstance(value, Decimal | pd.Timestamp):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, str):
        return value.replace(os.environ["BATCHFRAME_HOME"], "<home>")
    return value
