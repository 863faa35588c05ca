"""Faults to inject into a local server."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import Any, Final, Literal, get_args

from batchframe._base.errors import LocalServerError, format_list
from batchframe.local._objects import ROUTES
from batchframe.local._problems import guess, short_repr

Form = Literal["openai", "detail", "text", "html"]

# The options of each kind, besides the common ones.
_OPTIONS: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(("reset", "close"), frozenset()),
    **dict.fromkeys(("hang", "delay"), frozenset({"seconds"})),
    **dict.fromkeys(("broken json", "empty object", "login page"), frozenset()),
    **dict.fromkeys(("cut short", "cut chunked", "cut silently"), frozenset({"keep"})),
    "drip": frozenset({"bytes_per_second"}),
    "rewrite": frozenset({"rewrite"}),
    "lag": frozenset({"seconds", "looks"}),
}
_STATUS_OPTIONS: Final = frozenset({"form", "body", "headers"})
_EXCHANGE_OPTIONS: Final = frozenset({"after", "times", "skip"})
_STATUSES: Final = range(200, 600)
_LAG_ROUTES: Final = (
    *(route for route in ROUTES if route.startswith(("GET /v1/files", "GET /v1/batches"))),
    "DELETE /v1/files/{id}",
    "POST /v1/batches",
    "POST /v1/batches/{id}/cancel",
)


@dataclass(frozen=True, slots=True, eq=False)
class Fault:
    """Fault to inject into the exchange between a client and a local server.

    A fault applies to `times` requests on its route. By default most kinds take effect before the
    server processes the request. With ``after=True`` the server processes it first and only the
    response is affected, as when the response to a create request is lost.

    Parameters
    ----------
    route
        Method and path of the requests, such as ``"POST /v1/batches"``. ``{id}`` or ``*`` matches
        any segment of a path; ``*`` alone matches any method, any path, or both.
    kind
        Kind of fault. These replace the response:

        ==================  ===================================================================
        an HTTP status      that status; see `form`, `body` and `headers`. A redirect (3xx) points
                            to the same URL
        ``"reset"``         the connection is reset
        ``"close"``         the connection is closed without a response
        ``"hang"``          no response for `seconds` or until the client disconnects; then
                            ``"close"``
        ``"broken json"``   status 200 with truncated JSON
        ``"empty object"``  status 200 with ``{}``
        ``"login page"``    status 200 with HTML, as from a captive portal
        ==================  ===================================================================

        These modify the response:

        ==================  ===================================================================
        ``"delay"``         processing is delayed by `seconds`; with ``after=True`` only the
                            response is delayed
        ``"cut short"``     the body is shorter than its Content-Length
        ``"cut chunked"``   the body is chunked and the last chunk is missing
        ``"cut silently"``  the body is truncated without a Content-Length, so it looks complete
        ``"drip"``          the body is sent at `bytes_per_second`
        ``"rewrite"``       the body is replaced by the result of `rewrite`
        ==================  ===================================================================

        ``"lag"`` hides new files and batches on this route until they are `seconds` old, or have
        been requested `looks` times: lists omit them, their own URL returns 404, and creating a
        batch from a hidden file returns 400. A lag lasts until you clear it; several lags can be
        active at once.
    after
        Whether the server processes the request first.
    times
        Number of requests that the fault applies to; ``float("inf")`` for all until you clear it.
    skip
        Number of requests to let pass first.
    seconds
        Duration of ``"hang"``, ``"delay"`` or ``"lag"``, in seconds.
    looks
        Number of requests for an object that a ``"lag"`` hides it from.
    keep
        Fraction of the body that a cut lets through, from 0 to 1.
    bytes_per_second
        Transfer rate of ``"drip"``.
    form
        Format of the error body of a status: ``"openai"`` for the service's own format,
        ``"detail"`` for FastAPI's, ``"text"`` or ``"html"`` as proxies return.
    body
        Body of a status in place of `form`: a string, bytes, or a dict or list to encode as JSON.
    headers
        Headers of a status, such as ``{"Retry-After": "2"}``.
    rewrite
        Function that receives the bytes of the response body and returns the new body. Passing it
        is enough to select the kind ``"rewrite"``. Responses with a status of 400 or above are not
        rewritten.

    Raises
    ------
    LocalServerError
        If the kind or the route is unknown, or an option does not apply to the kind.

    Examples
    --------
    The server creates the batch, but the response is lost:

    >>> from batchframe.local import Fault, serve
    >>> lost = Fault("POST /v1/batches", "reset", after=True)

    The service is overloaded twice and sends Retry-After:

    >>> busy = Fault("POST /v1/batches", 429, times=2, headers={"Retry-After": "1"})

    The first result file is corrupt:

    >>> corrupt = Fault("GET /v1/files/{id}/content", rewrite=lambda body: body[:-20])
    >>> with serve(faults=[lost, busy, corrupt]) as server:
    ...     len(server.faults)
    3

    An invalid fault is rejected:

    >>> Fault("POST /v1/batch", "reset")
    Traceback (most recent call last):
        ...
    batchframe.errors.LocalServerError: route: unknown ('POST /v1/batch'). Did you mean ...
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
        if not any(_covers(self.route, route) for route in ROUTES):
            raise LocalServerError(
                f"route: unknown ({short_repr(self.route)}). {guess(self.route, ROUTES)}"
                f"Routes: {', '.join(ROUTES)}; '*' matches one segment or, alone, every route."
            )
        self._check_kind()
        problem = self._invalid_option()
        if problem is not None:
            raise LocalServerError(problem)

    def _check_kind(self) -> None:
        if isinstance(self.kind, int) and self.kind in _STATUSES:
            allowed = _STATUS_OPTIONS | _EXCHANGE_OPTIONS
        elif isinstance(self.kind, str) and self.kind in _OPTIONS:
            options = _OPTIONS[self.kind]
            allowed = options if self.kind == "lag" else options | _EXCHANGE_OPTIONS
        else:
            raise LocalServerError(
                f"kind: unknown ({short_repr(self.kind)}). {guess(self.kind, _OPTIONS)}Kinds: "
                f"an HTTP status from 200 to 599, {format_list(_OPTIONS, len(_OPTIONS))}."
            )
        for option in fields(self)[2:]:
            value = getattr(self, option.name)
            default = {} if option.name == "headers" else option.default
            if value != default and option.name not in allowed:
                raise LocalServerError(
                    f"{option.name}: not an option of the fault {self.kind!r}. Fix: omit it; "
                    "help(batchframe.local.Fault) lists the options of each kind."
                )

    def _invalid_option(self) -> str | None:
        """Return the message for the first invalid option, or None."""
        if self.kind == "lag":
            if (self.seconds is None) == (self.looks is None):
                return "seconds, looks: a lag needs exactly one of them. Fix: seconds=5."
            if not any(_covers(self.route, route) for route in _LAG_ROUTES):
                return f"route: nothing to hide on {self.route!r}. Fix: 'GET /v1/batches'."
        if self.kind == "delay" and self.seconds is None:
            return "seconds: missing; a delay needs it. Fix: seconds=5."
        if self.kind == "rewrite" and not callable(self.rewrite):
            value = short_repr(self.rewrite)
            return f"rewrite: not a function ({value}). Fix: rewrite=lambda body: body[:-20]."
        for name, (minimum, maximum) in _RANGES.items():
            value = getattr(self, name)
            # NaN is outside every range.
            if value is not None and not (
                isinstance(value, int | float) and minimum <= value <= maximum
            ):
                upper = "" if maximum == math.inf else f" and at most {maximum}"
                return f"{name}: not a number of at least {minimum}{upper} ({short_repr(value)})."
        if self.form not in get_args(Form):
            return f"form: not one of {format_list(get_args(Form))} ({short_repr(self.form)})."
        return None

    def matches(self, method: str, path: str) -> bool:
        """Return whether a request is on the fault's route.

        Examples
        --------
        >>> Fault("GET /v1/files/{id}/content", "drip").matches("GET", "/v1/files/file-1/content")
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


def _covers(pattern: str, route: str) -> bool:
    """Return whether a pattern matches a route; both may have placeholders."""
    method, _, path = str(pattern).partition(" ")
    other_method, _, other = route.partition(" ")
    if not path and method == "*":
        return True
    if method not in {"*", other_method}:
        return False
    parts, others = path.split("/"), other.split("/")
    return path == "*" or (
        len(parts) == len(others)
        and all(
            _is_placeholder(a) or _is_placeholder(b) or a == b
            for a, b in zip(parts, others, strict=True)
        )
    )


def _is_placeholder(segment: str) -> bool:
    return segment == "*" or (segment.startswith("{") and segment.endswith("}"))
