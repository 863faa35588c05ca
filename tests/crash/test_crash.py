"""A random part of the crash matrix; python -m tests.crash runs all.

All cases run in parallel, in separate processes, when the first test needs a verdict.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.crash.cases import STEPS
from tests.crash.matrix import matrix

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kernels are forked")

REPO = Path(__file__).parents[2]
SEED = 20261121
FROM_EACH_FAMILY = 6
BY_NAME = [f"crash/{step}-{point.replace(' ', '-')}" for step, point in STEPS.items()] + [
    "two-kernels/S18-sixteen,-one-dies",
    "metadata-dropped/S26-reset",
    "late-commit/1.5-alive-S10",
    "lag/file-0.5",
    "divided/alive",
    "divided/torn-DIVIDED",
    "unlisted/answers-close-after",
    "home-lost/divided-after-DIVIDED",
    "home-copied/after-create",
    "accounts/project-S7",
    "late/404-4",
    "lost/inf-alive",
    "canceled/400-alive",
    "outage/reset-alive",
    "home-hidden/empty-after-create",
]
SLOW_BY_NAME = ["two-kernels/S18-sixteen"]
NAIVE = "naive/alive-reset-after"


def drawn() -> list[str]:
    """Draw some cases of each family, and the named ones."""
    families = defaultdict(list)
    for case in matrix():
        families[case.family].append(case.id)
    draw = random.Random(SEED)  # noqa: S311 - not a secret
    some = [case_id for ids in families.values() for case_id in draw.sample(ids, FROM_EACH_FAMILY)]
    return list(dict.fromkeys(BY_NAME + SLOW_BY_NAME + some))


def run(*arguments: str) -> list[dict[str, Any]]:
    process = subprocess.run(
        [sys.executable, "-m", "tests.crash", "--json", *arguments],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode in {0, 1}, process.stderr
    return [json.loads(line) for line in process.stdout.splitlines()]


@pytest.fixture(scope="session")
def verdicts(request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    """Run the collected cases."""
    case_ids = [
        item.callspec.params["case_id"]
        for item in request.session.items
        if "case_id" in getattr(getattr(item, "callspec", None), "params", {})
    ]
    report = run(*(word for case_id in case_ids for word in ("--case", case_id)))
    return {verdict["id"]: verdict for verdict in report}


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
    assert len(ids) == len(set(ids)) >= 1500


@pytest.mark.parametrize(
    ("sabotage", "case_id"),
    [
        ("retries", "create/alive-500-after"),
        *(
            pytest.param(sabotage, case_id, marks=pytest.mark.slow)
            for sabotage, case_id in (
                ("no-reconcile", "crash/S7-after-create"),
                ("no-fence", "late-commit/12.0-alive"),
                ("lost-is-unsent", "lag/3-polls-reset"),
            )
        ),
    ],
)
def test_the_matrix_detects_a_sabotaged_protocol(sabotage: str, case_id: str) -> None:
    # On a busy machine, the late commit may be seen in time, or a retry be billed, too.
    for _ in range(3):
        (verdict,) = run("--sabotage", sabotage, "--case", case_id)
        if billed_again := re.search(r"billed [2-9] batches", verdict["fault"]):
            break
    assert billed_again, verdict["fault"]


def test_a_naive_client_is_billed_more_than_once() -> None:
    (verdict,) = run("--case", NAIVE)
    assert verdict["billed"] >= 2
