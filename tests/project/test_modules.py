"""Imports and length of modules; import-linter checks the rest."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import batchframe

ROOT = Path(batchframe.__file__).parent

MODULES = sorted(ROOT.rglob("*.py"))

TREE = Path(__file__).parents[2]
OTHERS = [
    path
    for folder in ("tests", "benchmarks", "tools")
    for path in sorted(TREE.joinpath(folder).rglob("*.py"))
    if "frozen" not in path.parts
]


@cache
def parsed(path: Path) -> ast.Module:
    """Parse a file once for all tests."""
    return ast.parse(path.read_text(encoding="utf-8"))


def room_of(path: Path) -> str:
    """Return the first part of a file's path below the package."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def test_only_one_module_imports_openai() -> None:
    importers = {
        room_of(path)
        for path in MODULES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and "openai" in ast.unparse(node).replace("batchframe._services.openai", "").split()
        and not _for_types_only(path, node)
    }
    assert importers == {"_services", "local"}


def _for_types_only(path: Path, node: ast.AST) -> bool:
    tree = parsed(path)
    return any(
        isinstance(block, ast.If)
        and ast.unparse(block.test) == "TYPE_CHECKING"
        and ast.unparse(node) in {ast.unparse(inner) for inner in block.body}
        for block in ast.walk(tree)
    )


def test_no_module_executes_or_unpickles_data() -> None:
    forbidden = {"pickle", "marshal", "shelve", "yaml", "eval", "exec", "compile", "__import__"}
    for path in MODULES:
        tree = parsed(path)
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        used |= {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        assert not used & forbidden, path


def test_a_module_has_one_subject_of_at_most_400_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in MODULES
        if (lines := path.read_text(encoding="utf-8").count("\n")) > 400
        and path.name != "errors.py"
    }
    assert not long


HEAVY = (
    "openai",
    "tiktoken",
    "splintr",
    "genai_prices",
    "requests",
    "starlette",
    "uvicorn",
    "IPython",
    "matplotlib",
    "PIL",
    "ipywidgets",
)


def test_importing_batchframe_loads_no_sdk_no_tokenizer_and_no_server() -> None:
    code = f"import sys, batchframe; print([m for m in {HEAVY!r} if m in sys.modules])"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "[]"


def test_the_first_line_of_a_docstring_is_short() -> None:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    long = [
        f"{path}: {line}"
        for path in MODULES + OTHERS
        for node in ast.walk(parsed(path))
        if isinstance(node, kinds)
        for line in (ast.get_docstring(node) or "").splitlines()[:1]
        if len(line) > 72
    ]
    assert not long
