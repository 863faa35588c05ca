"""The page of providers is made from their table."""

from __future__ import annotations

from tools.providers import PAGE, made_page


def test_the_page_has_the_current_tables_of_providers() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert made_page(page) == page
    for cell in (
        "| `nebius` |",
        "| 5,000, 1 GB |",
        "| `moonshot` | Kimi",
        "(partly reported",
        "S3",
    ):
        assert cell in page
    assert made_page(page.replace("5,000, 1 GB", "6,000, 1 GB")) == page
