"""Who may come in."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pictura.core.errors import Forbidden, RateLimited, Unauthorized
from pictura.core.request import ImageRequest
from pictura.engine.gateway import Outcome
from pictura.engine.guard import LONGEST_KEY, Bucket, Guard
from pictura.store.keys import Key, KeyRing, Project
from tests.engine.conftest import Clock

DEFAULT = Project("default", "Default")


async def made(ring: KeyRing, **said: Any) -> tuple[Key, str]:
    return await ring.make(Key(**{"id": "", "project": DEFAULT, "name": "mine", **said}))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def guard(ring: KeyRing, clock: Clock) -> Guard:
    return Guard(ring, clock)


async def test_a_good_key_is_known(guard: Guard, ring: KeyRing) -> None:
    key, text = await made(ring)
    assert guard.identify(text, "203.0.113.7") == key


@pytest.mark.parametrize("text", ["", "sk-pic-unknown", "x" * (LONGEST_KEY + 1)])
async def test_no_key_or_a_wrong_one(guard: Guard, text: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        guard.identify(text, "203.0.113.7")
    assert text == "" or text not in caught.value.message


async def test_an_expired_key(guard: Guard, ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    _, text = await made(ring, expires_ms=2_000)
    monkeypatch.setattr(time, "time_ns", lambda: 1_999_000_000)
    assert guard.identify(text, "")
    monkeypatch.setattr(time, "time_ns", lambda: 2_000_000_000)
    with pytest.raises(Unauthorized, match="expired"):
        guard.identify(text, "")


async def test_a_key_from_the_wrong_place(guard: Guard, ring: KeyRing) -> None:
    _, text = await made(ring, networks=("10.0.0.0/8",))
    assert guard.identify(text, "10.1.2.3")
    with pytest.raises(Forbidden, match=r"may not be used from 203\.0\.113\.7"):
        guard.identify(text, "203.0.113.7")


async def test_a_key_without_the_scope(guard: Guard, ring: KeyRing) -> None:
    _, drawing = await made(ring)
    _, admin = await made(ring, scopes=("admin",))
    assert guard.identify(admin, "", "admin")
    with pytest.raises(Forbidden, match="needs the scope 'admin'"):
        guard.identify(drawing, "", "admin")
    with pytest.raises(Forbidden, match="needs the scope 'draw'"):
        guard.identify(admin, "")


async def test_so_many_requests_a_minute(guard: Guard, ring: KeyRing, clock: Clock) -> None:
    key, _ = await made(ring, requests_per_minute=6)
    for _ in range(6):
        with guard.admit(key):
            pass
    with pytest.raises(RateLimited, match="6 requests a minute; try again in 10 s") as caught, guard.admit(key):
        pass
    assert caught.value.retry_after_s == 10
    clock.now += 9.5
    with pytest.raises(RateLimited, match="try again in 1 s"), guard.admit(key):
        pass
    clock.now += 0.5
    with guard.admit(key):
        pass
    with pytest.raises(RateLimited), guard.admit(key):
        pass


async def test_a_quiet_hour_is_not_saved_up(guard: Guard, ring: KeyRing, clock: Clock) -> None:
    key, _ = await made(ring, requests_per_minute=2)
    for _ in range(2):
        clock.now += 3600
        for _ in range(2):
            with guard.admit(key):
                pass
        with pytest.raises(RateLimited), guard.admit(key):
            pass


async def test_a_new_limit_counts_at_once(guard: Guard, ring: KeyRing) -> None:
    strict, _ = await made(ring, requests_per_minute=1)
    with guard.admit(strict):
        pass
    generous = Key(id=strict.id, project=DEFAULT, name="", requests_per_minute=2)
    for _ in range(2):
        with guard.admit(generous):
            pass
    with pytest.raises(RateLimited), guard.admit(generous):
        pass


async def test_so_many_requests_at_once(guard: Guard, ring: KeyRing) -> None:
    key, _ = await made(ring, concurrency=2)
    with ExitStack() as running:
        for _ in range(2):
            running.enter_context(guard.admit(key))
        with pytest.raises(RateLimited, match="2 requests at once"), guard.admit(key):
            pass
    with guard.admit(key), guard.admit(key):
        pass


async def test_a_request_that_fails_makes_room(guard: Guard, ring: KeyRing) -> None:
    key, _ = await made(ring, concurrency=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), guard.admit(key):
            _ = 1 // 0


async def test_a_job_that_goes_on_after_its_answer_keeps_the_place(guard: Guard, ring: KeyRing) -> None:
    key, _ = await made(ring, concurrency=1)
    job: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    with guard.admit(key) as place:
        place.job = job
    with pytest.raises(RateLimited), guard.admit(key):
        pass
    job.set_result(Outcome("job_1", ImageRequest(model="m")))
    await asyncio.sleep(0)
    with guard.admit(key) as place:
        place.job = job  # one that has ended already
    with guard.admit(key):
        pass


async def test_without_limits_there_are_none_and_keys_do_not_share(guard: Guard, ring: KeyRing) -> None:
    free, _ = await made(ring)
    one, _ = await made(ring, concurrency=1, requests_per_minute=1)
    with ExitStack() as running:
        for _ in range(500):
            running.enter_context(guard.admit(free))
        running.enter_context(guard.admit(one))


@given(st.integers(1, 600), st.lists(st.floats(0, 30), min_size=1, max_size=200))
def test_no_more_pass_than_the_rate_allows(per_minute: int, pauses: list[float]) -> None:
    bucket, now, passed = Bucket(per_minute, 0.0), 0.0, 0
    for pause in pauses:
        now += pause
        wait_s = bucket.take(now)
        passed += wait_s == 0
        assert 0 <= wait_s <= 60 / per_minute + 1e-9
    assert passed <= per_minute + now * per_minute / 60 + 1e-6


@given(st.integers(1, 600))
def test_whoever_waits_as_long_as_he_was_told_passes(per_minute: int) -> None:
    bucket, now = Bucket(per_minute, 0.0), 0.0
    for _ in range(per_minute + 5):
        now += bucket.take(now) * 1.000001
    assert bucket.take(now + 60 / per_minute * 1.000001) == 0
