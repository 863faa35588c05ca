"""CI tests the installed wheel with all its files."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from importlib.resources import files
from pathlib import Path

import pytest

import batchframe

REPO = Path(__file__).parents[2]
SITE_PACKAGES = Path(sysconfig.get_path("purelib"))

pytestmark = pytest.mark.skipif(
    os.environ.get("BATCHFRAME_INSTALLED") != "required", reason="a checkout is tested"
)


def test_the_package_comes_from_site_packages() -> None:
    assert Path(batchframe.__file__).is_relative_to(SITE_PACKAGES)
    assert not (REPO / "batchframe").exists()


def test_processes_that_tests_start_import_the_same_package() -> None:
    code = "import batchframe; print(batchframe.__file__)"
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == batchframe.__file__


def test_the_wheel_contains_the_data_files(tmp_path: Path) -> None:
    # Prices, model rules, styles and reviews, used from an empty folder.
    process = subprocess.run(
        [sys.executable, "-m", "batchframe", "demo"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert "bf_status" in process.stdout
    assert files("batchframe").joinpath("py.typed").is_file()
