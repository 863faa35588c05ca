"""A join that finds little says how little, and what differs."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator

import pandas as pd
import pytest

import batchframe as bf
import batchframe.local

TEXTS = [f"Text {i} is Fine" for i in range(8)]


@pytest.fixture(scope="module")
def client() -> Iterator[object]:
    with batchframe.local.serve() as server:
        yield server.client()


def submit(frame: pd.DataFrame, prompt: object, client: object, name: str = "tone") -> bf.Job:
    plan = frame.bf.requests(prompt, model="gpt-4.1", output=["+", "-"])
    return plan.submit(name, client=client).wait()


def message(join: Callable[[], pd.DataFrame]) -> str:
    with pytest.warns(bf.errors.JoinWarning) as caught:
        join()
    assert len(caught) == 1
    assert caught[0].filename == __file__
    return str(caught[0].message)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (str.upper, "differs in case"),
        (lambda text: text + " ", "differs in white space"),
        (lambda text: text.upper().replace(" ", "  "), "differs in white space and case"),
        (lambda text: text[::-1], "was not sent: "),
    ],
)
@pytest.mark.parametrize("moved", [False, True])
def test_the_warning_says_what_changed(
    change: Callable[[str], str], cause: str, moved: bool, client: object
) -> None:
    frame = pd.DataFrame({"text": TEXTS})
    job = submit(frame, "Rate: {{ text }}", client)
    changed = frame.assign(text=frame["text"].map(change))
    changed = changed.iloc[3:] if moved else changed
    text = message(lambda: changed.bf.join(job))
    assert f"0 of {len(changed)} rows match a request of job 'tone'" in text
    assert cause in text
    assert ("row 0 (index 3)" if moved else "row 0,") in text


def test_integers_that_a_csv_made_floats_differ_in_dtype(client: object) -> None:
    frame = pd.DataFrame({"n": pd.array([7, 8, None], dtype="Int64")})
    plan = frame.bf.requests("{{ n }}", model="gpt-4.1", output=["+", "-"], on_missing="skip")
    job = plan.submit("numbers", client=client).wait()
    read = pd.read_csv(io.StringIO(frame.to_csv(index=False)))
    text = message(lambda: read.bf.join(job))
    assert "0 of 2 rows" in text
    assert "differs in dtype: '7.0' where '7' was sent" in text


def test_one_row_changed_by_accident_is_enough_and_a_new_row_is_not(client: object) -> None:
    frame = pd.DataFrame({"text": TEXTS})
    job = submit(frame, "{{ text }}", client)
    text = message(lambda: frame.replace(TEXTS[5], TEXTS[5] + " ").bf.join(job))
    assert "7 of 8 rows" in text
    assert "row 5, differs in white space" in text
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        joined = pd.concat([frame, pd.DataFrame({"text": ["new"]})]).bf.join(job)
        frame.iloc[::-1].bf.join(job)
    assert joined["bf_status"].tolist() == ["ok"] * 8 + ["missing"]


def test_rows_of_a_prompt_function_are_counted(client: object) -> None:
    frame = pd.DataFrame({"text": TEXTS})
    job = submit(frame, lambda row: f"Rate: {row['text']}", client, "function")
    text = message(lambda: frame.assign(text=frame["text"] + "!").bf.join(job))
    assert "0 of 8 rows" in text
    assert "has a cell that changed" in text


def test_rows_found_in_any_of_several_jobs_count(client: object) -> None:
    frame = pd.DataFrame({"text": TEXTS})
    first, second = (
        submit(frame.iloc[part], "{{ text }}", client, f"part {part.start}")
        for part in (slice(0, 4), slice(4, 8))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert frame.bf.join(first, second)["bf_status"].tolist() == ["ok"] * 8


def test_the_rows_of_a_sample_are_found_in_the_whole_frame_without_a_warning(
    client: object,
) -> None:
    frame = pd.DataFrame({"text": [f"Row {i}" for i in range(40)]})
    job = submit(frame.sample(5, random_state=0), "{{ text }}", client, "sample")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert frame.bf.join(job)["bf_status"].value_counts().to_dict() == {"missing": 35, "ok": 5}
