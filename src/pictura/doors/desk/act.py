"""One act of an administrator: in which house, with which key, on what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from pictura.core.errors import BadRequest
from pictura.core.money import MICROS_PER_USD, usd
from pictura.doors.house import House
from pictura.infra.db import Tx
from pictura.store import audit
from pictura.store.keys import Key

_AMOUNT = re.compile(r"[+-]?[0-9]{1,9}(\.[0-9]{1,6})?")


class Act(msgspec.Struct, frozen=True):
    """`place`: the path's own variables; `base_url`: what the URLs of pictures begin with for this caller, who is at
    `address`.
    """

    house: House
    key: Key
    base_url: str
    address: str
    place: Mapping[str, str] = {}

    def note(self, tx: Tx, action: str, subject: str, detail: str = "") -> None:
        """Into the audit trail, within the transaction that does it."""
        audit.note(tx, self.key.id, action, subject, detail)

    async def noted(self, action: str, subject: str, detail: str = "") -> None:
        """Into the audit trail, after it was done."""
        await self.house.database.write(lambda tx: self.note(tx, action, subject, detail))


def micros(text: str, param: str) -> int:
    """Micro-USD of dollars as text. Raises BadRequest."""
    if not _AMOUNT.fullmatch(text):
        raise BadRequest(f'{param} {text[:40]!r} is not an amount in dollars; write it like "12.50"', param=param)
    return usd(text)


def dollars(amount: int) -> str:
    """Dollars as text, at least two decimals: what `micros` reads."""
    text = f"{Decimal(amount) / MICROS_PER_USD:.6f}".rstrip("0")
    return text + "0" * (2 - len(text.partition(".")[2]))


def moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
