"""Money: an append-only ledger, and holds on top of it. Everything here runs inside the caller's transaction.

Two sums are kept beside the entries and never drift, because they change in the same transaction: a project's
`balance` is the sum of its entries, its `held` the sum of the holds of its open jobs. A prepaid project's
`balance - held` is never below zero.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from pictura.core.errors import BadRequest, CapReached, InsufficientBalance, NotFound
from pictura.core.money import show
from pictura.infra.db import Tx
from pictura.store.keys import Key, Period

#: The project on whose account the house pays what it may not charge.
HOUSE = "house"


class Entry(msgspec.Struct, frozen=True):
    """One line: `amount` micro-USD, positive into the account. `kind`: deposit, charge, correction, excess."""

    id: int
    project_id: str
    key_id: str
    job_id: str
    kind: str
    amount: int
    note: str
    at_ms: int


class Purse(msgspec.Struct, frozen=True):
    """A project's money, micro-USD."""

    balance: int
    held: int
    prepaid: bool

    @property
    def available(self) -> int:
        return self.balance - self.held


class Sums(msgspec.Struct, frozen=True):
    """A project's entries, summed, micro-USD: what jobs did cost, less what was taken back, and all that came in."""

    spent: int
    deposited: int


class Share(msgspec.Struct, frozen=True):
    """One key's part of its project's spending; `cap_spent` since `cap_started_ms`."""

    spent: int
    requests: int
    cap_spent: int
    cap_started_ms: int


def hold(tx: Tx, key: Key, amount: int) -> None:
    """Set `amount` aside. Raises InsufficientBalance or CapReached, having written nothing."""
    if not amount:
        return
    period_ms = None if key.cap is None else _check_cap(tx, key, amount)
    if key.project.prepaid:
        changed = tx.run(
            "UPDATE projects SET held = held + ? WHERE id = ? AND balance - held >= ?", (amount, key.project.id, amount)
        )
        if not changed:
            raise _too_little(purse(tx, key.project.id).available, amount)
    else:
        tx.run("UPDATE projects SET held = held + ? WHERE id = ?", (amount, key.project.id))
    if period_ms is not None:
        tx.run(
            "UPDATE keys SET cap_held = cap_held + ?, "
            "cap_spent = CASE WHEN cap_started_ms < ? THEN 0 ELSE cap_spent END, "
            "cap_started_ms = CASE WHEN cap_started_ms < ? THEN ? ELSE cap_started_ms END WHERE id = ?",
            (amount, period_ms, period_ms, period_ms, key.id),
        )


def hold_again(tx: Tx, project_id: str, key_id: str, amount: int) -> int:
    """Set `amount` aside once more, or what a prepaid project still has of it. Gives what was held."""
    found = purse(tx, project_id)
    held = max(0, min(amount, found.available)) if found.prepaid else amount
    tx.run("UPDATE projects SET held = held + ? WHERE id = ?", (held, project_id))
    tx.run("UPDATE keys SET cap_held = cap_held + ? WHERE id = ? AND cap IS NOT NULL", (held, key_id))
    return held


def chargeable(prepaid: bool, held: int, cost: int | None) -> int | None:
    """What may be charged: a prepaid project pays at most its hold. None where nobody knows the cost."""
    return min(cost, held) if prepaid and cost is not None else cost


def settle(
    tx: Tx, project_id: str, key_id: str, job_id: str, *, held: int, cost: int | None, charged: int | None
) -> None:
    """End a hold: charge `charged`, put the rest of `cost` on the house's account, give back what is left."""
    if charged:
        append(tx, project_id, "charge", -charged, key_id=key_id, job_id=job_id)
    if cost is not None and charged is not None and cost > charged:
        append(tx, HOUSE, "excess", charged - cost, job_id=job_id, note=f"cost {show(cost)}, held {show(held)}")
    _release(tx, project_id, key_id, held, charged or 0)


def release(tx: Tx, project_id: str, key_id: str, held: int) -> None:
    """End a hold without a charge."""
    _release(tx, project_id, key_id, held, 0)


def take_back(tx: Tx, project_id: str, key_id: str, job_id: str, charged: int) -> None:
    """Undo a charge that turned out to be too early: what it was for is about to be settled anew."""
    append(tx, project_id, "correction", charged, key_id=key_id, job_id=job_id, note="charged before its picture came")
    _release(tx, project_id, key_id, 0, -charged)


def deposit(tx: Tx, project_id: str, amount: int, note: str = "", reference: str = "") -> bool:
    """Enter money that came in, or a correction (a negative amount). False: this reference was entered before.

    Raises NotFound, and BadRequest where the reference stood for another amount, or where a prepaid project's holds
    would no longer fit into its balance.
    """
    found = purse(tx, project_id)
    known = _entered(tx, project_id, reference) if reference else None
    if known is not None and known != amount:
        raise BadRequest(f"reference {reference!r} was entered as {show(known)} before", param="reference")
    if known is not None:
        return False
    if found.prepaid and found.available + amount < 0:
        raise BadRequest(f"only {show(found.available)} is free: the rest is spent or held by jobs", param="amount")
    whole = f"{note} [{reference}]".lstrip() if reference else note
    append(tx, project_id, "deposit" if amount > 0 else "correction", amount, note=whole)
    return True


