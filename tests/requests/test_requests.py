"""Rows and their requests: duplicates, fingerprints and input files."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchframe as bf
import batchframe.local
from batchframe.errors import CellError, RequestError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
HARD = TEXT | st.text(
    st.sampled_from('\u2028\u2029\x85\x0b\x0c\x00\x1f\x7f"\\/\n\r\té🦆'), max_size=8
)


def ask(frame: pd.DataFrame, prompt: Any = "Rate: {{ text }}", **options: Any) -> bf.Requests:
    return bf.requests(frame, prompt, **{"model": "gpt-4.1", **options})


def frame_of(texts: list[Any], **options: Any) -> pd.DataFrame:
    return pd.DataFrame({"text": pd.Series(texts, dtype=object), **options})


def file_bytes(requests: bf.Requests, folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in requests.to_jsonl(folder))


@given(st.lists(HARD, min_size=1, max_size=8))
def test_every_line_is_json_that_reads_back_to_the_exact_text(texts: list[str]) -> None:
    requests = ask(frame_of(texts), "{{ text }}|{{ text | json }}", system="S \u2028 {{ text }}")
    lines = list(requests._table.lines())
    for raw, text in zip(lines, dict.fromkeys(texts), strict=True):
        assert raw.endswith(b"\n")
        # Only the line end may end a line, for any reader.
        assert len(raw.decode().splitlines()) == 1
        line = json.loads(raw, parse_constant=pytest.fail)
        system, user = line["body"]["messages"]
        assert system["content"] == f"S \u2028 {text}"
        plain, as_json = user["content"][: len(text)], user["content"][len(text) + 1 :]
        assert (plain, json.loads(as_json)) == (text, text)
        assert (line["method"], line["url"]) == ("POST", "/v1/chat/completions")


@given(st.lists(HARD, max_size=10), st.booleans())
def test_a_request_is_identified_by_the_bytes_after_its_custom_id(
    texts: list[str],
    dedupe: bool,
) -> None:
    requests = ask(frame_of(texts), dedupe=dedupe)
    table = requests._table
    lines = list(table.lines())
    ids = [json.loads(line)["custom_id"] for line in lines]
    start = f"bf1-{requests.fingerprint[:8]}"
    for number, (line, identifier) in enumerate(zip(lines, ids, strict=True)):
        behind = line.removeprefix(b'{"custom_id":"' + identifier.encode()).removesuffix(b"\n")
        digest = hashlib.sha256(behind).digest()[:16]
        assert identifier == f"{start}-{number:07d}-{digest.hex()[:10]}"
        assert table.digest[table.first_row[number]].tobytes() == digest
        assert len(line) == table.size[number] + table.line_overhead
    assert len(set(ids)) == len(ids)
    assert all(identifier.isascii() and len(identifier) <= 64 for identifier in ids)


def test_custom_ids_are_short_and_sorted_for_any_number_of_requests(tmp_path: Path) -> None:
    requests = ask(frame_of([f"text {row}" for row in range(50_000)]))
    lines = file_bytes(requests, tmp_path).splitlines()
    ids = [json.loads(line)["custom_id"] for line in lines]
    assert ids == sorted(ids)
    assert {len(identifier) for identifier in ids} == {31}


@given(st.lists(st.sampled_from("abc"), max_size=12))
def test_duplicates_make_one_request_unless_dedupe_is_off(texts: list[str]) -> None:
    frame = frame_of(texts)
    together, apart = ask(frame), ask(frame, dedupe=False)
    assert (len(together), together.rows) == (len(set(texts)), len(texts))
    assert (len(apart), apart.rows) == (len(texts), len(texts))
    counts = [
        together.preview(9)[n]["body"]["messages"][0]["content"] for n in together._table.number
    ]
    assert counts == [f"Rate: {text}" for text in texts]


@given(st.lists(TEXT, min_size=1, max_size=8), st.data())
def test_the_fingerprint_ignores_order_index_and_repetition(
    texts: list[str], data: st.DataObject
) -> None:
    frame = frame_of(texts)
    order = data.draw(st.permutations(range(len(texts))))
    more = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=4))
    other = frame.iloc[[*order, *more]].set_index(pd.Index([3] * (len(order) + len(more))))
    other = other.assign(new=1)[["new", "text"]]
    assert ask(other).fingerprint == ask(frame).fingerprint


@given(st.permutations(["temperature", "top_p", "seed", "user"]))
def test_the_order_of_keywords_does_not_matter(names: list[str]) -> None:
    frame = frame_of(["a"])
    in_order = ask(frame, temperature=0, top_p=1, seed=5, user="u")
    values = {"temperature": 0, "top_p": 1, "seed": 5, "user": "u"}
    other = ask(frame, **{name: values[name] for name in names})
    assert other.fingerprint == in_order.fingerprint


def test_any_change_changes_the_fingerprint() -> None:
    frame = frame_of(["a", "b"])
    variants = [
        ask(frame),
        ask(frame_of(["a", "b "])),
        ask(frame_of(["a", "b", "c"])),
        ask(frame_of(["a"])),
        ask(frame_of(["ab", ""])),
        ask(frame, "Rate:  {{ text }}"),
        ask(frame, "Rate: {{ text | json }}"),
        ask(frame, [{"role": "developer", "content": "Rate: {{ text }}"}]),
        ask(frame, system=""),
        ask(frame, system="S"),
        ask(frame, model="gpt-4.1-mini"),
        ask(frame, temperature=0),
        ask(frame, temperature=0.0),
        ask(frame, temperature=None),
        ask(frame, seed=0),
        ask(frame, output=["x", "y"]),
        ask(frame, output=["y", "x"]),
        ask(pd.concat([frame, frame]), dedupe=False),
    ]
    fingerprints = [requests.fingerprint for requests in variants]
    assert len(set(fingerprints)) == len(variants)


def test_a_fingerprint_does_not_change_from_kernel_to_kernel() -> None:
    # Job folders are named by it: if it changes, FINGERPRINT_VERSION must change, too.
    requests = ask(frame_of(["a", "é"]), temperature=0)
    assert requests.fingerprint == (
        "1e73843a74f48b6217c7f25e2110229fe8b91c64497135b2eb8fbccc78344068"
    )


class TestMissingCells:
    """`on_missing` says what happens to a row with a missing cell."""

    frame = pd.DataFrame(
        {"text": ["a", None, "b", np.nan, "a"], "n": [1, 2, None, None, 1]}, index=list("pqrst")
    )

    def contents(self, prompt: str, on_missing: str) -> list[str | None]:
        requests = ask(self.frame, prompt, on_missing=on_missing)
        prompts = [line["body"]["messages"][0]["content"] for line in requests.preview(9)]
        return [None if n < 0 else prompts[n] for n in requests._table.number]

    def test_by_default_it_is_an_error_that_names_rows_and_columns(self) -> None:
        with pytest.raises(CellError) as excinfo:
            ask(self.frame, "{{ n }}{{ text }}")
        message = str(excinfo.value)
        assert "3 of 5 rows" in message
        assert "row 1 (index 'q'): column 'text' is missing" in message
        assert "row 2 (index 'r'): column 'n' is missing" in message
        assert "row 3 (index 's'): column 'n' is missing" in message

    def test_an_error_shows_five_rows_and_counts_the_rest(self) -> None:
        with pytest.raises(CellError, match="and 95 more") as excinfo:
            ask(frame_of([None] * 100))
        assert str(excinfo.value).count("'text' is missing") == 5

    def test_a_missing_cell_in_an_unused_column_does_not_matter(self) -> None:
        assert len(ask(self.frame.assign(text="x"))) == 1

    def test_skip_leaves_the_row_out(self) -> None:
        assert self.contents("{{ text }}{{ n }}", "skip") == ["a1.0", None, None, None, "a1.0"]

    def test_empty_inserts_an_empty_string_and_null_in_json(self) -> None:
        assert self.contents("<{{ text }}>", "empty") == ["<a>", "<>", "<b>", "<>", "<a>"]
        assert self.contents("{{ n | json }}", "empty") == ["1.0", "2.0", "null", "null", "1.0"]

    def test_a_string_replaces_missing_cells(self) -> None:
        assert self.contents("<{{ text }}>", 'no "text"')[1] == '<no "text">'
        assert json.loads(str(self.contents("{{ text | json }}", 'no "text"')[1])) == 'no "text"'
        assert self.contents("<{{ text }}>", "{{ n }}")[1] == "<{{ n }}>"

    def test_a_missing_cell_and_its_replacement_are_duplicates(self) -> None:
        assert len(ask(frame_of([None, "none", ""]), on_missing="none")) == 2
        assert len(ask(frame_of([None, "none", ""]), on_missing="empty")) == 2


@pytest.mark.parametrize(
    "frame",
    [
        frame_of([]),
        frame_of([None, np.nan, pd.NA, pd.NaT]),
        pd.DataFrame({"text": []}, dtype="str"),
    ],
    ids=["no rows", "all missing", "no text rows"],
)
def test_an_empty_frame_makes_no_request_and_no_call(frame: pd.DataFrame, tmp_path: Path) -> None:
    requests = ask(frame, on_missing="skip", output=["x", "y"])
    assert (len(requests), requests.rows, requests.preview()) == (0, len(frame), [])
    assert file_bytes(requests, tmp_path) == b""
    job = requests.submit()
    joined = frame.bf.join(job)
    assert joined["bf_status"].tolist() == ["skipped"] * len(frame)
    assert joined["label"].cat.categories.tolist() == ["x", "y"]
    assert job.counts == ({"skipped": len(frame)} if len(frame) else {})


def test_the_frame_is_not_changed() -> None:
    frame = pd.DataFrame({"text": ["a", None], "n": [[1], {"a": 2}]}, index=[5, 5])
    frame.attrs["source"] = "survey"
    before = frame.copy(deep=True)
    ask(frame, "{{ text }}{{ n }}", on_missing="skip")
    pd.testing.assert_frame_equal(frame, before)
    assert frame.attrs == {"source": "survey"}


def test_preview_files_and_uploads_are_identical(
    tmp_path: Path, server: batchframe.local.Server
) -> None:
    requests = ask(frame_of(["a", "b", "é\u2028", "a"]), output=["x", "y"], temperature=0)
    written = file_bytes(requests, tmp_path / "new" / "folder")
    assert [json.loads(line) for line in written.split(b"\n")[:-1]] == requests.preview(99)
    assert requests.preview(1) == requests.preview(99)[:1]
    client = server.client()
    job = requests.submit(client=client).wait()
    uploaded = client.files.content(job.batches[0].input_file_id).read()
    assert uploaded == written
    assert (job.folder / "input-000.jsonl").read_bytes() == written
    (input_file,) = json.loads((job.folder / "manifest.json").read_text())["inputs"]
    assert (input_file["bytes"], input_file["sha256"]) == (
        len(written),
        hashlib.sha256(written).hexdigest(),
    )


def test_existing_files_are_not_replaced(tmp_path: Path) -> None:
    requests = ask(frame_of(["a"]))
    (path,) = requests.to_jsonl(tmp_path)
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="is not overwritten"):
        requests.to_jsonl(tmp_path)
    assert path.read_text() == "mine"


def files_of(
    requests: bf.Requests, folder: Path, max_requests: int = 50_000, max_bytes: int = 200_000_000
) -> list[bytes]:
    """Write the input files for a service of these limits."""
    limits = {"max_requests": max_requests, "max_bytes": max_bytes}
    within = bf.provider("openai", name="Small", **limits)
    return [path.read_bytes() for path in requests.to_jsonl(folder, provider=within)]


def counts(files: list[bytes]) -> list[int]:
    return [content.count(b"\n") for content in files]


@given(
    texts=st.lists(HARD, min_size=1, max_size=12, unique=True),
    most=st.integers(1, 5),
    spare=st.integers(0, 400),
)
def test_files_are_as_large_as_the_limits_allow(
    texts: list[str], most: int, spare: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    requests, folder = ask(frame_of(texts)), tmp_path_factory.mktemp("files")
    all_bytes = file_bytes(requests, folder / "whole")
    sizes = [len(line) for line in all_bytes.splitlines(keepends=True)]
    limit = max(sizes) + spare
    files = files_of(requests, folder / "files", most, limit)
    assert b"".join(files) == all_bytes
    stop = 0
    for content in files:
        assert len(content) <= limit
        assert content.count(b"\n") <= most
        stop += content.count(b"\n")
        full = content.count(b"\n") == most or stop == len(sizes)
        assert full or len(content) + sizes[stop] > limit


def test_limits_are_exact_to_the_byte(tmp_path: Path) -> None:
    requests = ask(frame_of(["é" * 50, "🦆" * 25, "x" * 100]))
    lines = file_bytes(requests, tmp_path / "whole").splitlines(keepends=True)
    sizes = [len(line) for line in lines]
    # Equal in bytes, not in characters.
    assert sizes[0] == sizes[1] == sizes[2]
    two = 2 * sizes[0]
    for limits, expected in (
        ((9, two), [2, 1]), ((9, two - 1), [1, 1, 1]), ((9, two + sizes[0]), [3]),
        ((2, 10**6), [2, 1]),
    ):  # fmt: skip
        assert counts(files_of(requests, tmp_path / str(limits), *limits)) == expected


def test_fifty_thousand_requests_fill_one_file(tmp_path: Path) -> None:
    frame = frame_of([f"{row:06d}" for row in range(100_001)])
    assert counts(files_of(ask(frame), tmp_path / "all")) == [50_000, 50_000, 1]
    half = ask(frame.head(50_000))
    (file,) = files_of(half, tmp_path / "half")
    assert files_of(half, tmp_path / "to the byte", max_bytes=len(file)) == [file]
    less = files_of(half, tmp_path / "a byte less", max_bytes=len(file) - 1)
    assert counts(less) == [49_999, 1]


def test_a_row_too_large_for_any_file_is_named(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": ["a", "a", "x" * 500]}, index=["p", "q", "r"])
    requests = ask(frame)
    lines = file_bytes(requests, tmp_path / "whole").splitlines(keepends=True)
    largest = max(len(line) for line in lines)
    assert counts(files_of(requests, tmp_path / "fits", 9, largest)) == [1, 1]
    with pytest.raises(RequestError, match=r"row 2 .*Small") as excinfo:
        files_of(requests, tmp_path / "does not fit", 9, largest - 1)
    assert f"{largest:,} bytes" in str(excinfo.value)


def test_a_preview_of_a_negative_number_is_refused() -> None:
    requests = pd.DataFrame({"t": ["a"]}).bf.requests("{{ t }}", model="gpt-4.1")
    assert requests.preview(0) == []
    with pytest.raises(bf.errors.RequestError, match="n: not an int of 0"):
        requests.preview(-1)


def test_a_file_name_is_not_used_as_a_folder(tmp_path: Path) -> None:
    requests = pd.DataFrame({"t": ["a"]}).bf.requests("{{ t }}", model="gpt-4.1")
    (tmp_path / "taken").write_text("")
    for name in ("x.jsonl", "taken"):
        with pytest.raises(bf.errors.RequestError, match="a file name"):
            requests.to_jsonl(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    assert requests.to_jsonl(tmp_path / "x")[0].name == "requests-000.jsonl"


@pytest.mark.parametrize("name", ["requests", "join", "evaluate", "agreement", "escape_formulas"])
def test_an_accessor_method_has_the_full_docstring_of_its_function(name: str) -> None:
    frame = pd.DataFrame({"t": ["a"]})
    method, function = getattr(frame.bf, name), getattr(bf, name)
    method_doc, function_doc = inspect.getdoc(method) or "", inspect.getdoc(function) or ""
    assert method_doc.split("\n")[0] == function_doc.split("\n")[0]
    assert "Examples\n--------" in method_doc
    assert f".bf.{name}(" in method_doc
    rows = "source" if name == "requests" else "frame"
    assert f"\n{rows}\n" in function_doc
    assert f"\n{rows}\n" not in method_doc
    parameters = set(inspect.signature(function).parameters) - {rows}
    assert set(inspect.signature(method).parameters) == parameters


def test_files_are_the_same_for_any_size_of_rendered_blocks(tmp_path: Path) -> None:
    # Rendered 10,000 rows at a time; é, 鸭 and 🦆 have 2, 3 and 4 bytes.
    frame = frame_of([f"{'é鸭🦆'[row % 3]}{row}" for row in range(25_001)])
    requests = ask(frame)
    content = file_bytes(requests, tmp_path / "whole")
    assert content.count(b"\n") == 25_001
    for most in (9_999, 10_000, 10_001, 25_000):
        files = files_of(requests, tmp_path / str(most), most)
        assert counts(files) == [min(most, 25_001 - start) for start in range(0, 25_001, most)]
        assert b"".join(files) == content


def test_a_file_has_at_most_fifty_thousand_embedding_inputs(tmp_path: Path) -> None:
    texts = pd.DataFrame({"text": [f"text {row}" for row in range(50_001)]})
    requests = texts.bf.requests(
        "{{ text }}", model="text-embedding-3-small", endpoint="/v1/embeddings"
    )
    assert counts(files_of(requests, tmp_path)) == [50_000, 1]


def test_an_interrupted_write_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = frame_of([f"text {row}" for row in range(30_000)]).bf.requests(
        "{{ text }}", model="gpt-4.1"
    )
    table, blocks = requests._table, type(requests._table).line_blocks

    def interrupted(arguments: Any) -> Iterator[list[bytes]]:
        yield next(iter(blocks(arguments)))
        raise KeyboardInterrupt

    monkeypatch.setattr(type(table), "line_blocks", interrupted)
    with pytest.raises(KeyboardInterrupt):
        requests.to_jsonl(tmp_path / "files")
    assert list((tmp_path / "files").iterdir()) == []


def test_a_request_above_the_queue_limit_is_refused(server: batchframe.local.Server) -> None:
    frame = pd.DataFrame({"text": ["a"]}, index=["Anna"])
    requests = frame.bf.requests("{{ text }}", model="gpt-4.1")
    with pytest.raises(bf.errors.RequestError, match=r"tokens of row 0 \(index 'Anna'\) \(1\)"):
        requests.submit(client=server.client(), max_enqueued_tokens=1)


def test_a_folder_that_cannot_be_created_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    requests = pd.DataFrame({"text": ["a"]}).bf.requests("{{ text }}", model="gpt-4.1")
    with pytest.raises(bf.errors.RequestError, match="cannot be written"):
        requests.to_jsonl(tmp_path / "file" / "requests")
