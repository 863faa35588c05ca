"""Providers of the Batch API, with limits and guarantees."""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from batchframe._base.clock import hours_of
from batchframe._base.errors import RequestError, format_list
from batchframe._services import polling
from batchframe._services.polling import SHORTEST, PollInterval

_NO_END: Final = float("inf")
_TUPLES: Final = ("windows", "endpoints", "discounted_models")


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
    max_enqueued_inputs
        Maximum enqueued embedding inputs; None if there is no such limit.
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
    uploads_by_redirect
        Whether the service redirects an upload to another address, as Together does.
    upload_lifetime
        Seconds after which the service may delete an input file; None for the service's default.
    results_kept
        Days for which the service keeps result files; None if unknown.
    discount
        Fraction of the standard price that a batch saves (0.5 is half), if the service publishes
        one. None otherwise: then only a price book's batch price counts.
    discounted_models
        The models that the discount applies to; None for all.
    price_book
        The service's name in genai-prices; None if it has no prices for the service.
    list_is_complete
        Whether a batch that the service does not list is certain not to exist. Incomplete lists
        prove nothing.
    settle
        Maximum delay in seconds before the service lists a new batch.
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
    """

    key: str
    name: str
    max_requests: int = 50_000
    max_bytes: int = 200_000_000
    max_enqueued_tokens: int | None = None
    max_enqueued_inputs: int | None = None
    window: str = "24h"
    windows: tuple[str, str] = ("24h", "24h")
    expires: bool = True
    endpoints: tuple[str, ...] | None = None
    urls: Mapping[str, str] = field(default_factory=dict)
    created_as: str | None = None
    purpose: str = "batch"
    uploads_by_redirect: bool = False
    upload_lifetime: int | None = None
    results_kept: int | None = None
    discount: Decimal | None = None
    discounted_models: tuple[str, ...] | None = None
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
        low, high = self.windows
        if not (hours_of(low) or 0) <= (hours_of(self.window) or 0) <= (hours_of(high) or 0):
            supported = f'"{low}"' if low == high else f'from "{low}" to "{high}"'
            supported += f", which {self.name} supports"
            raise RequestError.invalid_argument("window", self.window, supported)

    @property
    def hours(self) -> float:
        """Hours after which a batch has ended; infinity if it does not expire."""
        return float(hours_of(self.window) or 0) if self.expires else _NO_END

    def discount_on(self, model: str) -> Decimal | None:
        """Return the discount on a model; None if there is none, or unknown."""
        models = self.discounted_models
        return self.discount if models is None or model in models else None

    def url_of(self, endpoint: str) -> str:
        """Return the ``url`` of the lines for an endpoint."""
        return self.urls.get(endpoint, endpoint)

    @property
    def enforces_schema(self) -> bool:
        """Whether each answer matches a strict schema or is a refusal."""
        return self.key in _ENFORCING

    def created_for(self, endpoint: str) -> str:
        """Return the ``endpoint`` of a create request for an endpoint."""
        return self.created_as or self.url_of(endpoint)


FIELDS: Final = tuple(field.name for field in fields(Provider))
"""Attributes of a profile that can be changed."""
_OPTIONAL: Final = frozenset(field.name for field in fields(Provider) if field.default is None)


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


def _are_windows(value: Any) -> bool:
    hours = [hours_of(item) or 0 for item in value] if _are_strings(value) else []
    return len(hours) == 2 and 0 < hours[0] <= hours[1]  # noqa: PLR2004 - a pair


_FLAGS: Final = ("expires", "list_is_complete", "uploads_by_redirect")
# Checked in this order.
_CHECKS: Final[Mapping[tuple[str, ...], tuple[Callable[[Any], bool], str]]] = {
    (
        "max_requests",
        "max_bytes",
        "max_enqueued_tokens",
        "max_enqueued_inputs",
        "max_creates",
    ): _at_least(1, int),
    ("upload_lifetime",): _at_least(3600, int),
    ("settle", "queue_pause"): _at_least(0, int, float),
    ("first_poll", "last_poll"): _at_least(SHORTEST, int, float),
    ("key", "name", "window", "purpose", "source", "created_as", "price_book", "other_shape"): (
        lambda text: type(text) is str,
        "a string",
    ),
    _FLAGS: (lambda flag: type(flag) is bool, "True or False"),
    ("urls",): (_are_spellings, 'a dict of endpoints to their URLs, with or without "/v1"'),
    ("windows",): (_are_windows, 'a pair of hours or days, such as ("24h", "7d")'),
    ("endpoints", "discounted_models"): (_are_strings, "a tuple of strings"),
    ("discount",): (
        # Comparing a Decimal that is not a number raises.
        lambda part: isinstance(part, Decimal) and part.is_finite() and 0 <= part <= 1,
        'a Decimal from 0 to 1, such as Decimal("0.5")',
    ),
}


_TABLE: Final = tomllib.loads((files(__package__) / "providers.toml").read_text(encoding="utf-8"))
_ENTRIES: Final = {key: facts for key, facts in _TABLE.items() if isinstance(facts, dict)}
_ENFORCING: Final = frozenset(key for key, facts in _ENTRIES.items() if "enforces_schema" in facts)


class ProviderFacts(NamedTuple):
    """A line of the table of providers; its keys are explained there."""

    profile: Provider
    hosts: tuple[str, ...]
    server: Mapping[str, Any]
    as_of: date
    reported: bool

    @property
    def takes_files(self) -> bool:
        """Whether the service takes batches as files of requests."""
        return self.profile.other_shape is None


def checked_on() -> date:
    """Return the day of the last check of the providers' table."""
    return date.fromisoformat(str(_TABLE["checked"]))


