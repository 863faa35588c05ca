"""One thing that goes wrong on a local server.

Comes in: what a user writes. Goes out: a checked, frozen `Fault`. Must not know: the server, or how
a fault is carried out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import Any, Final, Literal, get_args

from batchframe._base.errors import LocalServerError
from batchframe.local._objects import ROUTES
from batchframe.local._problems import guess, short_repr

Form = Literal["openai", "detail", "text", "html"]

# Which options each kind listens to, beside those that all have.
_OPTIONS: Final[Mapping[str, frozenset[str]]] = {
    "reset": frozenset(),
    "close": frozenset(),
    "hang": frozenset({"seconds"}),
    "delay": frozenset({"seconds"}),
    "broken json": frozenset(),
    "empty object": frozenset(),
    "login page": frozenset(),
    "cut short": frozenset({"keep"}),
    "cut chunked": frozenset({"keep"}),
    "cut silently": frozenset({"keep"}),
    "drip": frozenset({"bytes_per_second"}),
    "rewrite": frozenset({"rewrite"}),
    "lag": frozenset({"seconds", "looks"}),
}
_OF_A_STATUS: Final = frozenset({"form", "body", "headers"})
_OF_ONE_EXCHANGE: Final = frozenset({"after", "times", "skip"})
_STATUSES: Final = range(200, 600)
_SHOWING: Final = (
    *(route for route in ROUTES if route.startswith(("GET /v1/files", "GET /v1/batches"))),
    "DELETE /v1/files/{id}",
    "POST /v1/batches",
    "POST /v1/batches/{id}/cancel",
)


@dataclass(frozen=True, slots=True, eq=False)
class Fault:
    """One thing that goes wrong between a client and a local server.

    A fault strikes `times` exchanges on its route and is then used up. Most kinds strike before the
    server has done anything, or with ``after=True`` when it has done everything and only the answer
    is still to be sent: that is what a lost answer to a create looks like.

    Parameters
    ----------
    route
        Which exchanges: a method and a path, such as ``"POST /v1/batches"``. ``{id}`` or ``*``
        stands for any one part of a path, ``*`` alone for any method, any path, or both.
    kind
        What happens. Instead of the answer:

        ==================  ===================================================================
        an HTTP status      that status; see `form`, `body` and `headers`. A redirect (3xx) points
                            to the same address
        ``"reset"``         the connection is reset
        ``"close"``         the connection is closed without an answer
        ``"hang"``          nothing, for `seconds` or until the client gives up; then ``"close"``
        ``"broken json"``   200 with half a JSON object
        ``"empty object"``  200 with ``{}``
        ``"login page"``    200 with HTML, as a captive portal answers
        ==================  ===================================================================

        With the answer:

        ==================  ===================================================================
        ``"delay"``         it is `seconds` late; with ``after=True`` the server acts at once and
                            the answer is late, otherwise the server acts late
        ``"cut short"``     it says how long it is and ends early
        ``"cut chunked"``   it is sent in chunks and the last one does not come
        ``"cut silently"``  it does not say how long it is and ends early: it looks whole
        ``"drip"``          it comes at `bytes_per_second`
        ``"rewrite"``       its bytes are what `rewrite` makes of them
        ==================  ===================================================================

        And ``"lag"``: files and batches made from now on do not show on this route until they are
        `seconds` old, or until they were looked for `looks` times. Lists leave them out, their own
        address answers 404, and a batch cannot be created of a file (400). A lag lasts until it is
        cleared, and several may be at work at once.
    after
        Whether the server acts on the request first.
    times
        How many exchanges it strikes; ``float("inf")`` for all until it is cleared.
    skip
        How many exchanges it lets pass first.
    seconds
        For ``"hang"``, ``"delay"`` and ``"lag"``.
    looks
        For ``"lag"``.
    keep
        Which share of the body a cut lets through, from 0 to 1.
    bytes_per_second
        For ``"drip"``.
    form
        How the body of a status is written: ``"openai"`` as the service writes its errors,
        ``"detail"`` as FastAPI does, ``"text"`` and ``"html"`` as proxies do.
    body
        The body of a status, instead of one in a `form`: a text, bytes, or a dict or list that
        becomes JSON.
    headers
        Headers of a status, such as ``{"Retry-After": "2"}``.
    rewrite
        A function of the answer's bytes that returns other bytes. It alone makes the kind
        ``"rewrite"``. Only answers with a status below 400 are rewritten.

    Raises
    ------
    LocalServerError
        The kind or the route is unknown, or an option does not fit the kind.

    Examples
    --------
    The server creates the batch, and the answer is lost:

    >>> from batchframe.local import Fault, serve
    >>> lost = Fault("POST /v1/batches", "reset", after=True)

    The service is busy twice, and says how long to wait:

    >>> busy = Fault("POST /v1/batches", 429, times=2, headers={"Retry-After": "1"})

    The first result file is not what it was:

    >>> corrupt = Fault("GET /v1/files/{id}/content", rewrite=lambda body: body[:-20])
    >>> with serve(faults=[lost, busy, corrupt]) as server:
    ...     len(server.faults)
    3

    A fault that could not be meant is refused:

    >>> Fault("POST /v1/batch", "reset")
    Traceback (most recent call last):
        ...
    batchframe.errors.LocalServerError: The local server has no route 'POST /v1/batch'. Did you ...
    """

    route: str
    kind: str | int = "rewrite"
    _: KW_ONLY
    after: bool = False
    times: float = 1
    skip: int = 0
    seconds: float | None = None
    looks: int | None = None
    keep: float = 0.5
    bytes_per_second: float = 1000.0
    form: Form = "openai"
    body: str | bytes | dict[str, Any] | list[Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    rewrite: Callable[[bytes], bytes] | None = None

    def __post_init__(self) -> None:
        if not any(_covers(self.route, known) for known in ROUTES):
            raise LocalServerError(
                f"The local server has no route {short_repr(str(self.route))}. "
                f"{guess(self.route, ROUTES)}Its routes: {', '.join(ROUTES)}. `*` stands for any "
                "one part, or alone for every route."
            )
        self._check_kind()
        self._check_amounts()

    def _check_kind(self) -> None:
        if isinstance(self.kind, int) and self.kind in _STATUSES:
            listens = _OF_A_STATUS | _OF_ONE_EXCHANGE
        elif isinstance(self.kind, str) and self.kind in _OPTIONS:
            given = _OPTIONS[self.kind]
            listens = given if self.kind == "lag" else given | _OF_ONE_EXCHANGE
        else:
            raise LocalServerError(
                f"There is no fault {short_repr(self.kind)}. {guess(self.kind, _OPTIONS)}Give an "
                f"HTTP status from 200 to 599, or one of these: {', '.join(map(repr, _OPTIONS))}."
            )
        for option in fields(self)[2:]:
            value = getattr(self, option.name)
            default = {} if option.name == "headers" else option.default
            if value != default and option.name not in listens:
                raise LocalServerError(
                    f"`{option.name}=` means nothing to the fault {self.kind!r}. Leave it out, or "
                    "see `help(batchframe.local.Fault)` for the kinds that take it."
                )

    def _check_amounts(self) -> None:
        wrong = self._wrong_option()
        if wrong is not None:
            option, wanted = wrong
            value = getattr(self, option)
            given = "is missing" if value is None else f"is {short_repr(value)}"
            raise LocalServerError(f"`{option}=` of the fault {given}. It must be {wanted}.")

    def _wrong_option(self) -> tuple[str, str] | None:
        """Return the first option with an invalid value, and what it must be."""
        lags = self.kind == "lag"
        if lags and (self.seconds is None) == (self.looks is None):
            return "seconds", "given for a lag, or else `looks=`"
        if lags and not any(_covers(self.route, route) for route in _SHOWING):
            return "route", "one on which files or batches show, such as 'GET /v1/batches'"
        if self.kind == "delay" and self.seconds is None:
            return "seconds", "a number"
        if self.kind == "rewrite" and not callable(self.rewrite):
            return "rewrite", "a function of bytes that returns bytes"
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not _is_within(value, least, most):
                upper = "up" if most == math.inf else f"to {most}"
                return name, f"a number from {least} {upper}"
        if self.form not in get_args(Form):
            return "form", f"one of {', '.join(map(repr, get_args(Form)))}"
        return None

    def strikes(self, method: str, path: str) -> bool:
        """Whether an exchange is on the fault's route.

        Examples
        --------
        >>> Fault("GET /v1/files/{id}/content", "drip").strikes("GET", "/v1/files/file-1/content")
        True
        """
        return _covers(self.route, f"{method} {path}")


_RANGES: Final[Mapping[str, tuple[int, float]]] = {
    "times": (1, math.inf),
    "skip": (0, math.inf),
    "seconds": (0, math.inf),
    "looks": (1, math.inf),
    "keep": (0, 1),
    "bytes_per_second": (1, math.inf),
}


def _is_within(value: object, least: float, most: float) -> bool:
    # Not-a-number is within nothing.
    return isinstance(value, int | float) and least <= value <= most


def _covers(pattern: str, route: str) -> bool:
    """Tell whether a pattern covers a route or an address; either may have placeholders."""
    method, _, path = str(pattern).partition(" ")
    other_method, _, other = route.partition(" ")
    if not path and method == "*":
        return True
    if method not in {"*", other_method}:
        return False
    parts, others = path.split("/"), other.split("/")
    return path == "*" or (
        len(parts) == len(others)
        and all(_any(a) or _any(b) or a == b for a, b in zip(parts, others, strict=True))
    )


def _any(part: str) -> bool:
    return part == "*" or (part.startswith("{") and part.endswith("}"))
