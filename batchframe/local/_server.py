"""The handle of a local batch server: it starts, asks and stops the thread that serves."""

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
from batchframe.local._answers.usage import count_input_tokens
from batchframe.local._batches.dialects import Limits, find_dialect
from batchframe.local._faults.fault import Fault
from batchframe.local._faults.plan import FaultPlan, Faults, not_a_fault
from batchframe.local._http.clients import client_of
from batchframe.local._objects import BilledBatch
from batchframe.local._thread import Engine, Settings, not_running

_PULSE_SECONDS: Final = 0.5


class Server:
    """A batch server on this machine that speaks OpenAI's Files and Batch API.

    Use it as a context manager, or `start` it in one notebook cell and `close` it in another. It
    runs in a thread of this process with an event loop of its own, and is closed at the latest
    when the process ends. Nothing is billed and no key is needed.

    Without `answer` and `upstream` a simulated model answers: the same request gets the same
    answer, a JSON schema is obeyed, and every answer says that it is simulated.

    Parameters
    ----------
    answer
        A function of the request body that answers, plain or ``async``. It returns a text; or a
        dict or list, which becomes the text as JSON; or a whole response body, which is a dict with
        ``"choices"`` or ``"object"``; for ``/v1/embeddings`` a vector, or a list of them; for
        ``/v1/moderations`` whether the text is flagged, True or False. It may raise or return
        `AnswerError`. Any other exception makes that one request fail with 500.
    upstream
        The URL of an OpenAI-compatible server, such as ``"http://localhost:11434/v1"`` for
        Ollama, that answers each request. 429, 5xx and lost connections are retried.
    folder
        Where files and batches are kept, with mode 0700. A server started again on the folder has
        them all, goes on with what was running, and takes the same port. Without it a temporary
        folder is used, and removed at the end.
    host
        The address to listen on. Another one than loopback lets every machine that reaches it in:
        there is no authentication.
    port
        The port to listen on; 0 for the one that the folder remembers, or a free one.
    seconds
        The least time that a batch takes, in seconds, spread over its states: to see them.
    concurrency
        How many requests are sent `upstream`, or to an ``async`` `answer`, at a time.
    upstream_key
        The key for `upstream`; without it, the environment variable ``UPSTREAM_API_KEY``. It is
        never written to disk.
    limits
        What a batch may hold; OpenAI's limits by default.
    count_tokens
        Counts the input tokens of a request body. Without it they are counted as batchframe
        estimates them, and all output tokens as a quarter of the characters.
    profile
        Whose habits to imitate: "openai", "azure", "groq", "together", "deepinfra", "gateway" (an
        OpenAI-compatible one whose list leaves batches out) or "self-hosted"; their addresses,
        words, limits and shapes (docs/providers.md). Jobs follow the same profile if they are told:
        ``submit(client=server.client(), provider="groq")``; an Azure client tells by itself.
    faults
        What goes wrong: a list of `Fault`, to see how a pipeline takes it. The attribute `faults`
        adds more while the server runs.

    Raises
    ------
    LocalServerError
        A fault or a profile is none; by `start`: the folder is in use or damaged, or the address
        cannot be listened on.

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
            # Another server's models have names of their own.
            dialect = replace(dialect, limits=replace(dialect.limits, unsupported_models=()))
        self._settings = Settings(
            make_answerer=make_answerer,
            count_tokens=count_tokens,
            dialect=dialect,
            seconds=seconds,
            folder=None if folder is None else Path(folder).expanduser().absolute(),
            host=host,
            port=port,
        )
        self._plan = FaultPlan()
        planned: object = faults
        if not isinstance(planned, Iterable):
            raise not_a_fault(planned)
        self.faults.add(*faults)
        self._engine: Engine | None = None
        self._finalizer: weakref.finalize[[], Any] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Server {self.url if self._is_running() else 'not running'}>"

    @property
    def url(self) -> str:
        """The base URL for clients, such as ``"http://127.0.0.1:8000/v1"``."""
        if self._engine is None:
            raise not_running()
        return self._engine.url

    @property
    def ledger(self) -> list[BilledBatch]:
        """Every batch that would have been billed, oldest first; also after `close`."""
        return [] if self._engine is None else self._engine.store.ledger

    @property
    def faults(self) -> Faults:
        """What goes wrong from now on; `add` and `clear` it at any time."""
        return Faults(self._plan)

    def client(self) -> openai.OpenAI:
        """Return a genuine openai client for this server; an Azure one for that profile."""
        return client_of(self, self.url)

    def start(self) -> Self:
        """Start to listen, and return the server itself. Starting twice is harmless."""
        if not self._is_running():
            engine = Engine(self._settings, self._plan)
            engine.start()
            self._engine = engine
            # Runs when the server is collected and when the process ends, whichever is first.
            self._finalizer = weakref.finalize(self, engine.stop)
        return self

    def close(self) -> None:
        """Stop; batches that run stay in the folder as they are. Closing twice is harmless."""
        if self._finalizer is not None:
            self._finalizer()

    def wait(self) -> None:
        """Block until the server has stopped, which Ctrl-C interrupts."""
        engine = self._running()
        while engine.join(_PULSE_SECONDS):
            pass

    def pause(self, after: int = 0) -> None:
        """Hold all batches where they are, for a look or a test.

        Files, lists and batches can still be created and read; a cancelled batch stays
        ``cancelling``.

        Parameters
        ----------
        after
            How many requests are answered before work stops; then the batch that they belong to
            shows a partial count.
        """
        engine = self._running()
        engine.call(engine.worker.pause, after)

    def resume(self) -> None:
        """Go on after `pause`."""
        engine = self._running()
        engine.call(engine.worker.resume)

    def expire(self, batch_id: str) -> None:
        """End a batch now, as if its 24 hours were over; return when it is ``expired``.

        What was answered is in its output file, the rest in its error file as ``batch_expired``.
        A batch that has ended already stays as it is.

        Raises
        ------
        LocalServerError
            The server has no such batch, or imitates a service whose batches never expire.
        """
        engine = self._running()
        dialect = self._settings.dialect
        if not dialect.service.expires:
            raise LocalServerError(
                f"Batches of the profile {dialect.name!r} never expire: they go on until they are "
                "done or cancelled. Use another profile, or `client.batches.cancel(...)`."
            )
        if engine.store.batch(batch_id) is None:
            given: object = batch_id
            found = f"no batch {batch_id!r}"
            if not isinstance(given, str):
                kind = type(given).__name__
                found = f"to be told a batch's id, job.batches[0].id, and not a {kind}"
            raise LocalServerError(
                f"This local server has {found}. The ones it has: "
                "`[batch.id for batch in server.client().batches.list()]`."
            )
        engine.call(engine.worker.expire, batch_id)

    def _is_running(self) -> bool:
        return self._finalizer is not None and self._finalizer.alive

    def _running(self) -> Engine:
        if self._engine is None or not self._is_running():
            raise not_running()
        return self._engine
