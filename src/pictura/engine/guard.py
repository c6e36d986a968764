"""Who may come in: keys, networks, requests per minute and at once. In memory; counts start anew with the process."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pictura.core.errors import Forbidden, RateLimited, Unauthorized
from pictura.engine.gateway import Outcome
from pictura.store.keys import Key, KeyRing, Scope

#: Longer than any key we make; longer ones are not even hashed.
LONGEST_KEY = 512


class Bucket:
    """Tokens that come back at a steady rate: `per_minute` at most at once, then one every 60/per_minute seconds."""

    __slots__ = ("_at", "_left", "per_minute")

    def __init__(self, per_minute: int, now: float) -> None:
        self.per_minute = per_minute
        self._left = float(per_minute)
        self._at = now

    def take(self, now: float) -> float:
        """0.0 where a token was free, else the seconds until the next one."""
        self._left = min(self.per_minute, self._left + (now - self._at) * self.per_minute / 60)
        self._at = now
        if self._left >= 1:
            self._left -= 1
            return 0.0
        return (1 - self._left) * 60 / self.per_minute


class Place:
    """One of the requests that a key may run at once. `job`: what goes on after the answer, where there is one."""

    job: asyncio.Future[Outcome] | None = None


class Guard:
    def __init__(self, keys: KeyRing, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys = keys
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}
        self._running: dict[str, int] = {}

    def identify(self, text: str, address: str, scope: Scope | None = "draw") -> Key:
        """The key a caller shows, if it may come from `address` and do such things at all; None: things any key may."""
        if not text:
            raise Unauthorized("no API key: send it as Authorization: Bearer <key>")
        if len(text) > LONGEST_KEY:
            raise Unauthorized("this API key is not known here; check it, or ask whoever runs this Pictura for one")
        key = self._keys.find(text, time.time_ns() // 1_000_000)
        if not key.may_come_from(address):
            raise Forbidden(f"this key may not be used from {address}")
        if scope is not None and scope not in key.scopes:
            raise Forbidden(f"this key may not do that: it needs the scope {scope!r}")
        return key

    @contextmanager
    def admit(self, key: Key) -> Iterator[Place]:
        """Count one drawing request of this key, as long as it or its job runs. Raises RateLimited."""
        self._check_rate(key)
        running = self._running.get(key.id, 0)
        if key.concurrency and running >= key.concurrency:
            raise RateLimited(
                f"this key may run {key.concurrency} requests at once and does already; wait for one to end",
                retry_after_s=1,
            )
        self._running[key.id] = running + 1
        place = Place()
        try:
            yield place
        finally:
            if place.job is None or place.job.done():
                self._leave(key.id)
            else:
                place.job.add_done_callback(lambda _: self._leave(key.id))

    def _check_rate(self, key: Key) -> None:
        if not key.requests_per_minute:
            return
        now = self._clock()
        bucket = self._buckets.get(key.id)
        if bucket is None or bucket.per_minute != key.requests_per_minute:
            bucket = self._buckets[key.id] = Bucket(key.requests_per_minute, now)
        wait_s = bucket.take(now)
        if wait_s:
            retry_after_s = math.ceil(wait_s)
            raise RateLimited(
                f"this key may make {key.requests_per_minute} requests a minute; try again in {retry_after_s} s",
                retry_after_s=retry_after_s,
            )

    def _leave(self, key_id: str) -> None:
        left = self._running[key_id] - 1
        if left:
            self._running[key_id] = left
        else:
            del self._running[key_id]
