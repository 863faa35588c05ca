"""Promises name their tests, and every case id is in a test name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.crash.matrix import matrix

REPO = Path(__file__).parents[2]
PAGE = (REPO / "docs" / "reliability.md").read_text("utf-8")
CASES = [
    *(f"S{n}" for n in range(1, 29)),
    *(f"D{n}" for n in range(1, 13)),
    *(f"V{n}" for n in range(1, 10)),
    *(f"X{n}" for n in range(1, 15)),
]


def named() -> set[str]:
    tests = "\n".join(path.read_text("utf-8") for path in (REPO / "tests").rglob("test_*.py"))
    words = {word for name in re.findall(r"def (test_\w+)", tests) for word in name.split("_")}
    words |= {word.lower() for case in matrix() for word in re.split(r"[/-]", case.id)}
    return words


@pytest.mark.parametrize("case", CASES)
def test_every_case_id_has_a_test_or_a_reason(case: str) -> None:
    without = PAGE[PAGE.index("Without a test:") :]
    assert case.lower() in named() or f"- {case}," in without


@pytest.mark.parametrize("promise", [f"P{n}" for n in range(1, 15)])
def test_a_promise_names_existing_tests(promise: str) -> None:
    (row,) = re.findall(rf"^\| {promise} \|.*$", PAGE, re.MULTILINE)
    paths = re.findall(r"`(tests/[\w./]+)`", row)
    assert paths
    for path in paths:
        assert (REPO / path).exists(), path
