"""Every message that the source can say is on one reviewed page, as it was really triggered."""

from __future__ import annotations

from pathlib import Path

from tests.support.messages import read_page, sites

PAGE = Path(__file__).parent / "messages.md"


def test_every_message_is_on_the_page_and_nothing_else() -> None:
    reviewed = read_page(PAGE.read_text(encoding="utf-8"))
    known = {str(site) for site in sites()}
    untold, gone = sorted(known - set(reviewed)), sorted(set(reviewed) - known)
    assert not untold, f"trigger these in a test, then update the page: {untold}"
    assert not gone, f"update the page without: {gone}"


def test_the_page_says_what_the_source_says() -> None:
    reviewed = read_page(PAGE.read_text(encoding="utf-8"))
    changed = [
        str(site)
        for site, (_, pattern) in sites().items()
        if not pattern.fullmatch(reviewed.get(str(site), ""))
    ]
    assert not changed, f"python -m pytest --all --update-texts, and read: {changed}"
