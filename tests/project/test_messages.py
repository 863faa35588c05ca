"""All messages are on one reviewed page, as tests triggered them."""

from __future__ import annotations

from pathlib import Path

from tests.support.messages import read_page, sites

PAGE = Path(__file__).parent / "messages.md"


def test_every_message_is_on_the_page_and_nothing_else() -> None:
    reviewed = read_page(PAGE.read_text(encoding="utf-8"))
    site_names = {str(site) for site in sites()}
    missing, gone = sorted(site_names - set(reviewed)), sorted(set(reviewed) - site_names)
    assert not missing, f"trigger these in a test, then update the page: {missing}"
    assert not gone, f"update the page without: {gone}"


def test_the_page_matches_the_source() -> None:
    reviewed = read_page(PAGE.read_text(encoding="utf-8"))
    changed = [
        str(site)
        for site, (_, pattern) in sites().items()
        if not pattern.fullmatch(reviewed.get(str(site), ""))
    ]
    assert not changed, f"python -m pytest --all --update-texts, and read: {changed}"
