"""The table of Batch API services; docs/providers.md lists the sources."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import urlsplit

from batchframe._base.endpoint_paths import EndpointPath
from batchframe._base.errors import RequestError, format_list
from batchframe._services import polling
from batchframe._services.provider import FIELDS, Provider

__all__ = ["LOCAL", "OPENAI", "Provider", "is_loopback", "local_run", "profile_of", "provider"]

# Plain strings: users read them in `Provider.endpoints`.
_CHAT: Final = EndpointPath.CHAT.value
_RESPONSES: Final = EndpointPath.RESPONSES.value
_COMPLETIONS: Final = EndpointPath.COMPLETIONS.value
_EMBEDDINGS: Final = EndpointPath.EMBEDDINGS.value
_DAY: Final = 24 * 60 * 60
_HALF: Final = Decimal("0.5")

OPENAI: Final = Provider(
    key="openai",
    name="OpenAI",
    price_book="openai",
    list_is_complete=True,
    source="OpenAI Batch guide and the docstrings of the openai package, 2026-11",
)
# Jobs store `source`, so these strings do not change.
_OTHER: Final = Provider(
    key="other",
    name="OpenAI-compatible",
    source="nobody: OpenAI's limits are taken for its own",
)
_SELF_HOSTED: Final = Provider(
    key="self-hosted",
    name="self-hosted",
    # No limit is published; these keep file size and memory use reasonable.
    max_requests=500_000,
    max_bytes=1_000_000_000,
    windows=("1h", "336h"),
    max_creates=100_000,
    first_poll=polling.SELF_HOSTED.initial,
    last_poll=polling.SELF_HOSTED.maximum,
    source="nobody: generous limits are taken",
)
LOCAL: Final = Provider(
    key="local",
    name="local",
    price_book="openai",
    settle=2.0,
    queue_pause=0.5,
    first_poll=polling.LOCAL.initial,
    last_poll=polling.LOCAL.maximum,
    source="a rehearsal with OpenAI's limits",
)
# Settings that a local run takes from LOCAL, whichever service it simulates.
_PACE: Final = ("settle", "queue_pause", "first_poll", "last_poll")

# To add a provider, add an entry with its host suffixes and its limits.
_BY_HOSTS: Final = {
    ("api.openai.com",): OPENAI,
    (
        "openai.azure.com",
        "cognitiveservices.azure.com",
        "services.ai.azure.com",
        "openai.azure.us",
    ): Provider(
        key="azure",
        name="Azure OpenAI",
        max_requests=100_000,
        expires=False,
        endpoints=(_CHAT, _RESPONSES),
        # The guide's chat lines include the version in their `url` in some years only, those for
        # responses always. A create request has one path for both: the lines decide.
        urls={_CHAT: "/chat/completions"},
        created_as="/chat/completions",
        # The maximum. A resource holds 10,000 input files with an expiry, and 500 without.
        upload_lifetime=30 * _DAY,
        discount=_HALF,
        price_book="azure",
        first_poll=polling.AZURE.initial,
        last_poll=polling.AZURE.maximum,
        source="Azure OpenAI batch guide, 2026-01 to 2026-03",
    ),
    ("api.groq.com",): Provider(
        key="groq",
        name="Groq",
        max_bytes=100_000_000,
        windows=("24h", "7d"),
        endpoints=(_CHAT,),
        price_book="groq",
        source="docstrings of the groq package, read 2026-11",
    ),
    ("api.together.xyz", "api.together.ai"): Provider(
        key="together",
        name="Together",
        max_bytes=100_000_000,
        max_enqueued_tokens=30_000_000_000,
        purpose="batch-api",
        price_book="together",
        source="Together batch guide, read 2026-11",
    ),
    ("api.deepinfra.com",): Provider(
        key="deepinfra",
        name="DeepInfra",
        endpoints=(_CHAT, _COMPLETIONS, _EMBEDDINGS),
        discount=Decimal("0.2"),
        source="DeepInfra's announcement of its Batch API, 2026-06-19",
    ),
    ("api.cerebras.ai",): Provider(
        key="cerebras",
        name="Cerebras",
        endpoints=(_CHAT,),
        price_book="cerebras",
        source="Cerebras batch guide (private preview), read 2026-11",
    ),
    ("api.novita.ai",): Provider(
        key="novita",
        name="Novita",
        endpoints=(_CHAT, _COMPLETIONS),
        price_book="novita",
        source="Novita batch guide, read 2026-11",
    ),
    ("api.parasail.io",): Provider(
        key="parasail",
        name="Parasail",
        discount=_HALF,
        source="Parasail batch guide, read 2026-11",
    ),
    ("api.doubleword.ai",): Provider(
        key="doubleword",
        name="Doubleword",
        windows=("1h", "24h"),
        price_book="doubleword",
        source="Doubleword batch guide, read 2026-11",
    ),
    ("dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com"): Provider(
        key="dashscope",
        name="Alibaba Model Studio",
        windows=("24h", "336h"),
        source="Alibaba Model Studio batch guide, read 2026-11",
    ),
}
_NAMED: Final = {one.key: one for one in (*_BY_HOSTS.values(), _OTHER, _SELF_HOSTED)}
_OTHER_SHAPES: Final = {
    "openrouter.ai": ("OpenRouter", "as a list of requests in one call"),
    "api.x.ai": ("xAI", "through its own API"),
    "api.fireworks.ai": ("Fireworks", "as datasets"),
    "api.mistral.ai": ("Mistral", "through its own API"),
    "api.anthropic.com": ("Anthropic", "through its own API"),
    "generativelanguage.googleapis.com": ("Gemini", "as files that its own client uploads"),
}
_PRIVATE: Final = (".local", ".internal", ".lan", ".home.arpa", ".localdomain")


def profile_of(base_url: str, *, azure: bool = False) -> Provider:
    """Return the profile of the service at a base URL.

    Parameters
    ----------
    azure
        Whether the client is an ``openai.AzureOpenAI``: its host may be the user's own gateway.

    Examples
    --------
    >>> profile_of("https://api.openai.com/v1/").name
    'OpenAI'
    >>> profile_of("https://acme.openai.azure.com/openai/v1/").max_requests
    100000
    >>> profile_of("http://127.0.0.1:8000/v1").list_is_complete
    False
    """
    host = (urlsplit(base_url).hostname or "").rstrip(".")
    if azure:
        profile = _NAMED["azure"]
        return local_run(profile) if is_loopback(host) else profile
    if is_loopback(host):
        return LOCAL
    for ends, profile in _BY_HOSTS.items():
        if any(_ends(host, end) for end in ends):
            return profile
    for end, (name, how) in _OTHER_SHAPES.items():
        if _ends(host, end):
            return replace(_OTHER, key=name.lower(), name=name, other_shape=how)
    return _SELF_HOSTED if host and _is_private(host) else _OTHER


def provider(name: str, /, **changes: Any) -> Provider:
    """Return the profile of a service, to pass as ``submit(provider=...)``.

    By default the profile is inferred from the client. Pass one behind a gateway, whose URL does
    not identify the service, or if your account's limits differ from the published ones.

    Parameters
    ----------
    name
        "openai", "azure", "groq", "together", "deepinfra", "cerebras", "novita", "parasail",
        "doubleword", "dashscope", "self-hosted", or "other" for any other service.
    **changes
        Attributes of :class:`batchframe.Provider` to override, as keywords.

    Raises
    ------
    RequestError
        If the service is unknown, or a value is invalid.

    Examples
    --------
    >>> import batchframe as bf
    >>> bf.provider("deepinfra").discount
    Decimal('0.2')
    >>> bf.provider("openai", max_requests=10_000).max_requests
    10000
    """
    profile = _NAMED.get(str(name))
    if profile is None:
        raise RequestError(
            f"provider: unknown service ({name!r}).{_guess(str(name), _NAMED)} Fix: one of "
            f"{format_list(_NAMED)}."
        )
    for unknown in [changed for changed in changes if changed not in FIELDS]:
        raise RequestError(
            f"{unknown}: not an attribute of bf.Provider.{_guess(unknown, FIELDS)} "
            "Fix: help(bf.Provider) lists them."
        )
    return replace(profile, **changes)


def local_run(profile: Provider) -> Provider:
    """Return the same profile with the short pauses of a local run."""
    return replace(profile, **{name: getattr(LOCAL, name) for name in _PACE})


def _guess(name: str, names: Iterable[str]) -> str:
    near = get_close_matches(name, list(names), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def _ends(host: str, end: str) -> bool:
    return host == end or host.endswith(f".{end}")


def _is_private(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith(_PRIVATE)


def is_loopback(host: str) -> bool:
    """Return whether a host name is a loopback address.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("127.0.0.1.example.com")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
