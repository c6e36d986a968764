"""The house's own work: a heartbeat, taking over the jobs of workers that died, sweeping what is no longer kept."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from functools import partial

from pictura.core.errors import HouseError, PicturaError
from pictura.core.job import JobState
from pictura.engine.gateway import Gateway
from pictura.infra.blobs import Blobs
from pictura.infra.config import StorageSettings
from pictura.infra.db import Database, Tx
from pictura.store import assets, jobs, workers
from pictura.store.jobs import Job, Superseded

log = logging.getLogger("pictura.worker")

BEAT_S = 2.0
#: A worker not heard of for this long is dead: its jobs are taken over.
SILENT_MS = 10_000
SWEEP_S = 600.0
#: Blobs younger than this are spared: their job may not have said yet that it has them.
SPARED_S = 3600.0


class Worker:
    """`alone`: the database belongs to this process, so every other worker in it is dead at once."""

    def __init__(
        self,
        worker_id: str,
        database: Database,
        gateway: Gateway,
        blobs: Blobs,
        storage: StorageSettings,
        *,
        alone: bool,
    ) -> None:
        self.id = worker_id
        self._database = database
        self._gateway = gateway
        self._blobs = blobs
        self._storage = storage
        self._silent_ms = 0 if alone else SILENT_MS
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Join, and take over what others left behind, before the first request comes in."""
        await self._database.write(lambda tx: workers.join(tx, self.id, socket.gethostname()))
        await self.take_over()
        self._tasks = [asyncio.create_task(self._beat()), asyncio.create_task(self._sweep())]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._database.write(lambda tx: workers.leave(tx, self.id))

    async def take_over(self) -> int:
        """Jobs of the dead become this worker's. Gives how many."""
        dead = self._database.read(lambda tx: [*workers.others(tx, self.id, self._silent_ms), *workers.orphans(tx)])
        count = 0
        for worker_id in dict.fromkeys(dead):
            left = await self._database.write(partial(_take, dead=worker_id, heir=self.id))
            for job in left:
                await self._resume(job)
            count += len(left)
        if count:
            log.info("took over %d jobs of a worker that is gone", count)
        return count

    async def sweep(self) -> int:
        """Delete what is older than `keep_days`, and blobs that belong to nobody. Gives how many."""
        swept = 0
        if self._storage.keep_days:
            before_ms = time.time_ns() // 1_000_000 - int(self._storage.keep_days * 86_400_000)
            outdated = await self._database.browse(lambda tx: assets.outdated(tx, before_ms))
            swept += await self._delete(outdated)
            await self._database.write(lambda tx: assets.forget(tx, outdated))
        for kind in ("in", "out"):
            old = await self._blobs.old(kind, SPARED_S)
            needed = await self._database.browse(partial(assets.needed, keys=old))
            swept += await self._delete([key for key in old if key not in needed])
        return swept

    async def _delete(self, keys: list[str]) -> int:
        for key in keys:
            await self._blobs.delete(key)
        return len(keys)

    async def _resume(self, job: Job) -> None:
        attempts = self._database.read(lambda tx: jobs.attempts(tx, job.id))
        try:
            self._gateway.resume(job, attempts)
        except PicturaError as error:
            await self._give_up(job, error)
        except Exception:
            # One job must not keep the house from opening.
            log.exception("job %s cannot be taken up", job.id)
            await self._give_up(job, HouseError("this request was interrupted and could not be taken up again"))

    async def _give_up(self, job: Job, error: PicturaError) -> None:
        """A job that cannot even be taken up (its model or channel is gone): ended, its hold released."""
        try:
            await self._database.write(lambda tx: jobs.end(tx, job, JobState.FAILED, error))
        except Superseded:
            log.info("job %s had ended already", job.id)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            try:
                if not await self._database.write(lambda tx: workers.beat(tx, self.id)):
                    log.error("this worker was declared dead by another; its jobs go on there")
                    await self._database.write(lambda tx: workers.join(tx, self.id, socket.gethostname()))
                if self._silent_ms:
                    await self.take_over()
            except Exception:  # a heart that stops for one bad beat is taken for dead
                log.exception("heartbeat failed")

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self.sweep()
            except Exception:
                log.exception("sweeping failed")


def _take(tx: Tx, dead: str, heir: str) -> list[Job]:
    left = jobs.take_over(tx, dead, heir)
    workers.leave(tx, dead)
    return left
