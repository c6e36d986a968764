"""One call to one channel: start it, and follow a task until it is done. What went wrong is an error of the tree."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext, suppress

import msgspec

from pictura.core.errors import Failed, HouseError, Lost, NotSent, PicturaError, Rejected
from pictura.core.request import OCCASION_HEADER
from pictura.engine.health import Health
from pictura.engine.plan import Candidate
from pictura.infra.http import Client, Timeouts
from pictura.providers.base import (
    Ask,
    CancellingProvider,
    Channel,
    Done,
    Pending,
    Preview,
    Provider,
    StreamingProvider,
    TaskProvider,
)
from pictura.store.channels import ChannelRecord

#: A poll that fails to get through is repeated: the task goes on without us.
PASSING = (NotSent, Lost, Rejected)
#: However long a vendor wants to be left alone: its picture is paid, and may be gone by then.
LONGEST_REST_S = 60.0
#: A simulated vendor does not mind being asked often, and nobody likes to wait for one.
SANDBOX_POLL_S = 0.1
OnSend = Callable[[], None]
OnPreview = Callable[[Preview], None]
OnPending = Callable[[Pending], Awaitable[None]]
OnPoll = Callable[[Pending], None]


class TimedOut(Lost):
    """The task was still running when the job's time was up."""

    code = "timeout"


class Caller:
    """Makes calls: one place for a channel's slots, its health and its secrets."""

    def __init__(self, http: Client, health: Health, task_timeout_s: float) -> None:
        self._http = http
        self._health = health
        self._task_timeout_s = task_timeout_s
        self._slots: dict[str, asyncio.Semaphore] = {}

    async def call(
        self,
        candidate: Candidate,
        ask: Ask,
        on_send: OnSend,
        on_preview: OnPreview,
        on_pending: OnPending,
        on_poll: OnPoll,
    ) -> Done:
        """From the first byte to the answer. `on_send` is told when the channel has room, before that byte leaves;
        `on_pending` returns when the task's id is durable.
        """
        record, model = candidate.record, ask.card.id
        async with self._slot(record):
            on_send()
            self._health.begin(record.name, model)
            try:
                outcome = await self._start(candidate, ask, on_preview)
                if isinstance(outcome, Pending):
                    await on_pending(outcome)
                    outcome = await self.follow(candidate, outcome, on_poll)
            except PicturaError as error:
                self._health.failed(record.name, model, error)
                raise
            except asyncio.CancelledError:
                self._health.abandoned(record.name, model)
                raise
            except Exception as error:
                self._health.abandoned(record.name, model)
                raise _stumbled(candidate.provider) from error
        self._health.succeeded(record.name, model)
        return outcome

    async def follow(self, candidate: Candidate, task: Pending, on_poll: OnPoll) -> Done:
        """Ask until it is done; `on_poll` is told how it stands.

        Raises TimedOut, having asked the vendor to stop where it can.
        """
        provider, via = candidate.provider, self.channel(candidate.record)
        if not isinstance(provider, TaskProvider):
            raise HouseError(f"{provider.name} gave a task id, but has no way to ask about it")
        deadline = time.monotonic() + self._task_timeout_s
        outcome: Done | Pending = task
        while isinstance(outcome, Pending):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                await _stop(provider, outcome, via)
                raise TimedOut(f"{provider.name} did not finish within {self._task_timeout_s:.0f} s")
            pause_s = min(outcome.poll_after_s, SANDBOX_POLL_S) if candidate.record.sandbox else outcome.poll_after_s
            await asyncio.sleep(min(pause_s, left_s))
            outcome = await _checked(provider, outcome, via)
            if isinstance(outcome, Pending):
                on_poll(outcome)
        return outcome

    async def stop(self, candidate: Candidate, task: Pending) -> bool:
        """Ask the vendor to stop a task. False: it knows no such thing."""
        if not isinstance(candidate.provider, CancellingProvider):
            return False
        await _stop(candidate.provider, task, self.channel(candidate.record))
        return True

    def channel(self, record: ChannelRecord) -> Channel:
        return Channel(
            name=record.name,
            base_url=record.base_url,
            secrets=record.secrets,
            http=self._http,
            timeouts=Timeouts(read_s=record.timeout_s, total_s=record.timeout_s + 300),
            region=record.region,
            headers=record.headers,
            options=record.options,
            proxy=record.proxy,
            allow_private=record.allow_private or record.sandbox,
        )

    async def _start(self, candidate: Candidate, ask: Ask, on_preview: OnPreview) -> Done | Pending:
        provider, via = candidate.provider, self.channel(candidate.record)
        number = ask.client_id.rpartition("-")[2]
        if candidate.record.sandbox and number != "0":
            via.headers = {**via.headers, OCCASION_HEADER: number}
        if not (ask.partial_images and isinstance(provider, StreamingProvider)):
            return await provider.start(ask, via)
        async for event in provider.stream(ask, via):
            if isinstance(event, Done):
                return event
            on_preview(event)
        raise Lost(f"{provider.name} ended its stream without a finished picture")

    def _slot(self, record: ChannelRecord) -> AbstractAsyncContextManager[None]:
        if not record.max_concurrency:
            return nullcontext()
        name = f"{record.name} {record.max_concurrency}"
        return self._slots.setdefault(name, asyncio.Semaphore(record.max_concurrency))


async def _checked(provider: TaskProvider, task: Pending, via: Channel) -> Done | Pending:
    try:
        return await provider.check(task, via)
    except (*PASSING, Failed) as error:
        if isinstance(error, Failed) and (error.upstream_status or 0) < 500:
            raise  # the task's own end, told in an answer that is well
        if error.config:
            # No longer a no before work began: the task was accepted, and asking another channel would pay twice.
            raise Lost(error.message, upstream_status=error.upstream_status, config=True) from error
        rest_s = min(float(error.retry_after_s or 2), LONGEST_REST_S)
        return msgspec.structs.replace(task, poll_after_s=max(task.poll_after_s, rest_s))
    except PicturaError:
        raise
    except Exception as error:
        raise _stumbled(provider) from error


def _stumbled(provider: Provider) -> Lost:
    """A provider file that stumbles over an answer has sent the request: the vendor may bill it."""
    return Lost(f"{provider.name} answered in a way this version does not understand")


async def _stop(provider: Provider, task: Pending, via: Channel) -> None:
    """Best effort: whether the vendor stops or not is seen when it is asked about the task."""
    if isinstance(provider, CancellingProvider):
        with suppress(Exception):
            await provider.cancel(task, via)
