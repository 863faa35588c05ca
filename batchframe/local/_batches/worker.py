"""State machine that runs batches.

``validating → failed | in_progress → finalizing → completed``. A batch may also become
``cancelling → cancelled`` or ``expired``; its answers so far are published.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from batchframe.local._answers.answerers import Answerer, TokenCounter
from batchframe.local._batches.dialects import Dialect
from batchframe.local._batches.gate import Gate, Turns
from batchframe.local._batches.run import Outcome, Request, Run
from batchframe.local._batches.store import Store
from batchframe.local._batches.validation import FileCheck, file_not_found
from batchframe.local._objects import Batch, BatchError, BatchErrors, RequestCounts

_log = logging.getLogger("batchframe.local")

# A running batch opens three files, and a process may open only a few hundred.
_MAX_RUNNING: Final = 32
_SLEEP_SECONDS: Final = 0.02

# Shares of `seconds` at which a state may end.
_VALIDATED: Final = 0.1
_ANSWERED: Final = 0.9


@dataclass(kw_only=True, eq=False)
class Worker:
    """Worker that runs batches in the event loop, in time slices.

    Parameters
    ----------
    seconds
        Minimum duration of a batch, spread over its states.
    """

    store: Store
    answerer: Answerer
    dialect: Dialect
    count_tokens: TokenCounter
    seconds: float
    _gate: Gate = field(init=False, default_factory=Gate)
    _turns: Turns = field(init=False, default_factory=Turns)
    _runs: dict[str, Run] = field(init=False, default_factory=dict)
    _running: int = field(init=False, default=0)

    async def pause(self, after: int) -> None:
        """Pause after answering `after` more requests."""
        self._gate.pause(after)

    async def resume(self) -> None:
        """Resume all batches."""
        self._gate.resume()

    def begin_all(self) -> None:
        """Start every batch that has not ended."""
        for batch in self.store.batches():
            if not batch.ended:
                self.begin(batch)

    def begin(self, batch: Batch) -> None:
        """Start a batch."""
        run = Run(batch, self.store.workspace(batch.id), self.dialect)
        self._runs[batch.id] = run
        run.task = asyncio.get_running_loop().create_task(self._work(run))

    def cancel(self, batch: Batch) -> Batch:
        """Cancel an unfinished batch; pending requests are still answered."""
        run = self._runs[batch.id]
        if run.outcome is Outcome.COMPLETE:
            run.outcome = Outcome.CANCEL
            self._enter(run, "cancelling")
            self._gate.signal.fire()
        return self._batch(run)

    async def expire(self, batch_id: str) -> None:
        """Expire an unfinished batch; pending requests are abandoned."""
        run = self._runs.get(batch_id)
        if run is None or run.task is None:
            return
        run.outcome = Outcome.EXPIRE
        for consumer in run.consumers:
            consumer.cancel()
        self._gate.signal.fire()
        await asyncio.wait([run.task])

    async def close(self) -> None:
        """Stop all work; a server on the same folder can continue it."""
        tasks = [run.task for run in self._runs.values() if run.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.answerer.close()

    async def _work(self, run: Run) -> None:
        await self._gate.signal.wait_for(lambda: self._running < _MAX_RUNNING or not run.is_active)
        self._running += 1
        try:
            await self._advance(run)
        # Clients would wait forever for a batch that does not end.
        except Exception as error:  # noqa: BLE001 - see above
            _log.exception("The local server could not run %s.", run.batch_id)
            self._fail(run, [BatchError("server_error", str(error))])
        finally:
            self._running -= 1
            run.close()
            if self._batch(run).ended:
                run.workspace.remove()
                self._runs.pop(run.batch_id, None)
            self._gate.signal.fire()

    async def _advance(self, run: Run) -> None:
        status = self._batch(run).status
        if status == "validating" and not await self._validate(run):
            return
        if status in {"validating", "in_progress"}:
            await self._answer(run)
        if run.is_active:
            await self._finalize(run)
        if run.outcome is Outcome.CANCEL:
            await self._open(lambda: run.outcome is Outcome.EXPIRE)
        if run.outcome is Outcome.EXPIRE:
            await self._expire_remaining(run)
        self._end(run)

    async def _validate(self, run: Run) -> bool:
        """Validate the input file; return whether the batch has not failed."""
        await self._checkpoint(run, 0.0)
        check = FileCheck(run.endpoint, self.dialect, self.count_tokens)
        if not run.workspace.input.exists():
            self._fail(run, [file_not_found(self._batch(run).input_file_id)])
            return False
        for line in run.lines.scan():
            check.feed(line)
            if self._turns.due:
                await self._turns.pass_on()
                if not run.is_active:
                    return True
        await self._checkpoint(run, _VALIDATED)
        problems = check.problems(self._enqueued(check.model))
        if problems and run.is_active:
            self._fail(run, problems)
            return False
        if run.is_active:
            run.total, run.tokens, run.endpoint = check.lines, check.tokens, check.endpoint
            self._enter(
                run,
                "in_progress",
                endpoint=run.endpoint,
                model=check.model,
                request_counts=RequestCounts(total=run.total),
            )
        return True

    def _enqueued(self, model: str | None) -> int:
        runs = self._runs.values()
        return sum(run.tokens for run in runs if self._batch(run).model == model)

    async def _answer(self, run: Run) -> None:
        """Answer the remaining requests, `concurrency` at a time."""
        if not run.is_active:
            return
        await self._index(run)
        remaining = run.remaining()
        loop = asyncio.get_running_loop()
        run.consumers = [
            loop.create_task(self._consume(run, remaining))
            for _ in range(self.answerer.concurrency)
        ]
        try:
            outcomes = await asyncio.gather(*run.consumers, return_exceptions=True)
        finally:
            run.consumers = []
            self._show(run)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    async def _index(self, run: Run) -> None:
        """Scan the lines after a restart; without one, validation has done so."""
        if len(run.lines):
            return
        for _ in run.lines.scan():
            if self._turns.due:
                await self._turns.pass_on()

    async def _consume(self, run: Run, remaining: Iterator[Request]) -> None:
        while await self._may_answer(run):
            request = next(remaining, None)
            if request is None:
                return
            answer = await self.answerer.answer(run.endpoint, request.body)
            run.spool.answer(request.custom_id, answer)
            if self._turns.due:
                self._show(run)
                await self._turns.pass_on()

    async def _may_answer(self, run: Run) -> bool:
        while run.is_active:
            if self._is_ahead(run):
                self._show(run)
                await asyncio.sleep(_SLEEP_SECONDS)
            elif self._gate.take():
                return True
            else:
                self._show(run)
                await self._open(lambda: not run.is_active)
        return False

    async def _open(self, is_over: Callable[[], bool]) -> None:
        """Wait until the gate is open, or `is_over()` is true."""
        await self._gate.signal.wait_for(lambda: self._gate.open or is_over())

    def _is_ahead(self, run: Run) -> bool:
        """Return whether more requests are answered than `seconds` allows so far."""
        if not self.seconds:
            return False
        elapsed = (time.monotonic() - run.start_time) / self.seconds
        share = (elapsed - _VALIDATED) / (_ANSWERED - _VALIDATED)
        return run.spool.completed + run.spool.failed > share * run.total

    async def _checkpoint(self, run: Run, share: float) -> None:
        """Wait until the gate is open and `share` of the minimum duration is over."""
        await self._open(lambda: not run.is_active)
        left = run.start_time + share * self.seconds - time.monotonic()
        if left > 0:
            await self._gate.signal.wait_for(lambda: not run.is_active, seconds=left)

    async def _finalize(self, run: Run) -> None:
        await self._checkpoint(run, _ANSWERED)
        if run.is_active:
            if self._batch(run).status != "finalizing":
                self._enter(run, "finalizing")
            await self._checkpoint(run, 1.0)

    async def _expire_remaining(self, run: Run) -> None:
        """Write the unanswered requests of an expired batch to its error file."""
        if not run.total:
            return
        await self._index(run)
        for request in run.remaining():
            run.spool.expire(request.custom_id)
            if self._turns.due:
                await self._turns.pass_on()

    def _end(self, run: Run) -> None:
        changes: dict[str, Any] = {}
        if run.total:
            changes = run.progress
            for kind, path in (("output", run.workspace.output), ("error", run.workspace.errors)):
                empty = kind == "error" and self.dialect.empty_error_file
                changes[f"{kind}_file_id"] = self.store.publish(
                    run.batch_id, kind, path, even_empty=empty
                )
        self._enter(run, run.outcome.value, **changes)

    def _fail(self, run: Run, problems: list[BatchError]) -> None:
        self._enter(run, "failed", errors=BatchErrors(problems))

    def _batch(self, run: Run) -> Batch:
        batch = self.store.batch(run.batch_id)
        assert batch is not None  # noqa: S101 - batches are never removed
        return batch

    def _show(self, run: Run) -> None:
        # The workspace stores the progress.
        self.store.update(run.batch_id, durable=False, **run.progress)

    def _enter(self, run: Run, status: str, **changes: Any) -> None:
        """Save a batch with a new status and its timestamp."""
        since: dict[str, Any] = {"status": status, f"{status}_at": int(time.time())}
        self.store.update(run.batch_id, **since, **changes)
