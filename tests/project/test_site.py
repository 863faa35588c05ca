"""Every public name has a page on the site, and all pages are linked."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

import batchframe
import batchframe.local

REPO = Path(__file__).parents[2]
DOCS = REPO / "docs"
MODULES = [batchframe, batchframe.local, batchframe.plot, batchframe.plot.tables, batchframe.errors]


def listed(directive: str, path: Path) -> set[str]:
    """Read the entries of a directive, after its options and a blank line."""
    text = path.read_text(encoding="utf-8")
    blocks = re.findall(rf"{directive}\n(?: *:.*\n)*\n?((?: *[\w./-]+\n)+)", text)
    return {entry.strip() for entries in blocks for entry in entries.splitlines()}


def documented() -> set[str]:
    return listed(r"\.\. autosummary::", DOCS / "api.md")


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_public_name_has_a_page(module: ModuleType) -> None:
    names = {
        f"{module.__name__}.{name}"
        for name in module.__all__
        if name != "__version__" and not isinstance(getattr(module, name), ModuleType)
    }
    assert names - documented() == set(), "list it in docs/api.md"


def test_every_page_of_the_reference_is_of_a_public_name() -> None:
    for name in documented():
        module, _, attribute = name.rpartition(".")
        (owner,) = (one for one in MODULES if one.__name__ == module)
        assert attribute in owner.__all__


def test_every_document_and_notebook_is_in_the_navigation() -> None:
    pages = {path.relative_to(REPO).with_suffix("").as_posix() for path in DOCS.glob("*.md")}
    pages |= {f"notebooks/{path.stem}" for path in (REPO / "notebooks").glob("*.ipynb")}
    linked = set()
    for path in DOCS.glob("*.md"):
        entries = listed(r"```\{toctree\}", path)
        linked |= {entry[1:] if entry[0] == "/" else f"docs/{entry}" for entry in entries}
    assert pages - linked == {"docs/index"}, "add it to a toctree, as in docs/guides.md"
