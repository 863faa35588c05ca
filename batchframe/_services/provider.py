"""Providers of the Batch API: their limits and guarantees, from providers.toml."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from difflib import get_close_matches
from importlib.resources import files
from typing import Any, Final
from urllib.parse import urlsplit

from batchframe._base.errors import RequestError, format_list
from batchframe._services import polling
from batchframe._services.polling import SHORTEST, PollInterval

_WINDOW: Final = re.compile(r"([1-9][0-9]{0,3})([hd])")
_HOURS: Final = {"h": 1, "d": 24}
_NO_END: Final = float("inf")


def hours_of(window: str) -> int | None:
    """Parse a completion window in hours; None if it is invalid.

    Examples
    --------
    >>> hours_of("24h"), hours_of("7d"), hours_of("soon")
    (24, 168, None)
    """
    match = _WINDOW.fullmatch(window)
    return None if match is None else int(match[1]) * _HOURS[match[2]]


@dataclass(frozen=True, kw_only=True)
class Provider:
    """The limits of a Batch API service: see :func:`batchframe.provider`.

    A job stores the profile that it was created with in its folder.

    Attributes
    ----------
    key, name
        Its identifier and its display name.
    max_requests, max_bytes
        Maximum requests and bytes of one input file. "200 MB" is read as 200 × 10⁶ bytes, the
        smaller of its meanings.
    max_enqueued_tokens
        Maximum enqueued input tokens per model; None if it depends on the account.
    window, windows
        The ``completion_window`` to request, and the shortest and longest supported: hours or days,
        such as "24h" and "7d".
    expires
        Whether a batch expires after its window; if not, it runs until it is done.
    endpoints
        The endpoints that support batches; None if unknown.
    urls
        The ``url`` of a line by endpoint, where it differs from OpenAI's.
    created_as
        The ``endpoint`` of a create request, where it differs from the ``url`` of the lines.
    purpose
        The ``purpose`` of uploaded input files.
    upload_lifetime
        Seconds after which the service may delete an input file; None for the service's default.
    discount
        Fraction of the standard price that a batch saves (0.5 is half), if the service publishes
        one for all its models. None otherwise: then only a price book's batch price counts.
    price_book
        The service's name in genai-prices; None if it has no prices for the service.
    list_is_complete
        Whether a batch that the service does not list is certain not to exist. Incomplete lists
        prove nothing.
    settle
        Maximum delay in seconds before the service lists a new batch. OpenAI publishes no figure;
        BigQuery documents up to 200.
    max_creates
        Maximum number of batches created per hour.
    queue_pause
        Initial pause in seconds after the queue is full.
    first_poll, last_poll
        Initial and maximum seconds between polls of a batch.
    other_shape
        How the service accepts batches, if not as files of requests.
    source
        Source of these facts.

    Raises
    ------
    RequestError
        If a value is invalid.

    Examples
    --------
    >>> import batchframe as bf
    >>> groq = bf.provider("groq", window="7d")
    >>> groq.max_bytes, groq.window, groq.hours
    (100000000, '7d', 168.0)
    >>> bf.provider("openai").list_is_complete, groq.list_is_complete
    (True, False)
    """

    key: str
    name: str
    max_requests: int = 50_000
    max_bytes: int = 200_000_000
    max_enqueued_tokens: int | None = None
    window: str = "24h"
    windows: tuple[str, str] = ("24h", "24h")
    expires: bool = True
    endpoints: tuple[str, ...] | None = None
    urls: Mapping[str, str] = field(default_factory=dict)
    created_as: str | None = None
    purpose: str = "batch"
    upload_lifetime: int | None = None
    discount: Decimal | None = None
    price_book: str | None = None
    list_is_complete: bool = False
    settle: float = 120.0
    max_creates: int = 2_000
    queue_pause: float = 60.0
    first_poll: float = PollInterval.initial
    last_poll: float = PollInterval.maximum
    other_shape: str | None = None
    source: str = ""

    def __post_init__(self) -> None:
        for names, (holds, requirement) in _CHECKS.items():
            for name in names:
                value = getattr(self, name)
                if not (value is None and name in _OPTIONAL) and not holds(value):
                    raise RequestError.invalid_argument(name, value, requirement)
        low, high = self.windows[0], self.windows[-1]
        shortest, longest, hours = hours_of(low), hours_of(high), hours_of(self.window)
        if shortest is None or longest is None or not shortest <= (hours or 0) <= longest:
            supported = f'"{low}"' if low == high else f'from "{low}" to "{high}"'
            requirement = f"{supported}, which {self.name} supports"
            raise RequestError.invalid_argument("window", self.window, requirement)

    @property
    def hours(self) -> float:
        """Hours after which a batch has ended; infinity if it does not expire."""
        return float(hours_of(self.window) or 0) if self.expires else _NO_END

    def url_of(self, endpoint: str) -> str:
        """Return the ``url`` of the lines for an endpoint."""
        return self.urls.get(endpoint, endpoint)

    def created_for(self, endpoint: str) -> str:
        """Return the ``endpoint`` of a create request for an endpoint."""
        return self.created_as or self.url_of(endpoint)


FIELDS: Final = tuple(one.name for one in fields(Provider))
"""Attributes of a profile that can be changed."""
_OPTIONAL: Final = frozenset(one.name for one in fields(Provider) if one.default is None)


def _are_spellings(urls: object) -> bool:
    # The endpoint of a parsed line is its url with the "/v1" prefix.
    return isinstance(urls, Mapping) and all(
        isinstance(endpoint, str) and url in {endpoint, endpoint.removeprefix("/v1")}
        for endpoint, url in urls.items()
    )


def _are_strings(value: object) -> bool:
    # A list would not compare equal to the tuple read back from the job's folder.
    return isinstance(value, tuple) and len(value) > 0 and all(type(item) is str for item in value)


def _at_least(low: float, *kinds: type) -> tuple[Callable[[Any], bool], str]:
    name = "an int" if kinds == (int,) else "a number"
    # NaN fails every comparison.
    return (
        lambda value: type(value) in kinds and low <= value < _NO_END,
        f"{name} of at least {low}",
    )


# Checked in this order.
_CHECKS: Final[Mapping[tuple[str, ...], tuple[Callable[[Any], bool], str]]] = {
    ("max_requests", "max_bytes", "max_enqueued_tokens", "max_creates"): _at_least(1, int),
    ("upload_lifetime",): _at_least(3600, int),
    ("settle", "queue_pause"): _at_least(0, int, float),
    ("first_poll", "last_poll"): _at_least(SHORTEST, int, float),
    ("key", "name", "window", "purpose", "source", "created_as", "price_book", "other_shape"): (
        lambda text: type(text) is str,
        "a string",
    ),
    ("expires", "list_is_complete"): (lambda flag: type(flag) is bool, "True or False"),
    ("urls",): (_are_spellings, 'a dict of endpoints to their URLs, with or without "/v1"'),
    ("windows", "endpoints"): (_are_strings, "a tuple of strings"),
    ("discount",): (
        # Comparing a Decimal that is not a number raises.
        lambda part: isinstance(part, Decimal) and part.is_finite() and 0 <= part <= 1,
        'a Decimal from 0 to 1, such as Decimal("0.5")',
    ),
}


def _load() -> dict[str, tuple[Provider, tuple[str, ...]]]:
    """Read the table of services, each with its hosts."""
    table = tomllib.loads((files(__package__) / "providers.toml").read_text(encoding="utf-8"))
    loaded = {}
    for key, facts in table.items():
        hosts = tuple(facts.pop("hosts", ()))
        pace = polling.PACES.get(key, polling.PollInterval())
        tuples = {name: tuple(facts[name]) for name in ("windows", "endpoints") if name in facts}
        if "discount" in facts:
            facts["discount"] = Decimal(facts["discount"])
        facts |= {"first_poll": pace.initial, "last_poll": pace.maximum, **tuples}
        loaded[key] = Provider(key=key, **facts), hosts
    return loaded


_SERVICES: Final = _load()
OPENAI: Final = _SERVICES["openai"][0]
LOCAL: Final = _SERVICES["local"][0]
_NAMED: Final = {
    key: profile
    for key, (profile, _) in _SERVICES.items()
    if key != "local" and profile.other_shape is None
}
# Settings that a local run takes from LOCAL, whichever service it simulates.
_PACE: Final = ("settle", "queue_pause", "first_poll", "last_poll")
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
    for profile, hosts in _SERVICES.values():
        if any(_ends(host, end) for end in hosts):
            return profile
    return _NAMED["self-hosted" if host and _is_private(host) else "other"]


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
