"""Money: holds, charges and caps, one by one; then whatever happens to jobs, in any order, on a real database."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from pictura.core import ids
from pictura.core.errors import BadRequest, CapReached, HouseError, InsufficientBalance, NotFound
from pictura.core.job import JobState
from pictura.core.request import ImageRequest
from pictura.core.result import Delivered, ImageResult
from pictura.infra.crypto import Vault
from pictura.infra.db import Row, SqliteDatabase, Tx
from pictura.store import jobs, ledger
from pictura.store.jobs import Attempt, Job, Superseded
from pictura.store.keys import Key, KeyRing, Period, Project, make_project
from pictura.store.ledger import HOUSE

T = TypeVar("T")
DAY_MS = 86_400_000
NOON = int(datetime(2026, 11, 18, 12, tzinfo=UTC).timestamp() * 1000)  # a Wednesday


class At:
    """A transaction at another time."""

    def __init__(self, tx: Tx, now_ms: int) -> None:
        self._tx = tx
        self._now_ms = now_ms

    def run(self, sql: str, params: Sequence[object] = ()) -> int:
        return self._tx.run(sql, params)

    def one(self, sql: str, params: Sequence[object] = ()) -> Row | None:
        return self._tx.one(sql, params)

    def all(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        return self._tx.all(sql, params)

    def now_ms(self) -> int:
        return self._now_ms


async def deposit(database: SqliteDatabase, project_id: str, amount: int) -> None:
    assert await database.write(lambda tx: ledger.deposit(tx, project_id, amount))


async def hold(database: SqliteDatabase, key: Key, amount: int, now_ms: int = NOON) -> None:
    await database.write(lambda tx: ledger.hold(At(tx, now_ms), key, amount))


async def settle(database: SqliteDatabase, key: Key, held: int, cost: int | None) -> None:
    charged = ledger.chargeable(key.project.prepaid, held, cost)
    await database.write(
        lambda tx: ledger.settle(tx, key.project.id, key.id, "job_1", held=held, cost=cost, charged=charged)
    )


def purse(database: SqliteDatabase, project_id: str) -> tuple[int, int]:
    found = database.read(lambda tx: ledger.purse(tx, project_id))
    return found.balance, found.held


def lines(database: SqliteDatabase, project_id: str) -> list[tuple[str, int]]:
    return [(entry.kind, entry.amount) for entry in database.read(lambda tx: ledger.entries(tx, project_id))]


async def capped(ring: KeyRing, key: Key, cap: int, period: Period = "") -> Key:
    changed = msgspec.structs.replace(key, cap=cap, cap_period=period)
    await ring.change(changed)
    return changed


# -- one by one --


async def test_a_prepaid_project_cannot_hold_more_than_it_has(database: SqliteDatabase, prepaid_key: Key) -> None:
    await deposit(database, "prepaid", 100)
    await hold(database, prepaid_key, 60)
    with pytest.raises(InsufficientBalance, match=r"may cost \$0.00006 and \$0.00004 is free") as caught:
        await hold(database, prepaid_key, 60)
    assert (caught.value.needed, caught.value.available) == (60, 40)
    await hold(database, prepaid_key, 40)
    assert purse(database, "prepaid") == (100, 100)


async def test_a_postpaid_project_holds_without_limit(database: SqliteDatabase, key: Key) -> None:
    await hold(database, key, 10**9)
    assert purse(database, "default") == (0, 10**9)


async def test_what_costs_nothing_needs_no_balance(database: SqliteDatabase, ring: KeyRing, prepaid_key: Key) -> None:
    await hold(database, await capped(ring, prepaid_key, 0), 0)
    await database.write(lambda tx: ledger.append(tx, "prepaid", "correction", -5))
    await hold(database, prepaid_key, 0)
    assert purse(database, "prepaid") == (-5, 0)


@pytest.mark.parametrize(
    ("cost", "balance", "house"),
    [
        (0, 100, []),
        (30, 70, []),
        (60, 40, []),
        (75, 40, [("excess", -15)]),
        (None, 100, []),
    ],
)
async def test_a_prepaid_project_pays_its_hold_at_most(
    database: SqliteDatabase, prepaid_key: Key, cost: int | None, balance: int, house: list[tuple[str, int]]
) -> None:
    await deposit(database, "prepaid", 100)
    await hold(database, prepaid_key, 60)
    await settle(database, prepaid_key, 60, cost)
    assert purse(database, "prepaid") == (balance, 0)
    assert lines(database, HOUSE) == house


async def test_a_postpaid_project_pays_what_it_costs(database: SqliteDatabase, key: Key) -> None:
    await hold(database, key, 60)
    await settle(database, key, 60, 75)
    assert purse(database, "default") == (-75, 0)
    assert lines(database, HOUSE) == []


async def test_a_batch_that_would_overdraw_passes_as_far_as_the_money_goes(
    database: SqliteDatabase, prepaid_key: Key
) -> None:
    await deposit(database, "prepaid", 100)
    outcomes = await asyncio.gather(*(hold(database, prepaid_key, 30) for _ in range(50)), return_exceptions=True)
    assert outcomes[:3] == [None] * 3
    assert all(isinstance(outcome, InsufficientBalance) for outcome in outcomes[3:])
    assert purse(database, "prepaid") == (100, 90)


async def test_entries_and_sums(database: SqliteDatabase, key: Key) -> None:
    await deposit(database, "default", 100)
    await deposit(database, "default", -10)
    await settle(database, key, 0, 25)
    assert lines(database, "default") == [("charge", -25), ("correction", -10), ("deposit", 100)]
    assert database.read(lambda tx: ledger.sums(tx, "default")) == ledger.Sums(spent=25, deposited=90)
    assert database.read(lambda tx: ledger.share(tx, key.id)).spent == 25
    assert len(database.read(lambda tx: ledger.entries(tx, "default", limit=2))) == 2


async def test_what_is_taken_back_was_not_spent_and_did_not_come_in(database: SqliteDatabase, key: Key) -> None:
    await deposit(database, "default", 100)
    await settle(database, key, 0, 40)
    await database.write(lambda tx: ledger.take_back(tx, "default", key.id, "job_1", 40))
    await settle(database, key, 0, 25)
    assert database.read(lambda tx: ledger.sums(tx, "default")) == ledger.Sums(spent=25, deposited=100)
    assert database.read(lambda tx: ledger.share(tx, key.id)).spent == 25


async def test_a_project_that_is_not_there(database: SqliteDatabase, ring: KeyRing) -> None:
    with pytest.raises(NotFound, match="no project 'nobody'"):
        await database.write(lambda tx: ledger.append(tx, "nobody", "deposit", 1))
    with pytest.raises(NotFound):
        database.read(lambda tx: ledger.purse(tx, "nobody"))
    assert lines(database, "nobody") == []


async def test_a_deposit_is_entered_once(database: SqliteDatabase, ring: KeyRing) -> None:
    def enter(amount: int, reference: str) -> Callable[[Tx], bool]:
        return lambda tx: ledger.deposit(tx, "prepaid", amount, "wire", reference)

    assert await database.write(enter(100, "A_1"))
    assert not await database.write(enter(100, "A_1"))
    with pytest.raises(BadRequest, match=r"was entered as \$0.0001 before"):
        await database.write(enter(200, "A_1"))
    assert await database.write(enter(7, "AB1"))  # `_` stands for itself
    assert await database.write(enter(5, "a_1"))
    assert purse(database, "prepaid") == (112, 0)


async def test_what_is_held_cannot_be_taken_out(database: SqliteDatabase, prepaid_key: Key) -> None:
    await deposit(database, "prepaid", 100)
    await hold(database, prepaid_key, 60)
    with pytest.raises(BadRequest, match="spent or held"):
        await database.write(lambda tx: ledger.deposit(tx, "prepaid", -41))
    await deposit(database, "prepaid", -40)
    assert purse(database, "prepaid") == (60, 60)


async def test_a_postpaid_project_may_owe(database: SqliteDatabase, key: Key) -> None:
    await deposit(database, "default", -40)
    assert purse(database, "default") == (-40, 0)


async def test_a_debt_is_no_hold(database: SqliteDatabase, key: Key) -> None:
    """Of a project that became prepaid while it owed."""
    await deposit(database, "default", -40)
    await database.write(lambda tx: tx.run("UPDATE projects SET prepaid = ? WHERE id = 'default'", (True,)))
    assert await database.write(lambda tx: ledger.hold_again(tx, "default", key.id, 10)) == 0


# -- caps --


async def test_a_cap_counts_what_nothing_was_held_for(database: SqliteDatabase, ring: KeyRing, key: Key) -> None:
    key = await capped(ring, key, 100)
    await settle(database, key, 0, 60)
    with pytest.raises(CapReached):
        await hold(database, key, 41)


async def test_a_charge_that_is_taken_back_counts_no_more(database: SqliteDatabase, ring: KeyRing, key: Key) -> None:
    key = await capped(ring, key, 100)
    job = new_job(key, 50)
    await database.write(lambda tx: jobs.create(tx, job, key, []))
    await database.write(lambda tx: jobs.end(tx, job, JobState.UNCERTAIN, HouseError("who knows")))
    await database.write(lambda tx: jobs.resolve(tx, job.id, charge=True))
    await database.write(lambda tx: jobs.resurrect(tx, job, result(job), 20))
    assert purse(database, "default") == (-20, 0)
    assert database.read(lambda tx: ledger.share(tx, key.id)).cap_spent == 20


async def test_a_cap_counts_what_is_held_and_what_was_spent(database: SqliteDatabase, ring: KeyRing, key: Key) -> None:
    key = await capped(ring, key, 100)
    await hold(database, key, 60)
    with pytest.raises(CapReached, match=r"may spend \$0.0001; \$0.00004 is left and this request may cost \$0.00006"):
        await hold(database, key, 60)
    await settle(database, key, 60, 10)
    await hold(database, key, 90)
    with pytest.raises(CapReached) as caught:
        await hold(database, key, 1)
    assert (caught.value.needed, caught.value.available) == (1, 0)


async def test_a_cap_that_holds_leaves_nothing_behind_when_the_balance_does_not(
    database: SqliteDatabase, ring: KeyRing, prepaid_key: Key
) -> None:
    key = await capped(ring, prepaid_key, 100, "day")
    wrote: list[int] = []

    def try_to_hold(tx: Tx) -> None:
        before = database._writer.total_changes
        try:
            ledger.hold(At(tx, NOON), key, 50)
        finally:
            wrote.append(database._writer.total_changes - before)

    with pytest.raises(InsufficientBalance):
        await database.write(try_to_hold)
    assert wrote == [0]


@pytest.mark.parametrize(
    ("period", "now", "start"),
    [
        ("day", "2026-11-18 12:00", "2026-11-18"),
        ("day", "2026-11-18 00:00", "2026-11-18"),
        ("week", "2026-11-18 12:00", "2026-11-16"),
        ("week", "2026-11-16 00:00", "2026-11-16"),
        ("week", "2026-11-15 23:59", "2026-11-09"),
        ("week", "2027-01-01 00:00", "2026-12-28"),
        ("month", "2026-11-30 23:59", "2026-11-01"),
        ("month", "2028-02-29 08:00", "2028-02-01"),
        ("", "2026-11-18 12:00", "1970-01-01"),
    ],
)
def test_when_a_period_began(period: Period, now: str, start: str) -> None:
    def ms(text: str) -> int:
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)

    assert ledger.period_start_ms(period, ms(now)) == ms(start)


@pytest.mark.parametrize(("period", "days"), [("day", 1), ("week", 7), ("month", 31)])
async def test_a_cap_starts_anew_with_its_period(
    database: SqliteDatabase, ring: KeyRing, key: Key, period: Period, days: int
) -> None:
    key = await capped(ring, key, 100, period)
    await hold(database, key, 100)
    await settle(database, key, 100, 100)
    with pytest.raises(CapReached, match=f"a {period}"):
        await hold(database, key, 1, NOON + 1000)
    await hold(database, key, 100, NOON + days * DAY_MS)
    assert database.read(lambda tx: ledger.share(tx, key.id)).cap_spent == 0


async def test_a_hold_from_yesterday_still_counts_today(database: SqliteDatabase, ring: KeyRing, key: Key) -> None:
    key = await capped(ring, key, 100, "day")
    await hold(database, key, 70)
    with pytest.raises(CapReached):
        await hold(database, key, 40, NOON + DAY_MS)
    await hold(database, key, 30, NOON + DAY_MS)


async def test_a_clock_that_jumps_gives_no_second_cap(database: SqliteDatabase, ring: KeyRing, key: Key) -> None:
    key = await capped(ring, key, 100, "day")
    await hold(database, key, 100, NOON + DAY_MS)
    await settle(database, key, 100, 100)
    for now_ms in (NOON, NOON + DAY_MS, NOON - 30 * DAY_MS, NOON + DAY_MS + 1000):
        with pytest.raises(CapReached):
            await hold(database, key, 1, now_ms)
    await hold(database, key, 100, NOON + 2 * DAY_MS)


async def test_a_cap_that_is_set_later_counts_what_is_on_its_way(
    database: SqliteDatabase, ring: KeyRing, key: Key
) -> None:
    free = new_job(key, 80)
    await database.write(lambda tx: jobs.create(tx, free, key, []))
    strict = await capped(ring, key, 100)
    with pytest.raises(CapReached):
        await hold(database, strict, 30)
    other = new_job(key, 20)
    await database.write(lambda tx: jobs.create(tx, other, strict, []))
    await database.write(lambda tx: jobs.end(tx, free, JobState.FAILED, HouseError("no")))
    with pytest.raises(CapReached):
        await hold(database, strict, 81)  # the other's 20 are still held
    await hold(database, strict, 80)


async def test_a_cap_that_is_set_later_counts_what_nobody_has_decided_about(
    database: SqliteDatabase, ring: KeyRing, key: Key
) -> None:
    job = new_job(key, 80)
    await database.write(lambda tx: jobs.create(tx, job, key, []))
    await database.write(lambda tx: jobs.end(tx, job, JobState.UNCERTAIN, HouseError("who knows")))
    with pytest.raises(CapReached):
        await hold(database, await capped(ring, key, 100), 30)


async def test_a_late_picture_takes_nothing_from_the_holds_of_others(
    database: SqliteDatabase, ring: KeyRing, key: Key
) -> None:
    key = await capped(ring, key, 100)
    late, other = new_job(key, 50), new_job(key, 50)
    await database.write(lambda tx: jobs.create(tx, late, key, []))
    await database.write(lambda tx: jobs.end(tx, late, JobState.FAILED, HouseError("no")))
    await database.write(lambda tx: jobs.create(tx, other, key, []))
    await database.write(lambda tx: jobs.resurrect(tx, late, result(late), 20))
    with pytest.raises(CapReached) as caught:
        await hold(database, key, 31)  # 20 are spent, 50 are held
    assert caught.value.available == 30


async def test_a_late_picture_costs_no_more_than_is_left(database: SqliteDatabase, prepaid_key: Key) -> None:
    await deposit(database, "prepaid", 100)
    late, other = new_job(prepaid_key, 80), new_job(prepaid_key, 70)
    await database.write(lambda tx: jobs.create(tx, late, prepaid_key, []))
    await database.write(lambda tx: jobs.end(tx, late, JobState.FAILED, HouseError("no")))
    await database.write(lambda tx: jobs.create(tx, other, prepaid_key, []))
    came = await database.write(lambda tx: jobs.resurrect(tx, late, result(late), 80))
    assert came.cost == 30
    assert purse(database, "prepaid") == (70, 70)
    assert lines(database, HOUSE) == [("excess", -50)]


# -- in any order --


def new_job(key: Key, amount: int, worker_id: str = "wrk_1", job_id: str = "") -> Job:
    return Job(
        id=job_id or ids.new("job"),
        project_id=key.project.id,
        prepaid=key.project.prepaid,
        key_id=key.id,
        worker_id=worker_id,
        dialect="openai",
        model="fox",
        request=ImageRequest(model="fox"),
        request_hash="hash",
        hold=amount,
        created_ms=1,
    )


class Known(msgspec.Struct):
    """What the tests believe of a job."""

    prepaid: bool
    state: JobState = JobState.SUBMITTING
    epoch: int = 0
    cost: int | None = 0

    @property
    def open(self) -> bool:
        return self.state in (JobState.SUBMITTING, JobState.WAITING)


amounts = st.integers(0, 200)
OVER = [JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED, JobState.UNCERTAIN]


class Money(RuleBasedStateMachine):
    """Workers that settle, die, wake up and write too late; operators that deposit, decide and change caps."""

    def __init__(self, migrated: Path) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp())
        shutil.copy(migrated, self.folder / "pictura.db")
        self.now_ms = NOON
        self.workers = 1
        self.known: dict[str, Known] = {}
        #: Every job as some worker has it in memory, the dead ones' as well.
        self.hands: list[Job] = []
        self.ticks = 0
        self.submitted = 0
        self.open()
        self.runner.run(make_project(self.database, Project("postpaid", "Postpaid")))
        self.runner.run(make_project(self.database, Project("prepaid", "Prepaid", prepaid=True)))
        self.keys = {
            name: self.runner.run(self.ring.make(msgspec.structs.replace(key, name=name)))[0]
            for name, key in {
                "postpaid": Key(id="", name="", project=Project("postpaid", "")),
                "prepaid": Key(id="", name="", project=Project("prepaid", "", prepaid=True)),
                "capped": Key(id="", name="", project=Project("prepaid", "", prepaid=True), cap=300, cap_period="day"),
            }.items()
        }
        self.deposit(500)

    def open(self) -> None:
        self.database = SqliteDatabase(self.folder / "pictura.db")
        self.ring = KeyRing(self.database, Vault(b"secret"))
        self.ring.load()

    def teardown(self) -> None:
        self.runner.run(self.database.close())
        self.runner.close()
        shutil.rmtree(self.folder)

    def write(self, work: Callable[[Tx], T]) -> T:
        return self.runner.run(self.database.write(lambda tx: work(At(tx, self.now_ms))))

    def attempt(self, work: Callable[[Tx], object], *, expected: bool) -> bool:
        """`work`, which is to pass or to be refused as coming too late."""
        try:
            self.write(work)
        except Superseded:
            assert not expected
            return False
        assert expected
        return True

    @rule(amount=st.integers(1, 500))
    def deposit(self, amount: int) -> None:
        self.write(lambda tx: ledger.deposit(tx, "prepaid", amount))

    @rule(amount=st.integers(1, 500))
    def take_out(self, amount: int) -> None:
        free = self.database.read(lambda tx: ledger.purse(tx, "prepaid")).available
        try:
            self.write(lambda tx: ledger.deposit(tx, "prepaid", -amount))
        except BadRequest:
            assert amount > free

    @rule(days=st.integers(-3, 3), minutes=st.integers(0, 1440))
    def let_the_clock_jump(self, days: int, minutes: int) -> None:
        self.now_ms += days * DAY_MS + minutes * 60_000

    @rule(cap=st.none() | amounts, period=st.sampled_from(["", "day", "week", "month"]))
    def change_the_cap(self, cap: int | None, period: Period) -> None:
        self.keys["capped"] = msgspec.structs.replace(self.keys["capped"], cap=cap, cap_period=period)
        self.runner.run(self.ring.change(self.keys["capped"]))

    @rule(name=st.sampled_from(["postpaid", "prepaid", "capped"]), amount=amounts)
    def submit(self, name: str, amount: int) -> None:
        key = self.keys[name]
        # Ids that are the same in every run: jobs are taken over in their order.
        self.submitted += 1
        job = new_job(key, amount, f"wrk_{self.workers}", f"job_{self.submitted:026d}")
        free = self.database.read(lambda tx: ledger.purse(tx, key.project.id)).available
        try:
            self.write(lambda tx: jobs.create(tx, job, key, []))
        except CapReached:
            assert key.cap is not None
            return
        except InsufficientBalance:
            assert key.project.prepaid
            assert free < amount
            return
        assert free >= amount or not key.project.prepaid or not amount
        self.known[job.id] = Known(key.project.prepaid)
        self.hands.append(job)
        self._cap_is_kept(key, amount)

    def _cap_is_kept(self, key: Key, amount: int) -> None:
        if key.cap is None or not amount:
            return
        row = self.database.read(lambda tx: tx.one("SELECT cap_spent, cap_held FROM keys WHERE id = ?", (key.id,)))
        assert row is not None
        assert sum(row) <= key.cap

    def ours(self, job: Job) -> bool:
        return self.known[job.id].open and self.known[job.id].epoch == job.epoch

    def pick(self, data: st.DataObject, likely: Callable[[Job], bool]) -> Job:
        """Mostly a job with which this can be done, now and then any."""
        jobs = [job for job in self.hands if likely(job)]
        any_of_them = data.draw(st.sampled_from([False, False, False, True])) or not jobs
        return data.draw(st.sampled_from(self.hands if any_of_them else jobs))

    @precondition(lambda self: self.hands)
    @rule(data=st.data())
    def save_a_task(self, data: st.DataObject) -> None:
        job = self.pick(data, self.ours)

        def work(tx: Tx) -> None:
            jobs.begin_attempt(tx, job, Attempt(number=self.tick(), part=0, pictures=1, channel="a", client_id="t"))
            jobs.save_pending(tx, job, self.ticks, "{}")

        if self.attempt(work, expected=self.ours(job)):
            self.known[job.id].state = JobState.WAITING

    def tick(self) -> int:
        self.ticks += 1
        return self.ticks

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), cost=st.none() | amounts | st.just(-1))
    def succeed(self, data: st.DataObject, cost: int | None) -> None:
        """-1: exactly the hold."""
        job = self.pick(data, self.ours)
        real = job.hold if cost == -1 else cost
        if self.attempt(lambda tx: jobs.succeed(tx, job, result(job), real), expected=self.ours(job)):
            self.known[job.id].state = JobState.SUCCEEDED
            self.known[job.id].cost = real

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), state=st.sampled_from(OVER))
    def end(self, data: st.DataObject, state: JobState) -> None:
        job = self.pick(data, self.ours)
        expected = self.ours(job)
        if self.attempt(lambda tx: jobs.end(tx, job, state, HouseError("no")), expected=expected):
            self.known[job.id].state = state

    def is_over(self, job: Job) -> bool:
        return self.known[job.id].state in (JobState.FAILED, JobState.UNCERTAIN)

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), cost=st.none() | amounts)
    def come_late(self, data: st.DataObject, cost: int | None) -> None:
        job = self.pick(data, self.is_over)
        expected = self.is_over(job)
        if self.attempt(lambda tx: jobs.resurrect(tx, job, result(job), cost), expected=expected):
            self.known[job.id].state = JobState.SUCCEEDED
            self.known[job.id].cost = cost

    @precondition(lambda self: self.hands)
    @rule(data=st.data(), charge=st.booleans())
    def decide(self, data: st.DataObject, charge: bool) -> None:
        job = self.pick(data, self.is_over)
        known = self.known[job.id]
        try:
            self.write(lambda tx: jobs.resolve(tx, job.id, charge=charge))
        except BadRequest:
            assert known.state is not JobState.UNCERTAIN
            return
        assert known.state is JobState.UNCERTAIN
        known.state = JobState.FAILED

    @rule(crash=st.booleans())
    def take_over(self, crash: bool) -> None:
        """Another worker goes on; the hands of the dead one may still move."""
        if crash:
            self.runner.run(self.database.close())
            self.open()
        dead, self.workers = f"wrk_{self.workers}", self.workers + 1
        taken = self.write(lambda tx: jobs.take_over(tx, dead, f"wrk_{self.workers}"))
        assert {job.id for job in taken} == {job_id for job_id, known in self.known.items() if known.open}
        for job in taken:
            self.known[job.id].epoch += 1
            assert job.epoch == self.known[job.id].epoch
        self.hands += taken

    # -- what is always true --

    def rows(self, sql: str) -> list[Row]:
        return self.database.read(lambda tx: tx.all(sql))

    @invariant()
    def balances_are_the_sums_of_their_entries(self) -> None:
        for balance, entries in self.rows(
            "SELECT balance, (SELECT coalesce(sum(amount), 0) FROM ledger WHERE project_id = p.id) FROM projects p"
        ):
            assert balance == entries

    @invariant()
    def what_is_held_is_the_sum_of_the_holds(self) -> None:
        holds = "SELECT coalesce(sum(hold), 0) FROM jobs WHERE (finished_ms IS NULL OR state = 'uncertain')"
        for held, expected in [
            *self.rows(f"SELECT held, ({holds} AND project_id = p.id) FROM projects p"),
            *self.rows(f"SELECT cap_held, ({holds} AND key_id = k.id) FROM keys k WHERE cap IS NOT NULL"),
        ]:
            assert held == expected

    @invariant()
    def prepaid_projects_owe_nothing(self) -> None:
        for free in self.rows("SELECT balance - held FROM projects WHERE prepaid"):
            assert free[0] >= 0

    @invariant()
    def every_job_is_as_believed_and_paid_once(self) -> None:
        found = self.rows(
            "SELECT id, state, epoch, hold, cost, finished_ms IS NULL, (SELECT coalesce(-sum(amount), 0) FROM ledger "
            "WHERE job_id = j.id AND project_id = j.project_id), (SELECT coalesce(-sum(amount), 0) FROM ledger WHERE "
            f"job_id = j.id AND project_id = '{HOUSE}'), (SELECT count(*) FROM assets WHERE job_id = j.id) FROM jobs j"
        )
        assert {row[0] for row in found} == set(self.known)
        for job_id, state, _, hold, cost, is_open, paid, excess, pictures in found:
            known = self.known[job_id]
            assert state == known.state
            assert bool(is_open) == known.open
            assert paid == (cost or 0)
            assert excess >= 0
            assert pictures == (state == JobState.SUCCEEDED)
            if known.prepaid:
                assert paid <= hold
            if state == JobState.SUCCEEDED:
                assert paid + excess == (known.cost or 0)


def result(job: Job) -> ImageResult:
    return ImageResult(created_ms=1, pictures=(Delivered(key=f"out/2026-11-18/{job.id}-0-0.png"),))


def test_money_adds_up_whatever_happens(migrated: Path) -> None:
    run_state_machine_as_test(
        partial(Money, migrated),  # type: ignore[arg-type]
        settings=settings(
            max_examples=150, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
