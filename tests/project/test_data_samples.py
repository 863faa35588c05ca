"""The files of ``data_samples``, compared with its README.

The rows are read here with the standard ``csv`` module, so that nothing has been turned into a
missing value, and with a plain ``pd.read_csv`` where the promise is about that.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Row = dict[str, str]
    Finder = Callable[[list[Row]], list[str]]

FOLDER = Path(__file__).parents[2] / "data_samples"
KEYS = {
    "customer_messages.csv": "message_id",
    "reviews.csv": "review_id",
    "support_tickets.csv": "ticket_id",
    "products_multilingual.csv": "sku",
    "titles_english.csv": "sku",
}
COLUMNS = {
    "customer_messages.csv": ["message_id", "received", "channel", "text", "topic"],
    "reviews.csv": ["review_id", "product", "stars", "text", "sentiment"],
    "support_tickets.csv": [
        "ticket_id",
        "opened",
        "channel",
        "subject",
        "message",
        "topic",
        "urgent",
    ],
    "products_multilingual.csv": ["sku", "language", "title", "description", "category"],
    "titles_english.csv": ["sku", "title"],
}
TEXT_COLUMNS = ("text", "subject", "message", "title", "description")


@cache
def rows_of(file: str) -> list[Row]:
    with (FOLDER / file).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, strict=True))


def key_of(row: Row) -> str:
    return next(iter(row.values()))


def texts_of(row: Row) -> list[str]:
    return [row[column] for column in TEXT_COLUMNS if column in row]


def rows_where(is_faulty: Callable[[Row], bool]) -> Finder:
    return lambda rows: [key_of(row) for row in rows if is_faulty(row)]


def texts_where(is_faulty: Callable[[str], bool]) -> Finder:
    return rows_where(lambda row: any(map(is_faulty, texts_of(row))))


def texts_with(pattern: str) -> Finder:
    return texts_where(lambda text: re.search(pattern, text) is not None)


def has_letters_outside_latin(text: str) -> bool:
    return any(c.isalpha() and not unicodedata.name(c).startswith("LATIN") for c in text)


def is_right_to_left(text: str) -> bool:
    return any(unicodedata.bidirectional(c) in {"R", "AL"} and c.isalpha() for c in text)


def is_all_capitals(text: str) -> bool:
    return len(text) > 10 and text.isupper()


def later_copies_of_a_text(rows: list[Row]) -> list[str]:
    texts: set[str] = {""}
    copies = []
    for row in rows:
        if row["text"] in texts and row["text"]:
            copies.append(key_of(row))
        texts.add(row["text"])
    return copies


def copies_but_for_spaces(rows: list[Row]) -> list[str]:
    first: dict[str, str] = {}
    return [
        key_of(row)
        for row in rows
        if first.setdefault(row["text"].strip(), row["text"]) != row["text"]
    ]


def repeated_keys(rows: list[Row], *, identical: bool) -> list[str]:
    first: dict[str, Row] = {}
    return [
        key_of(row)
        for row in rows
        if (first_row := first.setdefault(key_of(row), row)) is not row
        and (first_row == row) is identical
    ]


EMOJI = "[\U0001f000-\U0001faff\u2600-\u27bf]"

FAULTS: dict[str, dict[str, Finder]] = {
    "customer_messages.csv": {
        "text missing (empty cell)": rows_where(lambda row: row["text"] == ""),
        "text is `n/a`": rows_where(lambda row: row["text"] == "n/a"),
        "exact copy of an earlier text": later_copies_of_a_text,
        "copy of an earlier text but for a trailing space": copies_but_for_spaces,
        "French, German, Spanish or Turkish": texts_with(
            r"\b(?:wird|que la|hora|brennt|Hundesteuer|Passbild|Combien|Leitungswasser|Heiraten"
            r"|kayıt)\b"
        ),
        "ALL CAPS": texts_where(is_all_capitals),
        "emoji": texts_with(EMOJI),
        "several lines": texts_with("\n"),
        "tab inside the cell": texts_with("\t"),
        "leading or trailing spaces": texts_where(lambda text: text != text.strip()),
        "double braces, as in a template": texts_with(r"\{\{ text \}\}"),
        "JSON object": texts_with(r'\{"'),
        "HTML tags and entities": texts_with("</b>|&nbsp;"),
        "starts like a spreadsheet formula": texts_with("^[=+@]"),
        "instructions to the labeler": texts_with("Ignore all previous instructions"),
        "mojibake": texts_with("\u00c3"),
        "email address": texts_with("@"),
    },
    "reviews.csv": {
        "text missing (empty cell)": rows_where(lambda row: row["text"] == ""),
        "text is the word `None`": rows_where(lambda row: row["text"] == "None"),
        "stars missing": rows_where(lambda row: row["stars"] == ""),
        "stars contradict the text": rows_where(
            lambda row: (row["stars"], row["sentiment"]) in {("5", "negative"), ("1", "positive")}
        ),
        "exact copy of an earlier text": later_copies_of_a_text,
        "Arabic, Chinese, Hindi, Japanese or Russian": texts_where(has_letters_outside_latin),
        "French, German or Spanish": texts_with(
            r"(?i)\b(?:los|se rompió|el arroz|läuft|nach vier|leider|petite)\b"
        ),
        "ALL CAPS": texts_where(is_all_capitals),
        "sarcasm": texts_with("What a treat!|A wonderful tool|Oh, it cleans beautifully"),
        "emoji": texts_with(EMOJI),
        "zero-width joiner inside an emoji": texts_with("\u200d"),
        "several lines": texts_with("\n"),
        "CR LF inside the cell": texts_with("\r\n"),
        "tab inside the cell": texts_with("\t"),
        "U+2028 line separator": texts_with("\u2028"),
        "leading or trailing spaces": texts_where(lambda text: text != text.strip()),
        "typographic quotes": texts_with("[\u2018\u201a\u201c\u201d\u201e]"),
        "doubled straight quotes": texts_with('""'),
        "single braces": texts_with(r"(?<!\{)\{[a-z]+\}(?!\})"),
        "double braces, as in a template": texts_with(r"\{\{ text \}\}"),
        "JSON object": texts_with(r'\{"'),
        "HTML tags and entities": texts_with("</b>|&amp;|<br/>"),
        "script tag": texts_with("<script>"),
        "starts like a spreadsheet formula": texts_with("^[=+@]"),
        "instructions to the labeler": texts_with(
            "(?i)ignore previous instructions|must be label+ed"
        ),
        "special token of a tokenizer": texts_with(r"<\|endoftext\|>"),
        "mojibake": texts_with("\u00e2\u20ac"),
        "about 9,000 characters": texts_where(lambda text: 8_500 < len(text) < 9_500),
    },
    "support_tickets.csv": {
        "row exported twice": lambda rows: repeated_keys(rows, identical=True),
        "ticket exported again after it grew": lambda rows: repeated_keys(rows, identical=False),
        "subject missing": rows_where(lambda row: row["subject"] == ""),
        "quoted replies (`> `)": texts_with("(?m)^>+ "),
        "signature or forwarded header": texts_with("(?m)^-- $|^Kind regards$|^-+ Forwarded"),
        "stack trace": texts_with(r"Traceback \(most recent call last\)"),
        "JSON object": texts_with(r'\{"'),
        "HTML tags": texts_with("<b>"),
        "decimal comma": texts_with(r"\d,\d\d(?!\d)"),
        "email address": texts_with("@"),
        "mojibake": texts_with("\u00c3"),
        "instructions to the model": texts_with("ignore your rules"),
    },
    "products_multilingual.csv": {
        "right-to-left script": texts_where(is_right_to_left),
        "right-to-left mark (U+200F)": texts_with("\u200f"),
        "full-width digits": texts_with("[\uff10-\uff19]"),
        "Arabic-Indic, Persian or Bengali digits": texts_with(
            "[\u0660-\u0669\u06f0-\u06f9\u09e6-\u09ef]"
        ),
        "non-breaking spaces": texts_with("[\u00a0\u202f]"),
        "soft hyphens": texts_with("\u00ad"),
        "zero-width non-joiner": texts_with("\u200c"),
        "combining characters (NFD)": texts_where(
            lambda text: (
                not unicodedata.is_normalized("NFC", text)
                and unicodedata.is_normalized("NFD", text)
            )
        ),
        "dotted capital I, longer in lower case": texts_with("\u0130"),
        "trade mark signs": texts_with("[\u2122\u00ae]"),
        "inch marks": texts_with(r'\d"|[\u00bc-\u00be]"'),
        "HTML tags and entities": texts_with("<br>|&amp;"),
        "emoji": texts_with("[\U0001f000-\U0001faff]"),
        "several lines": texts_with("\n"),
    },
}


def promised_faults() -> dict[tuple[str, str], tuple[int, list[str]]]:
    """Read the README's fault tables: counts and row ids by (file, fault)."""
    promised = {}
    file = ""
    for line in (FOLDER / "README.md").read_text(encoding="utf-8").splitlines():
        if heading := re.fullmatch(r"### Faults in `(.+)`", line):
            file = heading[1]
        elif file and (cells := re.fullmatch(r"\| (.+) \| (\d+) \| (.+) \|", line)):
            promised[file, cells[1]] = int(cells[2]), cells[3].split(", ")
    return promised


