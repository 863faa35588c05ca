"""A part of the crash matrix, drawn by a seed; `python -m tests.crash` runs all of it.

The cases run side by side in processes of their own, all at the first test that asks.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.crash.cases import STEPS, matrix

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kernels are forked")

REPO = Path(__file__).parents[2]
SEED = 20261121
FROM_EACH_FAMILY = 6
BY_NAME = [f"crash/{step}-{point.replace(' ', '-')}" for step, point in STEPS.items()] + [
    "two-kernels/S18-sixteen,-one-dies",
    "metadata-dropped/S26-reset",
    "late-commit/1.5-alive-S10",
    "lag/file-0.5",
]
SLOW_BY_NAME = ["two-kernels/S18-sixteen"]
NAIVE = "naive/alive-reset-after"


def drawn() -> list[str]:
    """Draw some cases from each family, and those that have a name of their own."""
    families = defaultdict(list)
    for case in matrix():
        families[case.family].append(case.id)
    draw = random.Random(SEED)  # noqa: S311 - not a secret
    some = [case_id for ids in families.values() for case_id in draw.sample(ids, FROM_EACH_FAMILY)]
    return list(dict.fromkeys(BY_NAME + SLOW_BY_NAME + some))


def run(*arguments: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash", "--json", *arguments],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="session")
def verdicts(request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    """Run every case that was collected."""
    wanted = [
        item.callspec.params["case_id"]
        for item in request.session.items
        if "case_id" in getattr(getattr(item, "callspec", None), "params", {})
    ]
    told = run(*(word for case_id in [*wanted, NAIVE] for word in ("--case", case_id)))
    return {verdict["id"]: verdict for verdict in told}


@pytest.mark.parametrize(
    "case_id",
    [
        pytest.param(case_id, marks=[] if case_id in BY_NAME else pytest.mark.slow)
        for case_id in drawn()
    ],
)
def test_one_batch_is_billed_and_every_row_answered(
    case_id: str, verdicts: dict[str, dict[str, Any]]
) -> None:
    assert not verdicts[case_id]["fault"], f"python -m tests.crash --case {case_id}"


def test_the_ids_of_all_cases_differ() -> None:
    ids = [case.id for case in matrix()]
    assert len(ids) == len(set(ids)) >= 600


@pytest.mark.parametrize(
    ("sabotage", "case_id"),
    [
        ("retries", "create/alive-500-after"),
        *(
            pytest.param(sabotage, case_id, marks=pytest.mark.slow)
            for sabotage, case_id in (
                ("no-reconcile", "crash/S7-after-create"),
                ("no-fence", "late-commit/12.0-alive"),
                ("lost-is-unsent", "lag/3-looks-reset"),
            )
        ),
    ],
)
def test_the_matrix_notices_a_broken_product(sabotage: str, case_id: str) -> None:
    # A machine that is very busy may take so long that the late commit is seen in time.
    for _ in range(3):
        (verdict,) = run("--sabotage", sabotage, "--case", case_id)
        if verdict["fault"]:
            break
    assert "billed 2 batches" in verdict["fault"]


def test_a_client_without_a_protocol_pays_twice(verdicts: dict[str, dict[str, Any]]) -> None:
    assert verdicts[NAIVE]["billed"] == 2
