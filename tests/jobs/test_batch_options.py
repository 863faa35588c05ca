"""The user's metadata and the lifetime of result files are sent."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local
from batchframe.errors import RequestError
from tests.support.job_folders import read_manifest

FRAME = pd.DataFrame({"text": ["a", "b"]})


def ask() -> bf.Requests:
    return FRAME.bf.requests("{{ text }}", model="any-model")


def batches(server: batchframe.local.Server) -> list[Any]:
    return list(server.client().batches.list())


def test_metadata_is_stored_with_batchframes_own_and_survives_recovery(
    server: batchframe.local.Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    job = ask().submit("tagged", client=server.client(), metadata={"team": "search"}).wait()
    (batch,) = batches(server)
    assert batch.metadata["team"] == "search"
    assert batch.metadata["bf_job"] == job.id
    assert read_manifest(job)["metadata"] == {"team": "search"}
    again = ask().submit("tagged", client=server.client(), metadata={"team": "other"})
    assert (again.id, len(batches(server))) == (job.id, 1)
    monkeypatch.setenv("BATCHFRAME_HOME", str(tmp_path / "another"))
    (recovered,) = bf.recover(client=server.client())
    assert read_manifest(recovered)["metadata"] == {"team": "search"}


@pytest.mark.parametrize("lifetime", [86_400, {"anchor": "created_at", "seconds": 86_400}])
def test_result_files_expire_as_requested(server: batchframe.local.Server, lifetime: Any) -> None:
    job = ask().submit(client=server.client(), output_expires_after=lifetime).wait()
    (batch,) = batches(server)
    output = server.client().files.retrieve(batch.output_file_id)
    assert output.expires_at is not None
    assert abs(output.expires_at - output.created_at - 86_400) <= 1
    assert read_manifest(job)["output_expires_after"] == 86_400


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metadata": {"bf_job": "x"}}, "reserved .'bf_job'."),
        ({"metadata": {"team": 7}}, "metadata: not a dict of strings"),
        ({"metadata": ["team"]}, "metadata: not a dict of strings"),
        ({"metadata": {"k" * 65: ""}}, "more than 10 pairs, a key of more than 64"),
        ({"metadata": {"k": "v" * 513}}, "a value of more than 512"),
        ({"metadata": {str(n): "" for n in range(11)}}, "more than 10 pairs"),
        ({"output_expires_after": 60}, "output_expires_after: not seconds from 3600"),
        ({"output_expires_after": True}, "not seconds from 3600"),
        ({"output_expires_after": {"anchor": "last_active_at", "seconds": 7_200}}, "not seconds"),
    ],
)
def test_options_the_service_would_reject_are_refused_before_anything_is_sent(
    server: batchframe.local.Server, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        ask().submit(client=server.client(), **options)
    assert batches(server) == []
