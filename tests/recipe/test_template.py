"""Placeholders become the text of cells; all else is unchanged."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchframe as bf
from batchframe.errors import CellError, ColumnError, RequestError, TemplateError, TemplateWarning


def messages(frame: pd.DataFrame, prompt: Any, **options: Any) -> list[list[dict[str, Any]]]:
    """Return the messages of each request."""
    requests = bf.requests(frame, prompt, **{"model": "gpt-4.1", "dedupe": False, **options})
    return [line["body"]["messages"] for line in requests.preview(len(requests))]


def rendered(frame: pd.DataFrame, prompt: Any, **options: Any) -> list[str]:
    """Return the content of the last message of each request."""
    return [each[-1]["content"] for each in messages(frame, prompt, **options)]


def one(template: str, **cells: Any) -> str:
    """Render a template with one row."""
    return rendered(pd.DataFrame({name: [cell] for name, cell in cells.items()}), template)[0]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ a }}", "A"),
        ("{{a}}", "A"),
        ("{{\n  a\n}}", "A"),
        ("{{ a }}{{ a }}", "AA"),
        ("{{{ a }}}", "{A}"),
        ("{{{{ {{ a }}", "{{ A"),
        ("{{{{{{ a }}", "{{A"),
        ("{{{{ a }} {{ a }}", "{{ a }} A"),
        ("}} {{ a }} {", "}} A {"),
        ('{"a": {{ a | json }}, "b": {"c": []}}', '{"a": "A", "b": {"c": []}}'),
        ("{{ a|json }}", '"A"'),
        ("{% if a %} {0} %s ${x} {{ a }}", "{% if a %} {0} %s ${x} A"),
        ("<|endoftext|>\u2028{{ a }}\x00", "<|endoftext|>\u2028A\x00"),
    ],
)
def test_other_braces_stay_unchanged(template: str, text: str) -> None:
    assert one(template, a="A") == text


@pytest.mark.parametrize(
    "cell",
    [
        "{{ b }}",
        "{{{{",
        "git clone {{repository}}",
        "{0} {b} %s ${b}",
        "\\1 \\g<0>",
        "{% raw %}",
        "}}",
    ],
)
def test_a_cell_is_never_scanned_again(cell: str) -> None:
    assert one("{{ a }}{{ b }}", a=cell, b="B") == cell + "B"
    assert json.loads(one("{{ a | json }}", a=cell)) == cell


LABELS = [
    "class",
    "a b",
    "__class__",
    7,
    1.5,
    ("t", 1),
    "p|q",
    " padded ",
    None,
    "two\nlines",
    "übel",
]


def test_a_label_of_any_type_is_matched_by_its_text() -> None:
    frame = pd.DataFrame(
        [[f"<{i}>" for i in range(len(LABELS))]], columns=pd.Index(LABELS, dtype=object)
    )
    for position, label in enumerate(LABELS):
        name = str(label)
        assert rendered(frame, f"{{{{ {name} }}}}") == [f"<{position}>"]
        assert rendered(frame, f"{{{{ {name.strip()} | json }}}}") == [f'"<{position}>"']


def test_labels_of_two_levels_are_matched_by_their_text() -> None:
    columns = pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")])
    assert rendered(pd.DataFrame([["p", "q"]], columns=columns), "{{ ('a', 'y') }}") == ["q"]


def test_a_column_named_like_a_filter_is_a_column() -> None:
    frame = pd.DataFrame([["p", "q"]], columns=["a", "a | json"])
    assert rendered(frame, "{{ a | json }}") == ["q"]


@pytest.mark.parametrize(
    ("columns", "template"),
    [
        (["a", "a"], "{{ a }}"),
        ([1, "1"], "{{ 1 }}"),
        ([" a", "a "], "{{ a }}"),
        (["a", " a "], "{{ a }}"),
        (["a", "a"], "{{ a | json }}"),
    ],
)
def test_a_name_that_matches_two_columns_is_refused(columns: list[Any], template: str) -> None:
    with pytest.raises(ColumnError, match="matches 2 columns"):
        rendered(pd.DataFrame([["p", "q"]], columns=columns), template)


def test_duplicate_columns_that_are_not_used_do_not_matter() -> None:
    frame = pd.DataFrame([["p", "q", "r"]], columns=["a", "a", "b"])
    assert rendered(frame, "{{ b }}") == ["r"]


@pytest.mark.parametrize(
    ("template", "fragments"),
    [
        ("{{ txet }}", ["{{ txet }}", "Did you mean {{ text }}?", "'other'"]),
        ("{{ text | upper }}", ["'upper'", "{{ text | json }}"]),
        ("{{ txet | json }}", ["{{ txet }}", "Did you mean {{ text }}?"]),
        ("{{ text.x }}", ["{{ text.x }}"]),
        ("{{ text[0] }}", ["{{ text[0] }}"]),
        ("{{ 1 + 1 }}", ["{{ 1 + 1 }}"]),
        ("{{ }}", ["empty placeholder", "{{{{"]),
        ("{{}}", ["empty placeholder"]),
        ('{{"label": "good"}} {{ text }}', ["no such column", "{{{{"]),
        ("Hello", ["names no column", "{{ text }}"]),
        ("", ["names no column"]),
        ("{{{{ text }}", ["names no column"]),
    ],
)
def test_an_invalid_template_raises_a_clear_error(template: str, fragments: list[str]) -> None:
    frame = pd.DataFrame({"text": ["a"], "other": ["b"]})
    with pytest.raises(TemplateError) as excinfo:
        rendered(frame, template)
    assert [word for word in fragments if word not in str(excinfo.value)] == []


def test_a_label_with_braces_cannot_be_named_and_the_message_shows_it() -> None:
    with pytest.raises(TemplateError, match=re.escape("Columns: '{{x}}'")):
        rendered(pd.DataFrame({"{{x}}": [1]}), "{{ {{x}} }}")


def test_a_frame_without_columns_raises_a_clear_error() -> None:
    with pytest.raises(TemplateError, match="Columns: none"):
        rendered(pd.DataFrame(index=range(2)), "{{ text }}")


ASK: dict[str, Callable[[pd.DataFrame, str], Any]] = {
    "df.bf.requests": lambda frame, template: frame.bf.requests(template, model="gpt-4.1"),
    "bf.requests": lambda frame, template: bf.requests(frame, template, model="gpt-4.1"),
    "in a message": lambda frame, template: bf.requests(
        frame, [{"role": "user", "content": [{"type": "text", "text": template}]}], model="gpt-4.1"
    ),
    "in the system message": lambda frame, template: bf.requests(
        frame, "{{ text }}", system=template, model="gpt-4.1"
    ),
}


@pytest.mark.parametrize("way", ASK)
@pytest.mark.parametrize(
    "almost", ["{text}", "{ text }", "{{ text }", "{ text }}", "{text | json}"]
)
def test_an_almost_placeholder_warns_at_the_users_line(way: str, almost: str) -> None:
    frame = pd.DataFrame({"text": ["a"]})
    with pytest.warns(TemplateWarning, match=re.escape(almost)) as warned:
        ASK[way](frame, f"{{{{ text }}}} {almost}")
    assert [warning.filename for warning in warned] == [__file__]


@pytest.mark.parametrize("literal", ["{other}", '{"text": 1}', "{{{{ text }}", "{}", "{a, text}"])
def test_other_braces_do_not_warn(literal: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rendered(pd.DataFrame({"text": ["a"]}), f"{{{{ text }}}} {literal}")


def test_only_the_texts_of_messages_are_templates() -> None:
    prompt = [
        {"role": "system", "content": "Speak {{ language }}.", "name": "guide"},
        {
            "role": "user",
            "content": ({"type": "text", "text": "{{ text }}", "n": np.float64(0.5)},),
        },
        {"role": "assistant", "content": "fixed"},
    ]
    frame = pd.DataFrame({"language": ["de", "fr"], "text": ["eins", "deux"]})
    first, second = messages(frame, prompt)
    assert first == [
        {"role": "system", "content": "Speak de.", "name": "guide"},
        {"role": "user", "content": [{"type": "text", "text": "eins", "n": 0.5}]},
        {"role": "assistant", "content": "fixed"},
    ]
    assert second[0]["content"] == "Speak fr."
    assert second[1]["content"][0]["text"] == "deux"


def test_changing_the_messages_later_does_not_change_the_recipe() -> None:
    prompt: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "text", "text": "{{ t }}"}]}
    ]
    requests = bf.requests(pd.DataFrame({"t": ["a"]}), prompt, model="gpt-4.1")
    text = requests._table.recipe.prompt[0]["content"][0]["text"]
    prompt[0]["content"][0]["text"] = "changed"
    assert text == requests._table.recipe.prompt[0]["content"][0]["text"] == "{{ t }}"


def test_the_system_message_is_a_template_before_the_prompt() -> None:
    frame = pd.DataFrame({"text": ["a"], "tone": ["warm"]})
    (first,) = messages(frame, "{{ text }}", system="Be {{ tone }}; {{{{ stays.")
    assert first == [
        {"role": "system", "content": "Be warm; {{ stays."},
        {"role": "user", "content": "a"},
    ]
    assert rendered(frame, "Hello", system="{{ text }}") == ["Hello"]


BAD_PROMPTS: dict[str, Any] = {
    "a number": 7,
    "None": None,
    "bytes": b"{{ text }}",
    "no messages": [],
    "a dict": {"role": "user", "content": "{{ text }}"},
    "a list of strings": ["{{ text }}"],
    "a message without a role": [{"content": "{{ text }}"}],
    "a message without content": [{"role": "user"}],
    "content of strings": [{"role": "user", "content": ["{{ text }}"]}],
    "content that is a number": [{"role": "user", "content": 7}],
}


@pytest.mark.parametrize("case", BAD_PROMPTS)
def test_an_invalid_prompt_raises_a_clear_error(case: str) -> None:
    with pytest.raises(TemplateError, match=r"^prompt(\[0\])?: not a "):
        rendered(pd.DataFrame({"text": ["a"]}), BAD_PROMPTS[case])


@pytest.mark.parametrize("value", [float("nan"), object, b"x", "\ud800", 2**70], ids=repr)
def test_a_message_that_is_not_json_is_refused_by_its_path(value: Any) -> None:
    prompt = [{"role": "user", "content": [{"type": "text", "text": "{{ text }}", "x": value}]}]
    with pytest.raises(RequestError, match=re.escape("prompt[0].content[0].x")):
        rendered(pd.DataFrame({"text": ["a"]}), prompt)


@pytest.mark.parametrize("where", ["prompt", "system", "on_missing", "model"])
def test_half_a_surrogate_pair_in_a_template_is_refused(where: str) -> None:
    text = "gpt \ud800" if where == "model" else "{{ text }} \ud800"
    options = {"prompt": "{{ text }}", where: text}
    with pytest.raises(RequestError, match=f"{where}: .*lone surrogate"):
        rendered(pd.DataFrame({"text": ["a"]}), **options)


class TestPromptFunction:
    """A function of the row can build the prompt."""

    frame = pd.DataFrame({"text": ["a", "b"], "n": [2**53 + 1, 2]}, index=["p", "q"])

    def test_it_sees_exact_values_under_the_columns_own_labels(self) -> None:
        rows: list[dict[Any, Any]] = []
        frame = pd.DataFrame(
            [["a", 2**53 + 1, None]], columns=pd.Index(["class", 7, ("t", 1)], tupleize_cols=False)
        )
        rendered(frame, lambda row: rows.append(dict(row)) or "x")
        assert rows == [{"class": "a", 7: 2**53 + 1, ("t", 1): None}]

    def test_its_result_is_not_a_template(self) -> None:
        assert rendered(self.frame, lambda row: f"{{{{ n }}}} {{{{{{{{ {row['text']}") == [
            "{{ n }} {{{{ a",
            "{{ n }} {{{{ b",
        ]

    def test_it_may_return_messages(self) -> None:
        rendered = messages(
            self.frame, lambda row: ({"role": "user", "content": row["text"]},), system="S"
        )
        assert rendered[0] == [
            {"role": "system", "content": "S"},
            {"role": "user", "content": "a"},
        ]

    def test_a_system_message_beside_it_is_constant(self) -> None:
        rendered = messages(self.frame, lambda row: row["text"], system="Write {{{{ twice")
        assert rendered[0][0]["content"] == "Write {{ twice"
        with pytest.raises(TemplateError, match="beside a prompt function"):
            messages(self.frame, lambda row: row["text"], system="Write {{ text }}")

    def test_none_means_no_prompt(self) -> None:
        with pytest.raises(
            CellError, match=r"row 1 \(index 'q'\): the prompt function returned None"
        ):
            rendered(self.frame, lambda row: row["text"] if row["n"] > 2 else None)
        requests = self.frame.bf.requests(
            lambda row: row["text"] if row["n"] > 2 else None, model="gpt-4.1", on_missing="skip"
        )
        assert (len(requests), requests.rows) == (1, 2)

    @pytest.mark.parametrize(
        ("returned", "word"),
        [
            (7, "prompt: not a template, a list of chat messages or a function (int)"),
            (float("nan"), "or a function (float)"),
            (len, "or a function (builtin_function"),
            ([], "or a function (list)"),
            ([{"role": "user"}], "prompt[0]: not a chat message"),
            ("\ud800", "surrogate"),
            ([{"role": "user", "content": [{"type": "text", "text": b"x"}]}], "bytes"),
            ([{"role": "user", "content": [{"type": "text", "text": float("nan")}]}], "nan"),
        ],
    )
    def test_an_invalid_result_is_refused_by_its_row(self, returned: Any, word: str) -> None:
        with pytest.raises(TemplateError, match=r"failed at row 1 \(index 'q'\)") as excinfo:
            rendered(self.frame, lambda row: "fine" if row["text"] == "a" else returned)
        assert word in str(excinfo.value)

    def test_its_exception_is_reported_with_the_row(self) -> None:
        with pytest.raises(TemplateError, match=r"row 0 \(index 'p'\): KeyError: 'no'"):
            rendered(self.frame, lambda row: row["no"])

    def test_it_does_not_support_a_replacement(self) -> None:
        with pytest.raises(TemplateError, match=r"on_missing: .*'empty'"):
            rendered(self.frame, lambda row: row["text"], on_missing="empty")

    def test_two_columns_of_one_name_are_refused_before_it_is_called(self) -> None:
        frame = pd.DataFrame([[1, 2]], columns=["a", "a"])
        called: list[Any] = []
        with pytest.raises(ColumnError, match="2 times 'a'"):
            rendered(frame, called.append)
        assert not called

    def test_a_column_without_exact_text_is_refused_with_a_fix(self) -> None:
        frame = self.frame.assign(image=b"x")
        with pytest.raises(CellError, match=r"Column 'image', row 0.*\n?.*drop\(columns"):
            rendered(frame, lambda row: row["text"])

    def test_a_frame_without_columns_still_has_rows(self) -> None:
        assert rendered(pd.DataFrame(index=range(3)), lambda _: "x") == ["x"] * 3

    def test_a_callable_that_does_not_take_a_row_is_refused(self) -> None:
        frame = pd.DataFrame({"text": ["a", "b", "a"]})
        turn = iter("123")
        with pytest.raises(TemplateError, match="different prompts for row 0 and row 2"):
            rendered(frame, lambda row: row["text"] + next(turn))


NAMES = ["a", "b c", "7"]
PIECES = st.sampled_from(
    [
        "{",
        "}",
        "{{",
        "}}",
        "{{{{",
        "{{ a }}",
        "{{b c}}",
        "{{ 7 | json }}",
        "{{{ a }}}",
        "x",
        " ",
        "\n",
        '"',
        "|",
        "json",
    ]
)
CELLS = st.text(st.sampled_from('{}a |"\\\n\u2028é'), max_size=8)


def reference(template: str, row: dict[str, str]) -> str | None:
    """Render from left to right; None if the template is invalid."""
    out, position, used = "", 0, False
    while position < len(template):
        end = template.find("}}", position)
        inside = template[position + 2 : end].strip()
        if template.startswith("{{{{", position):
            out, position = out + "{{", position + 4
        elif (
            template.startswith("{{", position)
            and end >= 0
            and not set("{}") & set(template[position + 2 : end])
        ):
            name = inside if inside in row else inside.rpartition("|")[0].strip()
            if name not in row or (name != inside and inside.rpartition("|")[2].strip() != "json"):
                return None
            out += row[name] if name == inside else json.dumps(row[name], ensure_ascii=False)
            position, used = end + 2, True
        else:
            out, position = out + template[position], position + 1
    return out if used else None


@given(st.lists(PIECES, max_size=10).map("".join), st.lists(CELLS, min_size=3, max_size=3))
def test_it_renders_like_the_reference(template: str, cells: list[str]) -> None:
    row = dict(zip(NAMES, cells, strict=True))
    frame = pd.DataFrame({name: [cell] for name, cell in row.items()})
    expected = reference(template, row)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TemplateWarning)
        if expected is None:
            with pytest.raises(TemplateError):
                rendered(frame, template)
        else:
            assert rendered(frame, template) == [expected]
