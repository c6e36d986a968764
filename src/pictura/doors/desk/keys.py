"""Keys: list, make, change, disable, enable. Their texts are shown once, when they are made."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import msgspec
from msgspec import UNSET

from pictura.core.errors import BadRequest, NotFound
from pictura.doors.desk.act import Act, dollars, micros, moment
from pictura.doors.desk.shapes import KeyChange, KeyShown, MadeKey, NewKey, Nothing, OfProject, Page
from pictura.infra.db import Tx
from pictura.store import ledger
from pictura.store.keys import Key, Project, check_networks, projects

#: Fields of a request that are a key's own fields as they are.
_SAME = ("name", "kind", "scopes", "dialect", "models", "networks", "requests_per_minute", "concurrency", "cap_period")


async def listed(act: Act, asked: OfProject) -> Page[KeyShown]:
    keys = [key for key in act.house.keys.all() if asked.project in ("", key.project.id)]
    return Page(await act.house.database.browse(lambda tx: [_shown(tx, key) for key in keys]))


async def create(act: Act, wanted: NewKey) -> MadeKey:
    fields = _fields(act, wanted)
    key = msgspec.structs.replace(Key(id="", project=_project(act, wanted.project), name=wanted.name), **fields)
    made, text = await act.house.keys.make(key, wanted.text)
    await act.noted("make key", made.id, _detail(fields))
    return MadeKey(text, _show(act, made))


async def change(act: Act, wanted: KeyChange) -> KeyShown:
    fields = _fields(act, wanted)
    key = msgspec.structs.replace(_named(act), **fields)
    _check_way_back(act, key)
    await act.house.keys.change(key)
    await act.noted("change key", key.id, _detail(fields))
    return _show(act, key)


async def disable(act: Act, _: Nothing) -> KeyShown:
    key = _named(act)
    _check_way_back(act, msgspec.structs.replace(key, disabled_ms=1))
    await act.house.keys.disable(key.id)
    await act.noted("disable key", key.id)
    return _show(act, _named(act))


async def enable(act: Act, _: Nothing) -> KeyShown:
    key = msgspec.structs.replace(_named(act), disabled_ms=None)
    await act.house.keys.change(key)
    await act.noted("enable key", key.id)
    return _show(act, key)


def _named(act: Act) -> Key:
    return act.house.keys.by_id(act.place["id"])


def _project(act: Act, project_id: str) -> Project:
    found = {project.id: project for project in act.house.database.read(projects)}
    if project_id not in found:
        raise NotFound(f"there is no project {project_id[:60]!r}; there are: {', '.join(found)}", param="project")
    return found[project_id]


def _fields(act: Act, wanted: NewKey | KeyChange) -> dict[str, object]:
    """What is said of a key, in the house's words."""
    said = msgspec.structs.asdict(wanted)
    fields = {name: said[name] for name in _SAME if said.get(name, UNSET) is not UNSET}
    if wanted.dialect and wanted.dialect not in act.house.dialects:
        known = ", ".join(act.house.dialects)
        raise BadRequest(f"dialect {wanted.dialect!r} is not spoken here; there are: {known}", param="dialect")
    if wanted.networks is not UNSET:
        check_networks(wanted.networks)
    if wanted.cap is not UNSET:
        fields["cap"] = None if wanted.cap is None else _cap(wanted.cap)
    if wanted.expires is not UNSET:
        fields["expires_ms"] = None if wanted.expires is None else _expiry_ms(wanted.expires)
    return fields


def _cap(text: str) -> int:
    cap = micros(text, "cap")
    if cap < 0:
        raise BadRequest("cap is below zero; null takes it away", param="cap")
    return cap


def _expiry_ms(expires: datetime) -> int:
    if expires <= datetime.now(UTC):
        raise BadRequest(
            f"expires is {expires.isoformat()}, which is past; name a later moment, or disable the key", param="expires"
        )
    return int(expires.timestamp() * 1000)


def _check_way_back(act: Act, changed: Key) -> None:
    """Nobody locks himself out: a key with the scope `admin` stays that is let in from where this is asked, and one
    without an end where there was one.
    """
    now_ms = time.time_ns() // 1_000_000
    before = [key for key in act.house.keys.all() if _opens(key, act.address, now_ms)]
    after = [key for key in _replaced(act, changed) if _opens(key, act.address, now_ms)]
    if not after or (_any_lasts(before) and not _any_lasts(after)):
        raise BadRequest(
            "this is the last key that may administer this house from where you are, without an end; make another one "
            "first: pictura keys new NAME --admin"
        )


def _replaced(act: Act, changed: Key) -> list[Key]:
    return [changed if key.id == changed.id else key for key in act.house.keys.all()]


def _opens(key: Key, address: str, now_ms: int) -> bool:
    """May it administer this house now, from this address?"""
    works = key.disabled_ms is None and (key.expires_ms is None or key.expires_ms > now_ms)
    return works and "admin" in key.scopes and key.may_come_from(address)


def _any_lasts(keys: list[Key]) -> bool:
    return any(key.expires_ms is None for key in keys)


def _detail(fields: dict[str, object]) -> str:
    return msgspec.json.encode(fields).decode()


def _show(act: Act, key: Key) -> KeyShown:
    return act.house.database.read(lambda tx: _shown(tx, key))


def _shown(tx: Tx, key: Key) -> KeyShown:
    share = ledger.share(tx, key.id)
    fresh = share.cap_started_ms >= ledger.period_start_ms(key.cap_period, tx.now_ms())
    return KeyShown(
        id=key.id,
        project=key.project.id,
        name=key.name,
        hint=key.hint,
        kind=key.kind,
        scopes=key.scopes,
        dialect=key.dialect,
        models=key.models,
        networks=key.networks,
        requests_per_minute=key.requests_per_minute,
        concurrency=key.concurrency,
        cap=None if key.cap is None else dollars(key.cap),
        cap_period=key.cap_period,
        cap_spent=dollars(share.cap_spent if fresh else 0),
        spent=dollars(share.spent),
        requests=share.requests,
        created=moment(key.created_ms),
        expires=None if key.expires_ms is None else moment(key.expires_ms),
        disabled=None if key.disabled_ms is None else moment(key.disabled_ms),
    )
