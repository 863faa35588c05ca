"""X5, X12, X13, X14: forbidden calls, templates without code, columns, packages."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local

ROOT = Path(batchframe.__file__).parent
REPO = Path(__file__).parents[2]
SOURCES = sorted(ROOT.rglob("*.py"))

NEVER_IMPORTED = {
    "pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml", "jinja2",
    "code", "codeop", "ctypes", "subprocess", "xml", "telnetlib", "ftplib", "xmlrpc",
}  # fmt: skip
NEVER_CALLED = {
    "eval", "exec", "compile", "__import__", "read_pickle", "to_pickle", "system", "popen",
    "literal_eval", "import_module", "getattr_static", "startfile", "query",
}  # fmt: skip


def test_x5_the_source_runs_no_data_and_loads_no_object_from_bytes() -> None:
    assert len(SOURCES) > 60
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found: set[str] = set()
            if isinstance(node, ast.Import):
                found = {alias.name.partition(".")[0] for alias in node.names} & NEVER_IMPORTED
            elif isinstance(node, ast.ImportFrom):
                found = {(node.module or "").partition(".")[0]} & NEVER_IMPORTED
            elif isinstance(node, ast.Call):
                call = node.func
                # re.compile makes a pattern; the builtin makes code.
                pattern = isinstance(call, ast.Attribute) and ast.unparse(call) == "re.compile"
                name = call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "")
                found = set() if pattern else {name} & NEVER_CALLED
            assert not found, f"{path}:{node.lineno} uses {found}"  # type: ignore[attr-defined]


def test_x5_the_source_makes_no_temporary_file_of_a_known_name_and_no_shell() -> None:
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"shell=True|mktemp\(|verify=False|allow_pickle=True", text), path


@pytest.mark.parametrize(
    "template",
    [
        "{{ text.__class__ }}", "{{ text.__class__.__mro__[1].__subclasses__() }}",
        "{{ ''.join(['a']) }}", "{{ 7*7 }}", "{{ config }}", "{{ self }}", "{{ text | upper }}",
        "{{ text | attr('__class__') }}", "{{ text[0] }}", "{{ text!r:>10 }}",
    ],
)  # fmt: skip
def test_x12_a_template_from_elsewhere_can_name_columns_and_nothing_else(template: str) -> None:
    frame = pd.DataFrame({"text": ["a"]})
    with pytest.raises(bf.errors.TemplateError):
        frame.bf.requests(template, model="gpt-4.1")


@pytest.mark.parametrize(
    "written", ["{% for x in y %}", "{0}", "%s", "${x}", "{#", "f{text!r}", "{text.__class__}"]
)
@pytest.mark.filterwarnings("ignore::batchframe.errors.TemplateWarning")
def test_x12_what_is_code_elsewhere_is_text_here(written: str) -> None:
    frame = pd.DataFrame({"text": [f"{{{{ text }}}} {written}"]})
    asked = frame.bf.requests(written + " {{ text }}", model="gpt-4.1")
    content = asked.preview(1)[0]["body"]["messages"][0]["content"]
    assert content == f"{written} {{{{ text }}}} {written}"


ANSWERS: list[Any] = [
    {"label": "+", "bf_status": "ok", "text": "overwritten"},
    {"label": "+", "__class__": "x", "__init__": {}},
    {"label": "+", "index": 7, "name": "x"},
    {"LABEL": "+"},
    [{"label": "+"}],
]


@pytest.mark.parametrize("answer", ANSWERS, ids=str)
def test_x13_keys_that_a_model_chooses_never_become_columns(answer: Any) -> None:
    frame = pd.DataFrame({"text": ["a"]})
    asked = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])
    with batchframe.local.serve(answer=lambda _: answer) as server:
        job = asked.submit(client=server.client()).wait()
    joined = frame.bf.join(job)
    assert joined.columns.tolist() == ["text", "label", "bf_status", "bf_error"]
    assert joined["text"].tolist() == ["a"]
    assert joined["bf_status"].tolist() == ["invalid"]
    assert joined["label"].isna().all()


def test_x14_every_package_that_is_needed_is_named_with_its_reason() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {re.split(r"[^\w.-]", line)[0] for line in project["dependencies"]}
    assert len(needed) <= 12
    design = (REPO / "docs" / "design.md").read_text(encoding="utf-8")
    reasons = design.partition("## Dependencies, and why")[2]
    words = {"genai-prices": "price", "tiktoken": "token"}
    missing = [
        name for name in needed if name not in reasons and words.get(name, name) not in reasons
    ]
    assert not missing


def test_x14_the_source_imports_only_packages_that_are_declared() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    declared = [*project["dependencies"], *extras, "numpy"]  # pandas brings numpy
    names = {re.split(r"[^\w.-]", line)[0].lower() for line in declared}
    known = importlib.metadata.packages_distributions()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            tops = []
            if isinstance(node, ast.Import):
                tops = [alias.name.partition(".")[0] for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                tops = [node.module.partition(".")[0]]
            for top in tops:
                owners = {owner.lower() for owner in known.get(top, [])}
                # IPython is there where a notebook is; what no package owns, Python does.
                ours = top in {"batchframe", "IPython"} or not owners
                assert ours or owners & names, f"{path} imports {top}"