ALL_FAULTS = [(file, fault) for file, faults in FAULTS.items() for fault in faults]


def test_the_readme_names_exactly_the_faults_that_are_checked_here() -> None:
    assert sorted(promised_faults()) == sorted(ALL_FAULTS)


@pytest.mark.parametrize(("file", "fault"), ALL_FAULTS)
def test_each_fault_is_in_exactly_the_rows_the_readme_names(file: str, fault: str) -> None:
    count, keys = promised_faults()[file, fault]
    assert FAULTS[file][fault](rows_of(file)) == keys
    assert len(keys) == count


@pytest.mark.parametrize("file", KEYS)
def test_each_file_is_utf8_without_bom_and_its_rows_end_in_a_line_feed(file: str) -> None:
    raw = (FOLDER / file).read_bytes()
    assert raw.decode("utf-8").startswith(KEYS[file] + ",")
    assert raw.endswith(b"\n")
    assert raw.count(b"\r") == raw.count(b"\r\n") == (3 if file == "reviews.csv" else 0)


@pytest.mark.parametrize("file", KEYS)
def test_a_plain_read_csv_gives_the_same_texts_as_the_csv_module(file: str) -> None:
    frame = pd.read_csv(FOLDER / file)
    rows = rows_of(file)
    assert list(frame.columns) == COLUMNS[file]
    assert len(frame) == len(rows)
    for column in set(TEXT_COLUMNS) & set(frame.columns):
        pandas_texts = frame[column].fillna("").tolist()
        assert pandas_texts == [
            "" if row[column] in {"None", "n/a"} else row[column] for row in rows
        ]


