"""Write the tables of docs/providers.md: ``python -m tools.providers``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from batchframe._display import plural
from batchframe._services.provider import OPENAI, Provider, ProviderFacts, provider_table

PAGE: Final = Path(__file__).parents[1] / "docs" / "providers.md"
_MADE: Final = "made by `python -m tools.providers`"
_ELSEWHERE: Final = {
    "azure": "`AzureOpenAI` anywhere",
    "self-hosted": "private addresses and names",
    "other": "any other host",
}
_SHORT: Final = {"chat/completions": "chat"}


def made_page(page: str) -> str:
    """Return the page with new tables."""
    for name, lines in {
        "profiles": _profiles(),
        "sources": _sources(),
        "others": _others(),
    }.items():
        start, end = f"<!-- {name}: {_MADE} -->", f"<!-- end of {name} -->"
        table = "\n".join([start, *lines, end])
        before, rest = page.split(start)
        page = before + table + rest.split(end)[1]
    return page


def _listed() -> Iterable[tuple[str, ProviderFacts]]:
    return ((key, facts) for key, facts in provider_table().items() if key != "local")


def _profiles() -> Iterable[str]:
    yield "| name | hosts | requests, bytes a file | windows | endpoints | discount |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for key, facts in _listed():
        if facts.takes_files:
            one = facts.profile
            hosts = [f"`{host}`" for host in facts.hosts]
            hosts += [_ELSEWHERE[key]] if key in _ELSEWHERE else []
            limits = f"{one.max_requests:,}, {_size(one.max_bytes)}"
            cells = (f"`{key}`", ", ".join(hosts), limits, _window(one), _endpoints(one))
            yield f"| {' | '.join(cells)} | {_discount(one)} |"


def _sources() -> Iterable[str]:
    yield "| name | source | read |"
    yield "| --- | --- | --- |"
    for key, facts in _listed():
        if facts.takes_files:
            reported = " (partly reported by others)" if facts.reported else ""
            # Jobs store this wording, so it stays.
            source = re.sub(
                "nobody: (.*) are taken.*", r"none; \1 are assumed", facts.profile.source
            )
            yield f"| `{key}` | {source}{reported} | {facts.as_of} |"


def _others() -> Iterable[str]:
    yield "| service | takes batches | source | read |"
    yield "| --- | --- | --- | --- |"
    for _, facts in _listed():
        if not facts.takes_files:
            one = facts.profile
            reported = " (reported)" if facts.reported else ""
            cells = (one.name, one.other_shape or "", one.source + reported, str(facts.as_of))
            yield f"| {' | '.join(cells)} |"


def _size(size: int) -> str:
    return f"{size // 10**9} GB" if size >= 10**9 else f"{size // 10**6} MB"


def _window(profile: Provider) -> str:
    low, high = profile.windows
    text = low if low == high else f"{low} to {high}"
    return text if profile.expires else f"{text}, not enforced"


def _endpoints(profile: Provider) -> str:
    if profile.endpoints is None:
        return "all" if profile.key == OPENAI.key else "not stated"
    names = [endpoint.removeprefix("/v1/") for endpoint in profile.endpoints]
    return ", ".join(_SHORT.get(name, name) for name in names)


def _discount(profile: Provider) -> str:
    if profile.discount is None:
        return "not stated" if profile.price_book is None else "by model, from the price book"
    models = profile.discounted_models
    return f"{profile.discount:.0%}" + (
        "" if models is None else f" on {plural(len(models), 'model')}"
    )


if __name__ == "__main__":
    PAGE.write_text(made_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