def append(
    tx: Tx, project_id: str, kind: str, amount: int, *, key_id: str = "", job_id: str = "", note: str = ""
) -> None:
    """Write an entry and move the balance with it."""
    tx.run(
        "INSERT INTO ledger (project_id, key_id, job_id, kind, amount, note, at_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (project_id, key_id, job_id, kind, amount, note, tx.now_ms()),
    )
    if project_id != HOUSE and not tx.run(
        "UPDATE projects SET balance = balance + ? WHERE id = ?", (amount, project_id)
    ):
        raise NotFound(f"there is no project {project_id!r}")


def purse(tx: Tx, project_id: str) -> Purse:
    row = tx.one("SELECT balance, held, prepaid FROM projects WHERE id = ?", (project_id,))
    if row is None:
        raise NotFound(f"there is no project {project_id!r}")
    return Purse(row[0], row[1], bool(row[2]))


def entries(tx: Tx, project_id: str, limit: int = 100) -> list[Entry]:
    """The newest first."""
    rows = tx.all(
        "SELECT id, project_id, key_id, job_id, kind, amount, note, at_ms FROM ledger "
        "WHERE project_id = ? ORDER BY id DESC LIMIT ?",
        (project_id, limit),
    )
    return [Entry(*row) for row in rows]


def sums(tx: Tx, project_id: str) -> Sums:
    row = tx.one(
        "SELECT coalesce(sum(CASE WHEN job_id <> '' THEN -amount ELSE 0 END), 0), "
        "coalesce(sum(CASE WHEN job_id = '' THEN amount ELSE 0 END), 0) FROM ledger WHERE project_id = ?",
        (project_id,),
    )
    return Sums(*row) if row else Sums(0, 0)


def share(tx: Tx, key_id: str) -> Share:
    row = tx.one(
        "SELECT (SELECT coalesce(-sum(l.amount), 0) FROM ledger l WHERE l.project_id = k.project_id AND "
        "l.key_id = k.id AND l.job_id <> ''), (SELECT count(*) FROM jobs j WHERE j.project_id = k.project_id AND "
        "j.key_id = k.id), k.cap_spent, k.cap_started_ms FROM keys k WHERE k.id = ?",
        (key_id,),
    )
    return Share(*row) if row else Share(0, 0, 0, 0)


def period_start_ms(period: Period, now_ms: int) -> int:
    """When the present day, week (from Monday) or month began, UTC; 0 for a cap that never starts anew."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        start = day
    elif period == "week":
        start = day - timedelta(days=day.weekday())
    elif period == "month":
        start = day.replace(day=1)
    else:
        return 0
    return int(start.timestamp() * 1000)


def _entered(tx: Tx, project_id: str, reference: str) -> int | None:
    """What was entered under this reference: it ends the entry's note, in brackets."""
    ending = f"[{reference}]"
    rows = tx.all(
        "SELECT amount, note FROM ledger WHERE project_id = ? AND kind IN ('deposit', 'correction') AND note LIKE ?",
        (project_id, f"%{ending}"),
    )
    # Compared once more, letter by letter: LIKE takes capitals for small letters and `_` for anything.
    return next((amount for amount, note in rows if note.endswith(ending)), None)


def _check_cap(tx: Tx, key: Key, amount: int) -> int:
    """When the cap's present period began. Raises CapReached."""
    assert key.cap is not None
    start = period_start_ms(key.cap_period, tx.now_ms())
    row = tx.one("SELECT cap_spent, cap_held, cap_started_ms FROM keys WHERE id = ?", (key.id,))
    spent, held, started = row if row is not None else (0, 0, 0)
    left = key.cap - held - (0 if started < start else spent)
    if left < amount:
        raise CapReached(
            f"this key may spend {show(key.cap)}{_per(key.cap_period)}; {show(max(0, left))} is left and this request "
            f"may cost {show(amount)}",
            needed=amount,
            available=max(0, left),
        )
    return start


def _per(period: Period) -> str:
    return f" a {period}" if period else ""


def _release(tx: Tx, project_id: str, key_id: str, held: int, charged: int) -> None:
    if held:
        tx.run("UPDATE projects SET held = held - ? WHERE id = ?", (held, project_id))
    if held or charged:
        tx.run(
            "UPDATE keys SET cap_held = max(0, cap_held - ?), cap_spent = cap_spent + ? "
            "WHERE id = ? AND cap IS NOT NULL",
            (held, charged, key_id),
        )


def _too_little(available: int, needed: int) -> InsufficientBalance:
    return InsufficientBalance(
        f"the balance does not suffice: this request may cost {show(needed)} and {show(max(0, available))} is free; "
        "top up, or ask for fewer or smaller pictures",
        needed=needed,
        available=max(0, available),
    )
