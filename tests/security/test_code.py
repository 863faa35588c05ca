"""X5, X12, X13, X14: forbidden calls, templates, columns, packages."""

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


def test_x5_the_source_executes_no_data_and_unpickles_nothing() -> None:
    assert len(SOURCES) > 60
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            forbidden: set[str] = set()
            if isinstance(node, ast.Import):
                forbidden = {alias.name.partition(".")[0] for alias in node.names} & NEVER_IMPORTED
            elif isinstance(node, ast.ImportFrom):
                forbidden = {(node.module or "").partition(".")[0]} & NEVER_IMPORTED
            elif isinstance(node, ast.Call):
                call = node.func
                # re.compile compiles a pattern; the builtin compiles code.
                pattern = isinstance(call, ast.Attribute) and ast.unparse(call) == "re.compile"
                name = call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "")
                forbidden = set() if pattern else {name} & NEVER_CALLED
            assert not forbidden, f"{path}:{node.lineno} uses {forbidden}"  # type: ignore[attr-defined]


def test_x5_the_source_uses_no_predictable_temporary_file_and_no_shell() -> None:
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
def test_x12_an_untrusted_template_can_only_name_columns(template: str) -> None:
    frame = pd.DataFrame({"text": ["a"]})
    with pytest.raises(bf.errors.TemplateError):
        frame.bf.requests(template, model="gpt-4.1")


@pytest.mark.parametrize(
    "written", ["{% for x in y %}", "{0}", "%s", "${x}", "{#", "f{text!r}", "{text.__class__}"]
)
@pytest.mark.filterwarnings("ignore::batchframe.errors.TemplateWarning")
def test_x12_code_of_other_template_languages_is_text(written: str) -> None:
    frame = pd.DataFrame({"text": [f"{{{{ text }}}} {written}"]})
    requests = frame.bf.requests(written + " {{ text }}", model="gpt-4.1")
    content = requests.preview(1)[0]["body"]["messages"][0]["content"]
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
    requests = frame.bf.requests("{{ text }}", model="gpt-4.1", output=["+", "-"])
    with batchframe.local.serve(answer=lambda _: answer) as server:
        job = requests.submit(client=server.client()).wait()
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
    keywords = {"genai-prices": "price", "tiktoken": "token"}
    missing = [
        name for name in needed if name not in reasons and keywords.get(name, name) not in reasons
    ]
    assert not missing


def test_x14_the_source_imports_only_packages_that_are_declared() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    declared = [*project["dependencies"], *extras, "numpy"]  # pandas brings numpy
    names = {re.split(r"[^\w.-]", line)[0].lower() for line in declared}
    distributions = importlib.metadata.packages_distributions()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            tops = []
            if isinstance(node, ast.Import):
                tops = [alias.name.partition(".")[0] for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                tops = [node.module.partition(".")[0]]
            for top in tops:
                owners = {owner.lower() for owner in distributions.get(top, [])}
                # IPython is optional; modules without a distribution are the standard library.
                ours = top in {"batchframe", "IPython"} or not owners
                assert ours or owners & names, f"{path} imports {top}"
