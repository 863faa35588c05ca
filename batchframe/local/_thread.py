"""The thread in which the server lives: an event loop with HTTP and the worker.

Comes in: settings, a bound socket, and an open store. Goes out: a running server that other threads
can ask things of, until it is stopped. Must not know: how it was configured, or notebooks.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import uvicorn

from batchframe.errors import LocalServerError
from batchframe.local._answers.answerers import Answerer, TokenCounter
from batchframe.local._batches.dialects import Dialect, Limits
from batchframe.local._batches.gate import Gate, Turns
from batchframe.local._batches.store import Store
from batchframe.local._batches.worker import Worker
from batchframe.local._faults.plan import FaultPlan
from batchframe.local._faults.wire import PROTOCOL
from batchframe.local._http.routes import Api

# Clients keep connections open; nobody is waited for longer.
_GRACE_SECONDS: Final = 1
_LOOK_SECONDS: Final = 0.002

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What an engine runs on; `removable` is a temporary folder to remove at the end."""

    store: Store
    listening: socket.socket
    answerer: Callable[[], Answerer]
    limits: Limits
    seconds: float
    count_tokens: TokenCounter
    faults: FaultPlan
    guarded: bool
    dialect: Dialect
    removable: Path | None


class Engine:
    """A server in a daemon thread of its own, with its own event loop."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._stopped = False
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._run, name="batchframe-local", daemon=True)

    def start(self) -> None:
        """Start the thread, and return when HTTP is served."""
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self.stop()
            raise self._failure

    def stop(self) -> None:
        """Stop serving and working, and let go of the folder. Stopping twice is harmless."""
        # A forked child has a copy of this object, but not the server.
        if self._stopped or os.getpid() != self._process:
            return
        self._stopped = True
        self._parts.faults.closing = True
        if self._failure is None:
            self._server.should_exit = True
        self._thread.join()
        self._parts.listening.close()
        self._parts.store.close()
        if self._parts.removable is not None:
            shutil.rmtree(self._parts.removable, ignore_errors=True)

    def join(self, timeout: float) -> bool:
        """Wait for the end at most `timeout` seconds; return whether the server still runs."""
        self._thread.join(timeout)
        return self._thread.is_alive()

    def pause(self, after: int) -> None:
        """Let `after` more requests of batches be answered, then hold."""
        self._ask(lambda: self._gate.pause(after))

    def resume(self) -> None:
        """Let everything go on."""
        self._ask(self._gate.resume)

    def expire(self, batch_id: str) -> None:
        """End a batch as expired, and return when it has ended."""
        self._alive()
        asyncio.run_coroutine_threadsafe(self._worker.expire(batch_id), self._loop).result()

    def _ask(self, question: Callable[[], _T]) -> _T:
        async def ask() -> _T:
            return question()

        self._alive()
        return asyncio.run_coroutine_threadsafe(ask(), self._loop).result()

    def _alive(self) -> None:
        if self._stopped or not self._thread.is_alive():
            raise LocalServerError.not_started()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        # Whatever prevents the start is raised again where the server was started.
        except BaseException as error:
            self._failure = error
            if self._ready.is_set():
                raise
        finally:
            self._ready.set()

    def _on_trouble(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # A connection that was about to be accepted when the socket closed is nobody's trouble.
        trouble = context.get("exception")
        if self._stopped and isinstance(trouble, OSError) and trouble.errno == errno.EBADF:
            return
        loop.default_exception_handler(context)

    async def _main(self) -> None:
        parts = self._parts
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._on_trouble)
        self._gate = Gate()
        answerer = parts.answerer()
        self._worker = Worker(
            store=parts.store,
            answerer=answerer,
            limits=parts.limits,
            gate=self._gate,
            turns=Turns(),
            seconds=parts.seconds,
            count_tokens=parts.count_tokens,
            dialect=parts.dialect,
        )
        api = Api(
            store=parts.store,
            worker=self._worker,
            answerer=answerer,
            limits=parts.limits,
            faults=parts.faults,
            guarded=parts.guarded,
            count_tokens=parts.count_tokens,
            dialect=parts.dialect,
        )
        self._server = uvicorn.Server(_config(api))
        serving = self._loop.create_task(self._server.serve(sockets=[parts.listening]))
        while not self._server.started and not serving.done():  # noqa: ASYNC110 - nothing to await
            await asyncio.sleep(_LOOK_SECONDS)
        self._worker.resume()
        self._ready.set()
        await serving
        await self._worker.close()


def _config(api: Api) -> uvicorn.Config:
    return uvicorn.Config(
        api.application(),
        http=PROTOCOL,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
