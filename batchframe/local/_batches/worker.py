"""The state machine: takes every batch from ``validating`` to its end.

Comes in: batches in the store, and someone who answers. Goes out: their states, result files and
usage, kept in the store. Must not know HTTP.

``validating → failed | in_progress → finalizing → completed``; on its way a batch may be
``cancelling → cancelled`` or become ``expired``. What was answered by then is kept.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from batchframe.local._answers.answerers import Answerer, TokenCounter
from batchframe.local._batches.dialects import Dialect
from batchframe.local._batches.gate import Gate, Turns
from batchframe.local._batches.run import Run, Wish
from batchframe.local._batches.store import Store
from batchframe.local._batches.validation import FileCheck, file_not_found
from batchframe.local._objects import Batch, BatchError, BatchErrors, RequestCounts

_log = logging.getLogger("batchframe.local")

# An open batch holds three file handles, and systems give a process few hundred.
_AT_ONCE: Final = 32
_NAP: Final = 0.02

# What share of `seconds` has passed when a state ends.
_VALIDATED: Final = 0.1
_ANSWERED: Final = 0.9


class _Request(msgspec.Struct):
    custom_id: str
    body: dict[str, Any]


_decode: Final = msgspec.json.Decoder(_Request).decode


@dataclass(kw_only=True, eq=False)
class Worker:
    """Works off batches in the event loop, a slice at a time.

    Parameters
    ----------
    seconds
        The least time a batch takes, spread over its states.
    """

    store: Store
    answerer: Answerer
    dialect: Dialect
    count_tokens: TokenCounter
    seconds: float
    _gate: Gate = field(init=False, default_factory=Gate)
    _turns: Turns = field(init=False, default_factory=Turns)
    _runs: dict[str, Run] = field(init=False, default_factory=dict)
    _at_work: int = field(init=False, default=0)

    async def pause(self, after: int) -> None:
        """Let `after` more requests be answered, then hold."""
        self._gate.pause(after)

    async def resume(self) -> None:
        """Let everything go on."""
        self._gate.resume()

    def begin_all(self) -> None:
        """Go on with every batch that has not ended."""
        for batch in self.store.batches():
            if not batch.ended:
                self.begin(batch)

    def begin(self, batch: Batch) -> None:
        """Begin to work on a batch."""
        run = Run(batch, self.store.workspace(batch.id), self.dialect)
        self._runs[batch.id] = run
        run.task = asyncio.get_running_loop().create_task(self._work(run))

    def cancel(self, batch: Batch) -> Batch:
        """Ask a batch that has not ended to stop; requests under way are still answered."""
        run = self._runs[batch.id]
        if run.wish is Wish.GO_ON:
            run.wish = Wish.CANCEL
            self._enter(run, "cancelling")
            self._gate.signal.fire()
        return self._batch(run)

    async def expire(self, batch_id: str) -> None:
        """End a batch as expired, unless it has ended; requests under way are abandoned."""
        run = self._runs.get(batch_id)
        if run is None or run.task is None:
            return
        run.wish = Wish.EXPIRE
        for consumer in run.consumers:
            consumer.cancel()
        self._gate.signal.fire()
        await asyncio.wait([run.task])

    async def close(self) -> None:
        """Stop all work where it is; the folder has what another server needs to go on."""
        tasks = [run.task for run in self._runs.values() if run.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.answerer.close()

    async def _work(self, run: Run) -> None:
        await self._gate.signal.until(lambda: self._at_work < _AT_ONCE or not run.going_on)
        self._at_work += 1
        try:
            await self._through(run)
        # A batch that stands still for ever would be waited for for ever.
        except Exception as error:  # noqa: BLE001 - see above
            _log.exception("The local server could not work off %s.", run.batch_id)
            self._fail(run, [BatchError(code="server_error", message=str(error))])
        finally:
            self._at_work -= 1
            run.close()
            if self._batch(run).ended:
                run.workspace.remove()
                self._runs.pop(run.batch_id, None)
            self._gate.signal.fire()

    async def _through(self, run: Run) -> None:
        status = self._batch(run).status
        if status == "validating" and not await self._validate(run):
            return
        if status in {"validating", "in_progress"}:
            await self._answer(run)
        if run.going_on:
            await self._finalize(run)
        if run.wish is Wish.CANCEL:
            await self._gate.signal.until(lambda: self._gate.open or run.wish is Wish.EXPIRE)
        if run.wish is Wish.EXPIRE:
            await self._leave(run)
        self._end(run)

    async def _validate(self, run: Run) -> bool:
        """Read the whole file once; return whether the batch is still on its way."""
        await self._checkpoint(run, 0.0)
        check = FileCheck(run.endpoint, self.dialect, self.count_tokens)
        if not run.workspace.input.exists():
            self._fail(run, [file_not_found(self._batch(run).input_file_id)])
            return False
        for line in run.lines.scan():
            check.feed(line)
            if self._turns.due:
                await self._turns.pass_on()
                if not run.going_on:
                    return True
        await self._checkpoint(run, _VALIDATED)
        problems = check.problems(self._enqueued(check.model))
        if problems and run.going_on:
            self._fail(run, problems)
            return False
        if run.going_on:
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
        """Answer what is not answered yet, `concurrency` requests at a time."""
        if not run.going_on:
            return
        await self._index(run)
        remaining = run.remaining()
        loop = asyncio.get_running_loop()
        run.consumers = [
            loop.create_task(self._consume(run, remaining))
            for _ in range(self.answerer.concurrency)
        ]
        try:
            ended = await asyncio.gather(*run.consumers, return_exceptions=True)
        finally:
            run.consumers = []
            self._show(run)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _index(self, run: Run) -> None:
        """Learn where the lines are, after a restart: validation did so in the first process."""
        if len(run.lines):
            return
        for _ in run.lines.scan():
            if self._turns.due:
                await self._turns.pass_on()

    async def _consume(self, run: Run, remaining: Iterator[bytes]) -> None:
        while await self._may_answer(run):
            line = next(remaining, None)
            if line is None:
                return
            request = _decode(line)
            answer = await self.answerer.answer(run.endpoint, request.body)
            run.spool.answer(request.custom_id, answer)
            run.spool.answered.add(request.custom_id)
            if self._turns.due:
                self._show(run)
                await self._turns.pass_on()

    async def _may_answer(self, run: Run) -> bool:
        while run.going_on:
            if self._ahead(run):
                self._show(run)
                await asyncio.sleep(_NAP)
            elif self._gate.take():
                return True
            else:
                self._show(run)
                await self._gate.signal.until(lambda: self._gate.open or not run.going_on)
        return False

    def _ahead(self, run: Run) -> bool:
        """Whether more is answered than `seconds` lets show yet."""
        if not self.seconds:
            return False
        passed = (time.monotonic() - run.began) / self.seconds
        share = (passed - _VALIDATED) / (_ANSWERED - _VALIDATED)
        return run.spool.completed + run.spool.failed > share * run.total

    async def _checkpoint(self, run: Run, share: float) -> None:
        """Wait until the gate is open and `share` of the batch's least time has passed."""
        await self._gate.signal.until(lambda: self._gate.open or not run.going_on)
        left = run.began + share * self.seconds - time.monotonic()
        if left > 0:
            await self._gate.signal.until(lambda: not run.going_on, within=left)

    async def _finalize(self, run: Run) -> None:
        await self._checkpoint(run, _ANSWERED)
        if run.going_on:
            if self._batch(run).status != "finalizing":
                self._enter(run, "finalizing")
            await self._checkpoint(run, 1.0)

    async def _leave(self, run: Run) -> None:
        """Write every unanswered request of an expired batch to its error file."""
        if not run.total:
            return
        await self._index(run)
        for line in run.remaining():
            run.spool.expire(_decode(line).custom_id)
            if self._turns.due:
                await self._turns.pass_on()

    def _end(self, run: Run) -> None:
        changes: dict[str, Any] = {}
        if run.total:
            spool = run.spool
            changes = {"request_counts": spool.counts(run.total), "usage": spool.usage}
            for kind, path in (("output", run.workspace.output), ("error", run.workspace.errors)):
                empty = kind == "error" and self.dialect.empty_error_file
                changes[f"{kind}_file_id"] = self.store.publish(
                    run.batch_id, kind, path, even_empty=empty
                )
        self._enter(run, run.wish.value, **changes)

    def _fail(self, run: Run, problems: list[BatchError]) -> None:
        self._enter(run, "failed", errors=BatchErrors(problems))

    def _batch(self, run: Run) -> Batch:
        batch = self.store.batch(run.batch_id)
        assert batch is not None  # noqa: S101 - batches are never removed
        return batch

    def _show(self, run: Run) -> None:
        spool = run.spool
        counts = spool.counts(run.total)
        self.store.show(self._batch(run).having(request_counts=counts, usage=spool.usage))

    def _enter(self, run: Run, status: str, **changes: Any) -> None:
        """Save that a batch enters a state now."""
        since = {"status": status, f"{status}_at": int(time.time())}
        self.store.save(self._batch(run).having(**since, **changes))
