"""Every example that a reader may copy runs."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import batchframe
import batchframe.local

REPO = Path(__file__).parents[2]
PACKAGE = Path(batchframe.__file__).parent
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(batchframe.__path__, "batchframe.")
    if not module.name.endswith("__main__")
)
DOCUMENTS = sorted([REPO / "README.md", *(REPO / "docs").rglob("*.md"), REPO / "CONTRIBUTING.md"])


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name: str) -> None:
    if name == "batchframe.polars":
        pytest.importorskip("polars", reason="Polars is not installed (the extra frames has it)")
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    assert failed == 0


@pytest.mark.filterwarnings("ignore::batchframe.errors.JoinWarning")  # shown as the reader sees it
@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_examples_of_a_document_run(path: Path) -> None:
    failed, _ = doctest.testfile(str(path), module_relative=False, optionflags=FLAGS)
    assert failed == 0


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_links_of_a_document_resolve(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        place = (path.parent / target).resolve()
        if place.is_relative_to(REPO / "batchframe"):
            place = PACKAGE / place.relative_to(REPO / "batchframe")  # the installed one, in CI
        assert place.exists(), target


def test_the_first_lines_of_the_readme_label_a_frame(
    server: batchframe.local.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (REPO / "README.md").read_text("utf-8"), re.DOTALL)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "local")
    monkeypatch.chdir(REPO)
    names: dict[str, object] = {}
    exec(blocks[0], names)  # noqa: S102 - our own README
    exec(blocks[1], names)  # noqa: S102 - our own README
    exec(blocks[2], names)  # noqa: S102 - our own README
    labeled = names["labeled"]
    assert set(labeled["bf_status"]) == {"ok", "skipped"}
    assert len(server.ledger) == 1
