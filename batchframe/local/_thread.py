"""Server thread, whose event loop runs HTTP and the worker."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import uvicorn

from batchframe._base.errors import LocalServerError
from batchframe._services.provider import is_loopback
from batchframe.local._answers.answerers import Answerer, TokenCounter
from batchframe.local._batches.dialects import Dialect
from batchframe.local._batches.store import Store
from batchframe.local._batches.worker import Worker
from batchframe.local._faults.injection import PROTOCOL
from batchframe.local._faults.plan import FaultPlan
from batchframe.local._http.address import base_url, listen
from batchframe.local._http.routes import Api

# Clients keep connections open, so a graceful shutdown needs a limit.
_GRACE_SECONDS: Final = 1
_POLL_SECONDS: Final = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of a server; without a `folder` it uses a temporary one."""

    make_answerer: Callable[[], Answerer]
    count_tokens: TokenCounter
    dialect: Dialect
    seconds: float
    folder: Path | None
    host: str
    port: int
    key: str | None = field(repr=False)


class Engine:
    """Server in a daemon thread with its own event loop."""

    def __init__(self, settings: Settings, faults: FaultPlan) -> None:
        self._settings = settings
        self._faults = faults
        self._temporary = None
        if settings.folder is None:
            self._temporary = tempfile.mkdtemp(prefix="batchframe-local-")
        self.store = Store(settings.folder or Path(self._temporary or ""))
        try:
            self._socket = listen(
                settings.host,
                settings.port,
                self.store.stored_port(),
                has_key=settings.key is not None,
            )
            port: int = self._socket.getsockname()[1]
            self.store.store_port(port)
        except BaseException:
            self.store.close()
            raise
        self.url = base_url(settings.host, port, settings.dialect.prefix)
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._stopped = False
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._run, name="batchframe-local", daemon=True)

    def start(self) -> None:
        """Start the thread; return when the server accepts requests."""
        self._faults.closing = False
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self.stop()
            raise self._failure

    def stop(self) -> None:
        """Stop the server and release the folder; do nothing if it is stopped."""
        # A forked child process has a copy of this object but not the thread.
        if self._stopped or os.getpid() != self._process:
            return
        self._stopped = True
        self._faults.closing = True
        if self._failure is None:
            self._server.should_exit = True
        self._thread.join()
        self._socket.close()
        self.store.close()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def join(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the end; return whether it is alive."""
        self._thread.join(timeout)
        return self._thread.is_alive()

    def call(self, function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        """Run a coroutine in the server's event loop and wait for it."""
        if self._stopped or not self._thread.is_alive():
            raise not_running()
        asyncio.run_coroutine_threadsafe(function(*arguments), self._loop).result()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        # `start` raises the error in the caller's thread.
        except BaseException as error:
            self._failure = error
            if self._ready.is_set():
                raise
        finally:
            self._ready.set()

    def _handle_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # Closing the socket may interrupt an accept, which is harmless.
        error = context.get("exception")
        if self._stopped and isinstance(error, OSError) and error.errno == errno.EBADF:
            return
        loop.default_exception_handler(context)

    async def _main(self) -> None:
        settings = self._settings
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(self._handle_error)
        self.worker = Worker(
            store=self.store,
            answerer=settings.make_answerer(),
            dialect=settings.dialect,
            count_tokens=settings.count_tokens,
            seconds=settings.seconds,
        )
        api = Api(
            worker=self.worker,
            faults=self._faults,
            guarded=is_loopback(settings.host),
            key=settings.key,
        )
        config = uvicorn.Config(
            api.application(),
            http=PROTOCOL,
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        self._server = uvicorn.Server(config)
        serving = self._loop.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started and not serving.done():  # noqa: ASYNC110 - nothing to await
            await asyncio.sleep(_POLL_SECONDS)
        self.worker.begin_all()
        self._ready.set()
        await serving
        await self.worker.close()


def not_running() -> LocalServerError:
    """Return the error for a call that needs a running server."""
    return LocalServerError("The local server is not running. Fix: server.start().")