@cache
def provider_table() -> Mapping[str, ProviderFacts]:
    """Return the lines of the table by their keys."""
    return {key: _facts(key, dict(line)) for key, line in _ENTRIES.items()}


def _facts(key: str, line: dict[str, Any]) -> ProviderFacts:
    hosts, server = tuple(line.pop("hosts", ())), line.pop("server", {})
    as_of, reported = line.pop("as_of"), line.pop("reported", False)
    line.pop("enforces_schema", None)
    first, longest = polling.PACES.get(key, (PollInterval.initial, PollInterval.maximum))
    line |= {name: tuple(line[name]) for name in _TUPLES if name in line}
    if "discount" in line:
        line["discount"] = Decimal(line["discount"])
    profile = Provider(key=key, first_poll=first, last_poll=longest, **line)
    return ProviderFacts(profile, hosts, server, as_of, reported)


OPENAI: Final = provider_table()["openai"].profile
LOCAL: Final = provider_table()["local"].profile
_NAMED: Final = {
    key: facts.profile
    for key, facts in provider_table().items()
    if key != "local" and facts.takes_files
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
    for facts in provider_table().values():
        if any(_matches(host, name) for name in facts.hosts):
            return facts.profile
    return _NAMED["self-hosted" if host and _is_private(host) else "other"]


def provider(name: str, /, **changes: Any) -> Provider:
    """Return the profile of a service, to pass as ``submit(provider=...)``.

    By default the profile is inferred from the client. Pass one behind a gateway, whose URL does
    not identify the service, or if your account's limits differ from the published ones.

    Parameters
    ----------
    name
        "openai", "azure", "groq", "together", "deepinfra", "cerebras", "novita", "parasail",
        "doubleword", "dashscope", "nebius", "siliconflow", "moonshot", "self-hosted", or "other"
        for any other service.
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
    if profile is None and (facts := provider_table().get(str(name))) and not facts.takes_files:
        profile = facts.profile
        raise RequestError(
            f"provider: {profile.name} takes batches {profile.other_shape}, not as uploaded files "
            f"({profile.source})."
        )
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


def _matches(host: str, name: str) -> bool:
    return fnmatchcase(host, name) if "*" in name else f".{host}".endswith(f".{name}")


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
