"""Causes of service errors and how to fix them.

The advice is stored here and not in ``errors.py``, since it is data with sources. Error codes are
not standardized across services, so messages are matched too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from batchframe._base.safe_text import requests_step


@dataclass(frozen=True)
class Refusal:
    """A known cause of rejected requests.

    Attributes
    ----------
    codes
        Error codes that identify the cause, whatever the message is.
    words
        Substrings of messages that identify the cause, in lower case.
    advice
        What to do, as a sentence.
    source
        Source of the codes and messages.
    passes
        Whether a retry after some seconds may succeed.
    """

    codes: tuple[str, ...]
    words: tuple[str, ...]
    advice: str
    source: str
    passes: bool = False


NO_MONEY: Final = Refusal(
    codes=(
        "insufficient_quota", "billing_hard_limit_reached", "billing_not_active",
        "credit_balance_exhausted", "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded", "organization_usage_limit_exceeded",
    ),
    words=("billing hard limit", "exceeded your current quota", "check your plan and billing"),
    advice="The account may spend no more: add credit, or raise the limit of the organization or "
    "the project, in the service's settings under Billing and Limits.",
    source="OpenAI guide to error codes, 2026-11",
)  # fmt: skip
QUEUE_FULL: Final = Refusal(
    codes=("token_limit_exceeded", "enqueued_token_limit_reached"),
    words=("enqueued token limit", "number of enqueued tokens"),
    advice="The queue of this model holds as many tokens as your tier allows: wait until other "
    "batches have ended, or ask fewer rows at a time (df.iloc[:5000]).",
    source="OpenAI Batch guide and Azure OpenAI batch guide, 2026; openai-python issue 2084",
)
TOO_FAST: Final = Refusal(
    codes=("rate_limit_exceeded", "slow_down", "rate_limit_error"),
    words=("rate limit reached", "too many requests"),
    advice="Too much was asked in a short time (OpenAI takes 2,000 batches an hour): wait some "
    "minutes.",
    source="OpenAI Batch guide and guide to error codes, 2026-11",
    passes=True,
)
NO_MODEL: Final = Refusal(
    codes=("model_not_found", "model_not_supported", "model_not_active"),
    words=(
        "does not have access to model", "not supported by the batch api",
        "does not exist or you do not have access",
    ),
    advice="This project may not use that model in batches: check its name, or allow it in the "
    "project's limits. Another model makes another job: " + requests_step("model=...") + ".",
    source="refusals quoted in public issues (cursor 2953, continue 10120), 2025 and 2026",
)  # fmt: skip
NO_ENDPOINT: Final = Refusal(
    codes=("invalid_endpoint", "endpoint_not_supported", "unsupported_endpoint"),
    words=("invalid value for 'endpoint'", "endpoint is not supported", "not allowed to use the"),
    advice="This service or project takes no batches for that endpoint: ask an administrator to "
    "allow it, or use another: " + requests_step("endpoint=...") + ".",
    source="openai-python, the values of `endpoint` in batches.create, 2026-11",
)
OTHER_PROJECT: Final = Refusal(
    codes=(
        "file_not_found", "invalid_organization", "mismatched_organization", "mismatched_project",
        "invalid_project",
    ),
    words=(
        "cannot find file", "does not have access to it", "no such organization",
        "openai-project header", "openai-organization header", "member of an organization",
    ),
    advice="The key seems to be another project's or organization's than the job's: pass the "
    "client that it was submitted with. If it is the right one, the service may not see its own "
    "file yet: try again in some minutes.",
    source="OpenAI guide to error codes, 2026-11; a case of its own files unseen in kaibo 169",
)  # fmt: skip
NOT_PERMITTED: Final = Refusal(
    codes=("insufficient_permissions", "missing_scope"),
    words=("missing scopes", "insufficient permissions"),
    advice="The key is restricted: let it write Files and Batches and call the model, or use "
    "another key.",
    source="refusals quoted in public issues (trae-agent 162, opencode 21928), 2025 and 2026",
)
NO_RETENTION: Final = Refusal(
    codes=("zero_data_retention",),
    words=("zero data retention", "zero-data-retention"),
    advice="Batches keep files on the server, which an organization with zero data retention may "
    "not do: use a project without it, or ask its administrator.",
    source="OpenAI guide to data controls, 2026-11; the refusal's exact words are not published",
)
NO_COUNTRY: Final = Refusal(
    codes=("unsupported_country_region_territory", "unsupported_location_error"),
    words=("country, region, or territory not supported",),
    advice="The service does not serve the country that this machine seems to be in; a proxy or "
    "a VPN may place it elsewhere. The service lists the countries it serves.",
    source="OpenAI guide to error codes, 2026-11",
)
NO_ADDRESS: Final = Refusal(
    codes=("ip_not_authorized",),
    words=("ip not authorized", "ip allowlist", "ip address is not"),
    advice="This machine's address is not on the list that the project allows: connect from one "
    "that is, or have it added.",
    source="OpenAI guide to error codes, 2026-11",
)
NOT_VERIFIED: Final = Refusal(
    codes=(),
    words=("must be verified",),
    advice="The organization must be verified before it may use this model: its owner does that "
    "in the service's settings.",
    source="OpenAI help centre, 2025",
)
BAD_KEY: Final = Refusal(
    codes=("invalid_api_key", "expired_api_key", "account_deactivated", "invalid_authentication"),
    words=("incorrect api key", "invalid api key", "key has expired", "key expired"),
    advice="The key is wrong, expired or revoked: make a new one, set OPENAI_API_KEY to it and "
    "restart the kernel, or pass client=openai.OpenAI(api_key=...).",
    source="OpenAI guide to error codes, 2026-11",
)

# The order in which messages are matched.
REFUSALS: Final = (
    NO_MONEY, QUEUE_FULL, TOO_FAST, NO_RETENTION, NOT_PERMITTED, NO_COUNTRY, NO_ADDRESS,
    NOT_VERIFIED, NO_MODEL, BAD_KEY, OTHER_PROJECT, NO_ENDPOINT,
)  # fmt: skip
_OF_STATUS: Final = {401: BAD_KEY, 403: NOT_PERMITTED}


def refusal_of(code: str | None, message: str | None, status: int | None = None) -> Refusal | None:
    """Identify a refusal by its code, its message or its HTTP status.

    Examples
    --------
    >>> refusal_of("insufficient_quota", "You exceeded your current quota.") is NO_MONEY
    True
    >>> refusal_of(None, "Enqueued token limit reached for gpt-4o.") is QUEUE_FULL
    True
    >>> refusal_of("context_length_exceeded", "Too long.", 400) is None
    True
    """
    for refusal in REFUSALS:
        if code in refusal.codes:
            return refusal
    text = (message or "").lower()
    for refusal in REFUSALS:
        if any(words in text for words in refusal.words):
            return refusal
    return _OF_STATUS.get(status or 0)


def advice(code: str | None, message: str | None, status: int | None = None) -> str:
    """Return advice on a refusal; an empty string if the cause is unknown.

    Examples
    --------
    >>> advice("ip_not_authorized", None)
    "This machine's address is not on the list that the project allows: connect from one ...
    """
    refusal = refusal_of(code, message, status)
    return "" if refusal is None else refusal.advice


def advice_on(reason: str) -> str:
    """Return advice on an error message that contains the code.

    An empty string if the cause is unknown.

    Examples
    --------
    >>> advice_on("HTTP 429, rate_limit_exceeded: Slow down.")
    'Too much was asked in a short time ...
    """
    refusals = [refusal for refusal in REFUSALS if any(code in reason for code in refusal.codes)]
    return refusals[0].advice if refusals else advice(None, reason)


def may_pass(code: str | None, message: str | None) -> bool:
    """Return whether a retry after some seconds may succeed."""
    refusal = refusal_of(code, message)
    return refusal is None or refusal.passes
