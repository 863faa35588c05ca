"""A genuine openai client for a server on this machine.

Comes in: the server and its address. Goes out: a client of the class that its service is spoken to
with. Must not know: how the server works.
"""

from __future__ import annotations

from typing import Final

import openai

_KEY: Final = "local"
_API_VERSION: Final = "2024-10-21"


class _LoopbackHttp(openai.DefaultHttpxClient):
    """The client's transport, without the proxies of the environment: they cannot reach us."""

    def __init__(self, server: object) -> None:
        super().__init__(trust_env=False)
        # A server that nobody holds is stopped; its client is reason enough to go on.
        self._server = server

    def __del__(self) -> None:
        self.close()


def client_of(server: object, url: str) -> openai.OpenAI:
    """Return a client; for the address of an Azure resource an ``openai.AzureOpenAI``."""
    http = _LoopbackHttp(server)
    root = url.removesuffix("/openai")
    if root != url and not root.endswith("/v1"):
        return openai.AzureOpenAI(
            azure_endpoint=root, api_version=_API_VERSION, api_key=_KEY, http_client=http
        )
    return openai.OpenAI(base_url=url, api_key=_KEY, http_client=http)
