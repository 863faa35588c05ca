"""Official openai client for a local server."""

from __future__ import annotations

from typing import Final

import openai

_KEY: Final = "local"
_API_VERSION: Final = "2024-10-21"


class _LoopbackHttp(openai.DefaultHttpxClient):
    """HTTP client that ignores proxies, which cannot reach a loopback address."""

    def __init__(self, server: object) -> None:
        super().__init__(trust_env=False)
        # A garbage-collected server stops, so its client holds a reference.
        self._server = server

    def __del__(self) -> None:
        self.close()


def client_of(server: object, url: str) -> openai.OpenAI:
    """Return a client; for an Azure URL, an ``openai.AzureOpenAI``."""
    http = _LoopbackHttp(server)
    root = url.removesuffix("/openai")
    if root != url and not root.endswith("/v1"):
        return openai.AzureOpenAI(
            azure_endpoint=root, api_version=_API_VERSION, api_key=_KEY, http_client=http
        )
    return openai.OpenAI(base_url=url, api_key=_KEY, http_client=http)
