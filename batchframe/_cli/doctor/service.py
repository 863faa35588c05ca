"""Checks of the API key, the base URL and the service."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from typing import Final

from batchframe._base.clock import SYSTEM, Clock
from batchframe._base.errors import ClientError, ServiceError
from batchframe._base.safe_text import in_shell
from batchframe._cli.doctor.finding import Finding
from batchframe._models.availability import shutdown
from batchframe._services.connect import connect, expected_identity, expected_profile
from batchframe._services.protocol import Service
from batchframe._services.provider import LOCAL, OPENAI

_PATIENCE: Final = 20.0
"""Request timeout in seconds, shorter than the default of ten minutes."""
_PAGE: Final = 100
_MAX_SKEW: Final = 60.0
_SHOWN: Final = 3


def account() -> Iterator[Finding]:
    """Check the API key and the base URL, from the environment."""
    key = os.environ.get("OPENAI_API_KEY")
    if not key:
        step = "Set it. To test without a key: batchframe serve"
        yield Finding("key", "problem", "OPENAI_API_KEY is not set", step)
    elif key != key.strip() or not key.isascii() or not key.isprintable():
        text = "OPENAI_API_KEY contains a space, a line break or another invalid character"
        step = "Set it again, without a trailing line break."
        yield Finding("key", "problem", text, step)
    else:
        yield Finding("key", "ok", "OPENAI_API_KEY is set (value hidden)")
    identity = expected_identity()
    names = (("organization", identity.organization), ("project", identity.project))
    details = [f"{name} {value}" for name, value in names if value]
    address = f"{identity.base_url} ({expected_profile().name})"
    yield Finding("address", "ok", ", ".join([address, *details]))


def reach(clock: Clock = SYSTEM) -> Iterator[Finding]:
    """Request one page of batches and the time of the service."""
    try:
        service = connect().within(_PATIENCE)
    except ClientError as reason:
        yield Finding("client", "problem", "cannot create a client", in_shell(reason))
        return
    yield Finding("client", "ok", "openai.OpenAI created from the environment")
    try:
        batches = list(islice(service.list_batches(), _PAGE))
    except ServiceError as reason:
        yield Finding("network", "problem", "cannot list batches", in_shell(reason))
        return
    more = " or more" if len(batches) == _PAGE else ""
    yield Finding("network", "ok", f"listed one page of batches: {len(batches)}{more}")
    if service.profile.key in {OPENAI.key, LOCAL.key}:
        yield _models(service.within(_PATIENCE))
    yield _skew(service.within(_PATIENCE), clock)


def _models(service: Service) -> Finding:
    """Compare the shutdown dates that the service states with the table's."""
    try:
        listed = service.list_models()
    except ServiceError as reason:
        return Finding("models", "warning", "cannot list models", in_shell(reason))
    stated = {model: day for model, day in listed.items() if day is not None}
    differing = [
        f"{model} ends on {day}"
        for model, day in stated.items()
        if (known := shutdown(model)) is None or known.on != day
    ]
    text = f"{len(listed)} listed, {len(stated)} with a shutdown date"
    if not differing:
        return Finding("models", "ok", f"{text}, all known to batchframe")
    more = f" and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
    text = f"{text}; not known to batchframe: {', '.join(differing[:_SHOWN])}{more}"
    return Finding("models", "warning", text, "pip install --upgrade batchframe")


def _skew(service: Service, clock: Clock) -> Finding:
    before = clock.now()
    try:
        server_time = service.server_time()
    except ServiceError as reason:
        return Finding("clock", "warning", "cannot read the service's time", in_shell(reason))
    if server_time is None:
        return Finding("clock", "ok", "the service does not send its time, which is not required")
    # The Date header has whole seconds, and is set halfway between request and response.
    skew = (before + clock.now()) / 2 - (server_time + 0.5)
    direction = "ahead of" if skew > 0 else "behind"
    text = f"this machine is {abs(skew):.0f} s {direction} the service"
    if abs(skew) <= _MAX_SKEW:
        return Finding("clock", "ok", text)
    text = f"{text}; dates on cards may be wrong, and connections may be rejected"
    step = "Synchronize the clock, for example with NTP."
    return Finding("clock", "warning", text, step)
