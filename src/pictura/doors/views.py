"""What dialects are shown: the catalogue, accounts and jobs, as one caller may see them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from pictura.core import ids
from pictura.core.errors import Unauthorized
from pictura.core.views import Account, Call, JobView, KeyUsage, ModelView
from pictura.dialects.base import Verb
from pictura.doors.house import House
from pictura.infra.db import Tx
from pictura.store import jobs, ledger
from pictura.store.catalog import Listing
from pictura.store.keys import Key

#: Use counts are read anew after this long: counting walks over all jobs.
USES_FOR_S = 60.0

_NO_KEY = "this needs an API key: send it as Authorization: Bearer <key>"


class Views:
    def __init__(self, house: House) -> None:
        self._house = house
        self._uses: dict[str, int] = {}
        self._uses_until = 0.0

    async def of(self, verb: Verb, call: Call, key: Key | None) -> tuple[object, ...]:
        """What a route of this kind is handed. Raises UnknownModel, NotFound."""
        if verb is Verb.CATALOGUE:
            return (await self.catalogue(key),)
        if verb is Verb.MODEL:
            return (await self.model(call.place["id"], key),)
        if verb is Verb.PLAIN:
            return (None,)
        if key is None:
            raise Unauthorized(_NO_KEY)
        if verb is Verb.ACCOUNT:
            return (await self.account(key),)
        raise TypeError(f"there is no view for {verb}")

    def job(self, call: Call, key: Key | None) -> JobView:
        """Raises UnknownJob, for another project's too."""
        if key is None:
            raise Unauthorized(_NO_KEY)
        return self._house.gateway.get(ids.check(call.place["id"], "id"), key.project.id)

    async def catalogue(self, key: Key | None) -> list[ModelView]:
        uses = await self._counted()
        return [_model(listing, uses) for listing in self._house.planner.listings(key)]

    async def model(self, name: str, key: Key | None) -> ModelView:
        return _model(self._house.planner.find(name, key), await self._counted())

    async def account(self, key: Key) -> Account:
        return await self._house.database.browse(lambda tx: _account(tx, key, self._house.keys.all()))

    async def _counted(self) -> dict[str, int]:
        if time.monotonic() > self._uses_until:
            self._uses = await self._house.database.browse(jobs.uses)
            self._uses_until = time.monotonic() + USES_FOR_S
        return self._uses


def _model(listing: Listing, uses: dict[str, int]) -> ModelView:
    card = listing.card
    return ModelView(card, (listing.provider,), uses.get(card.id, 0), _seconds(card.released))


def _seconds(date: str) -> int:
    try:
        return int(datetime.strptime(date, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
    except ValueError:
        return 0


def _account(tx: Tx, asking: Key, keys: list[Key]) -> Account:
    purse = ledger.purse(tx, asking.project.id)
    sums = ledger.sums(tx, asking.project.id)
    return Account(
        balance=purse.balance if purse.prepaid else None,
        available=purse.available if purse.prepaid else None,
        spent=sums.spent,
        deposited=sums.deposited,
        keys=tuple(_usage(tx, key) for key in keys if key.project.id == asking.project.id),
        asking=asking.id,
    )


def _usage(tx: Tx, key: Key) -> KeyUsage:
    share = ledger.share(tx, key.id)
    return KeyUsage(
        id=key.id,
        name=key.name,
        spent=share.spent,
        requests=share.requests,
        created_s=key.created_ms // 1000,
        active=key.disabled_ms is None,
        cap=key.cap,
        cap_period=key.cap_period,
        cap_spent=share.cap_spent,
        cap_started_s=share.cap_started_ms // 1000,
        expires_s=None if key.expires_ms is None else key.expires_ms // 1000,
        models=tuple(key.models or ()),
    )
