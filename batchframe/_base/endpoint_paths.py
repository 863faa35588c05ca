"""Endpoint paths of the Batch API, shared by services and token counters."""

from __future__ import annotations

from enum import StrEnum


class EndpointPath(StrEnum):
    """The URL path of an endpoint.

    Members compare, serialize and print as plain strings.

    Examples
    --------
    >>> EndpointPath.CHAT, EndpointPath.CHAT == "/v1/chat/completions"
    ('/v1/chat/completions', True)
    """

    RESPONSES = "/v1/responses"
    CHAT = "/v1/chat/completions"
    EMBEDDINGS = "/v1/embeddings"
    COMPLETIONS = "/v1/completions"
    MODERATIONS = "/v1/moderations"
    IMAGES = "/v1/images/generations"
    IMAGE_EDITS = "/v1/images/edits"
    VIDEOS = "/v1/videos"

    __repr__ = str.__repr__