def test_there_are_as_many_rows_as_the_readme_says() -> None:
    counts = re.findall(
        r"^## `(.+\.csv)`: (\d+) rows",
        (FOLDER / "README.md").read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    assert counts == [(file, str(len(rows_of(file)))) for file in KEYS]


def test_keys_are_unique_but_for_two_tickets() -> None:
    repeated = {
        file: len(rows) - len(set(map(key_of, rows))) for file in KEYS if (rows := rows_of(file))
    }
    assert repeated == dict.fromkeys(KEYS, 0) | {"support_tickets.csv": 2}


def test_a_review_has_a_gold_label_exactly_when_read_csv_finds_a_text() -> None:
    frame = pd.read_csv(FOLDER / "reviews.csv")
    assert frame["sentiment"].value_counts().to_dict() == {
        "positive": 105,
        "negative": 82,
        "mixed": 47,
    }
    assert (frame["text"].isna() == frame["sentiment"].isna()).all()
    assert frame["text"].isna().sum() == 6


@pytest.mark.parametrize(
    ("file", "label"), [("reviews.csv", "sentiment"), ("customer_messages.csv", "topic")]
)
def test_equal_texts_have_equal_gold_labels(file: str, label: str) -> None:
    labels: dict[str, set[str]] = {}
    for row in rows_of(file):
        labels.setdefault(row["text"].strip(), set()).update({row[label]} - {""})
    assert {text: values for text, values in labels.items() if len(values) > 1} == {}


def test_the_first_two_hundred_messages_have_a_topic_if_they_have_a_text() -> None:
    frame = pd.read_csv(FOLDER / "customer_messages.csv", parse_dates=["received"])
    labeled = frame["topic"].notna()
    assert (labeled == (frame["text"].notna() & (frame.index < 200))).all()
    assert labeled.sum() == 197
    assert frame["topic"].nunique() == 10
    assert frame["topic"].value_counts().min() >= 16
    assert frame["text"].isna().sum() == 3
    assert set(frame["channel"]) == {"web", "email", "app", "phone note"}
    assert frame["received"].dt.strftime("%Y-%m").eq("2026-09").all()


def test_stars_run_from_one_to_five() -> None:
    stars = pd.read_csv(FOLDER / "reviews.csv", dtype={"stars": "Int64"})["stars"]
    assert sorted(stars.dropna().unique()) == [1, 2, 3, 4, 5]


def test_reviews_that_are_not_copies_begin_differently() -> None:
    texts = {row["text"] for row in rows_of("reviews.csv")} - {""}
    beginnings = Counter(tuple(text.lower().split()[:4]) for text in texts)
    assert [beginning for beginning, count in beginnings.items() if count > 1] == []


def test_tickets_carry_the_labels_that_the_readme_lists() -> None:
    frame = pd.read_csv(FOLDER / "support_tickets.csv", parse_dates=["opened"])
    assert set(frame["topic"]) == {"billing", "delivery", "defect", "account", "other"}
    assert set(frame["channel"]) == {"email", "chat", "phone"}
    assert frame["urgent"].dtype == bool
    assert frame["urgent"].sum() == 12
    assert frame["opened"].notna().all()
    assert frame["message"].notna().all()


def test_every_product_has_an_english_title() -> None:
    keys = {file: list(map(key_of, rows_of(file))) for file in KEYS}
    assert keys["titles_english.csv"] == keys["products_multilingual.csv"]
    english = {row["sku"]: row["title"] for row in rows_of("titles_english.csv")}
    originals = [row for row in rows_of("products_multilingual.csv") if row["language"] == "en"]
    assert originals
    for row in originals:
        assert english[row["sku"]] == row["title"].replace("&ndash;", "–")


def test_products_are_in_twenty_five_languages_and_eight_per_category() -> None:
    frame = pd.read_csv(FOLDER / "products_multilingual.csv")
    assert frame["language"].nunique() == 25
    assert frame["language"].str.fullmatch("[a-z]{2}").all()
    assert frame["category"].value_counts().to_dict() == dict.fromkeys(
        ["kitchen", "garden", "electronics", "clothing", "toys", "sports"], 8
    )
    assert frame.notna().all(axis=None)


@pytest.mark.parametrize("file", KEYS)
def test_every_email_address_is_under_a_domain_reserved_for_examples(file: str) -> None:
    text = (FOLDER / file).read_text(encoding="utf-8")
    domains = re.findall(r"\b[\w.]+@([\w.-]+)", text)
    assert all(re.search(r"(?:^|\.)example(?:\.com)?$", domain) for domain in domains)
