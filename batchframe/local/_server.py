"""Handle of a local batch server, which runs in a thread of this process."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Self

import openai

from batchframe._base.errors import LocalServerError
from batchframe.local._answers.answerers import AnswerFunction, TokenCounter, choose_answerer
from batchframe.local._answers.billing import count_input_tokens
from batchframe.local._batches.dialects import Limits, find_dialect
from batchframe.local._faults.fault import Fault
from batchframe.local._faults.plan import FaultPlan, Faults, not_a_fault
from batchframe.local._objects import BilledBatch
from batchframe.local._problems import short_repr
from batchframe.local._thread import Engine, Settings, not_running

_PULSE_SECONDS: Final = 0.5
_KEY: Final = "local"
_API_VERSION: Final = "2024-10-21"


class Server:
    """Local batch server that implements OpenAI's Files and Batch API.

    Use it as a context manager, or `start` it in one notebook cell and `close` it in another. The
    server runs in a thread of this process with its own event loop, and stops at the latest when
    the process ends. It needs no key and bills nothing.

    Without `answer` and `upstream`, a simulated model answers: it returns the same answer to the
    same request, follows a JSON schema, and marks every answer as simulated.

    Parameters
    ----------
    answer
        Function that receives the request body, a dict, and returns the answer; plain or
        ``async``. It returns one of:

        - a string;
        - a dict or list, which is sent as JSON text;
        - a complete response body, a dict with ``"choices"`` or ``"object"``;
        - a vector or a list of vectors, for ``/v1/embeddings``;
        - True if the input is flagged, else False, for ``/v1/moderations``;
        - the bytes of an image, for ``/v1/images/generations`` and ``/v1/images/edits``.

        To make a request fail, raise or return `AnswerError`. Any other exception makes that
        request fail with status 500.
    upstream
        Base URL of an OpenAI-compatible server that answers the requests, such as
        ``"http://localhost:11434/v1"`` for Ollama. Status 429, status 5xx and lost connections are
        retried.
    folder
        Folder for files and batches, created with mode 0700. A server restarted on the same folder
        has the same files and batches, continues unfinished batches, and reuses the port. By
        default a temporary folder, removed when the server stops.
    host
        Address to listen on. On an address other than loopback, any machine that can reach the
        server has access, unless you pass `key`.
    port
        Port to listen on. The default, 0, reuses the port stored in `folder`, or picks a free port.
    seconds
        Minimum duration of a batch in seconds, spread over its states; use it to watch a batch
        pass through them.
    concurrency
        Maximum number of concurrent requests to `upstream` or to an ``async`` `answer`.
    upstream_key
        API key for `upstream`; by default, the environment variable ``UPSTREAM_API_KEY``. The
        server never writes it to disk.
    limits
        Limits of a file and of a batch, such as ``Limits(requests=100)``; by default those of
        `profile`.
    count_tokens
        Function that receives the request body and returns its number of input tokens. By default
        the server counts them by its own framing table.
    profile
        Service to imitate in its addresses, names, limits and response formats: a name that
        :func:`batchframe.provider` takes, such as "azure", or "gateway" (an OpenAI-compatible
        gateway whose list of batches is empty). docs/providers.md describes the differences.
        Submit jobs with the same profile,
        ``submit(client=server.client(), provider="groq")``; for an Azure client, batchframe
        detects it.
    faults
        Faults to inject, a list of `Fault`, for testing how a pipeline handles errors. Add more to
        the attribute `faults` while the server runs.
    key
        API key that clients must send. Requests without it are rejected with status 401, as
        by OpenAI. By default any key is accepted, and none is needed. The server never writes it
        to disk.

    Raises
    ------
    LocalServerError
        If a fault or the profile is invalid; from `start`, if the folder is in use or damaged, or
        the server cannot listen on the address.

    Examples
    --------
    >>> from batchframe.local import Server
    >>> with Server(answer=lambda body: "positive") as server:
    ...     reply = server.client().chat.completions.create(
    ...         model="any", messages=[{"role": "user", "content": "I love it."}]
    ...     )
    >>> reply.choices[0].message.content
    'positive'
    """

    def __init__(
        self,
        answer: AnswerFunction | None = None,
        *,
        upstream: str | None = None,
        folder: str | os.PathLike[str] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        seconds: float = 0.0,
        concurrency: int = 8,
        upstream_key: str | None = None,
        limits: Limits | None = None,
        count_tokens: TokenCounter | None = None,
        faults: Iterable[Fault] = (),
        profile: str = "openai",
        key: str | None = None,
    ) -> None:
        count_tokens = count_tokens or count_input_tokens
        make_answerer = choose_answerer(
            answer,
            upstream,
            upstream_key=upstream_key,
            concurrency=concurrency,
            count_tokens=count_tokens,
        )
        dialect = find_dialect(profile)
        if limits is not None:
            dialect = replace(dialect, limits=limits)
        elif upstream is not None:
            # The names of another server's models may match OpenAI's unsupported patterns.
            dialect = replace(dialect, limits=replace(dialect.limits, unsupported_models=()))
        self._settings = Settings(
            make_answerer=make_answerer,
            count_tokens=count_tokens,
            dialect=dialect,
            seconds=seconds,
            folder=None if folder is None else Path(folder).expanduser().absolute(),
            host=host,
            port=port,
            key=_checked_key(key),
        )
        self._faults = FaultPlan()
        value: object = faults
        if not isinstance(value, Iterable):
            raise not_a_fault(value)
        self._faults.add(*faults)
        self._engine: Engine | None = None
        self._finalizer: weakref.finalize[[], Any] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        batches = len(self.ledger)
        count = f"{batches:,} batch{'' if batches == 1 else 'es'} billed"
        state = f"at {self.url}" if self._is_running() else "(stopped)"
        return f"<Server {state}, {count}; server.client() connects to it>"

    @property
    def url(self) -> str:
        """Base URL for clients, such as ``"http://127.0.0.1:8000/v1"``."""
        if self._engine is None:
            raise not_running()
        return self._engine.url

    @property
    def ledger(self) -> list[BilledBatch]:
        """Batches that a service would have billed, oldest first.

        Available after `close` too.
        """
        return [] if self._engine is None else self._engine.store.ledger

    @property
    def faults(self) -> Faults:
        """Pending faults; `add` or `clear` them at any time."""
        return self._faults

    def client(self) -> openai.OpenAI:
        """Return an openai client for this server.

        For the profile "azure" it is an ``openai.AzureOpenAI``.
        """
        url, http, key = self.url, _LoopbackHttp(self), self._settings.key or _KEY
        root = url.removesuffix("/openai")
        if root != url and not root.endswith("/v1"):
            return openai.AzureOpenAI(
                azure_endpoint=root, api_version=_API_VERSION, api_key=key, http_client=http
            )
        return openai.OpenAI(base_url=url, api_key=key, http_client=http)

    def start(self) -> Self:
        """Start the server and return it; do nothing if it is running."""
        if not self._is_running():
            engine = Engine(self._settings, self._faults)
            engine.start()
            self._engine = engine
            # Runs when the server is garbage-collected or the process ends.
            self._finalizer = weakref.finalize(self, engine.stop)
        return self

    def close(self) -> None:
        """Stop the server; do nothing if it is stopped.

        Unfinished batches remain in the folder.
        """
        if self._finalizer is not None:
            self._finalizer()

    def wait(self) -> None:
        """Block until the server stops; Ctrl-C interrupts the wait."""
        engine = self._running()
        while engine.join(_PULSE_SECONDS):
            pass

    def pause(self, after: int = 0) -> None:
        """Pause work on all batches, to inspect or test them.

        Clients can still create and read files and batches; a canceled batch stays
        ``cancelling``.

        Parameters
        ----------
        after
            Number of requests to answer before pausing. Their batch then has a partial count.
        """
        engine = self._running()
        engine.call(engine.worker.pause, after)

    def resume(self) -> None:
        """Resume work after `pause`."""
        engine = self._running()
        engine.call(engine.worker.resume)

    def expire(self, batch_id: str) -> None:
        """Expire a batch now; return when its status is ``expired``.

        The answered requests are in its output file, the others in its error file with the code
        ``batch_expired``. A batch that has ended does not change.

        Raises
        ------
        LocalServerError
            If the server has no such batch, or imitates a service whose batches never expire.
        """
        engine = self._running()
        dialect = self._settings.dialect
        if not dialect.service.expires:
            raise LocalServerError(
                f"profile: batches of this profile never expire ({dialect.name!r}). "
                "Fix: client.batches.cancel(batch_id), or serve() without profile."
            )
        if engine.store.batch(batch_id) is None:
            value: object = batch_id
            problem = "unknown" if isinstance(value, str) else "not a batch id"
            raise LocalServerError(
                f"batch_id: {problem} ({short_repr(value)}). "
                "Fix: server.expire(job.batches[0].id). "
                "All ids: [batch.id for batch in server.client().batches.list()]."
            )
        engine.call(engine.worker.expire, batch_id)

    def _is_running(self) -> bool:
        return self._finalizer is not None and self._finalizer.alive

    def _running(self) -> Engine:
        if self._engine is None or not self._is_running():
            raise not_running()
        return self._engine


def _checked_key(key: object) -> str | None:
    if key is None or (isinstance(key, str) and key.strip() and key.isascii()):
        return key
    # The message does not repeat it.
    raise LocalServerError(
        "key: not a non-empty ASCII string. Fix: serve(key=secrets.token_urlsafe())."
    )


class _LoopbackHttp(openai.DefaultHttpxClient):
    """HTTP client that ignores proxies, which cannot reach a loopback address."""

    def __init__(self, server: object) -> None:
        super().__init__(trust_env=False)
        # A garbage-collected server stops, so its client holds a reference.
        self._server = server

    def __del__(self) -> None:
        self.close()
