"""The admin API over real HTTP: who may use it, what it does, what wrong requests get, and that secrets stay inside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
import pytest_asyncio

from pictura.core.datasheet import Rate
from pictura.core.errors import Rejected
from pictura.core.model import Span
from pictura.core.money import Currency, usd
from pictura.doors.desk.shapes import (
    Balance,
    Cancelled,
    ChannelShown,
    JobShown,
    KeyShown,
    MadeKey,
    ModelShown,
    Native,
    Notice,
    Page,
    ProjectShown,
    Report,
)
from pictura.infra.config import JobSettings
from pictura.infra.db import Tx
from pictura.store import ledger
from tests.doors.door import (
    ADMIN,
    GENERATIONS,
    GENERIC,
    LIVE,
    MODEL,
    PRICE,
    SHARED,
    STUDIO,
    TEST,
    Answer,
    Door,
    look,
    open_door,
)
from tests.upstream import KEY, Upstream, reset_after_reading, when

pytestmark = pytest.mark.asyncio(loop_scope="module")

T = TypeVar("T")
SECRET = "sk-secret-of-a-channel-0123456789"


class Wrong(msgspec.Struct, forbid_unknown_fields=True):
    code: str
    message: str
    param: str | None
    request_id: str


class Envelope(msgspec.Struct, forbid_unknown_fields=True):
    error: Wrong


def wrong(answer: Answer) -> Wrong:
    return msgspec.json.decode(answer.body, type=Envelope).error


async def send(door: Door, method: str, path: str, body: object = None, key: str = ADMIN) -> Answer:
    if body is None:
        return await door.send(method, "/api" + path, key=key)
    whole = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return await door.send(method, "/api" + path, whole, key=key, headers={"Content-Type": "application/json"})


async def act(door: Door, method: str, path: str, kind: type[T], body: object = None) -> T:
    """What an administrator is told, where all goes well."""
    answer = await send(door, method, path, body)
    assert answer.status in (200, 201), answer.body
    return msgspec.json.decode(answer.body, type=kind)


async def make_key(door: Door, **fields: object) -> MadeKey:
    return await act(door, "POST", "/keys", MadeKey, {"name": "a client", "project": STUDIO, **fields})


async def draws(door: Door, key: str, model: str = MODEL) -> int:
    """The status of an attempt to draw."""
    return (await door.ask({"model": model, "prompt": "a fox"}, key=key)).status


async def newest_notice(door: Door) -> Notice:
    return (await act(door, "GET", "/notices?limit=1", Page[Notice])).data[0]


async def actor(door: Door) -> str:
    """The id of the key with which this file acts."""
    return door.house.guard.identify(ADMIN, "127.0.0.1").id


# -- who may, and what wrong requests get --


@pytest.mark.parametrize("path", ["/keys", "/doctor", "/jobs/job_1", "/nowhere"])
@pytest.mark.parametrize(
    ("key", "status", "code"),
    [
        ("", 401, "unauthorized"),
        ("sk-pic-nobody", 401, "unauthorized"),
        (LIVE, 403, "forbidden"),
        (TEST, 403, "forbidden"),
    ],
)
async def test_only_an_admin_key_opens_it(door: Door, path: str, key: str, status: int, code: str) -> None:
    answer = await send(door, "GET", path, key=key)
    assert (answer.status, wrong(answer).code) == (status, code)
    assert answer.headers["x-request-id"] == wrong(answer).request_id


async def test_a_refused_body_is_not_acted_upon(door: Door) -> None:
    before = len(door.house.keys.all())
    assert (await send(door, "POST", "/keys", {"name": "mine", "scopes": ["admin"]}, key=LIVE)).status == 403
    assert len(door.house.keys.all()) == before


async def test_every_answer_carries_a_request_id_and_is_kept_nowhere(door: Door) -> None:
    answer = await send(door, "GET", "/keys")
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "param", "says"),
    [
        ("GET", "/nowhere", None, 404, None, "there is no GET /api/nowhere"),
        ("PUT", "/keys", None, 404, None, "use GET or POST"),
        ("DELETE", "/jobs/job_1", None, 404, None, "use GET"),
        ("GET", "/keys?limit=many", None, 400, "limit", "int"),
        ("GET", "/keys?colour=red", None, 400, "colour", "unknown field"),
        ("GET", "/jobs?limit=0", None, 400, "limit", ">= 1"),
        ("GET", "/jobs?before=nope", None, 400, "before", "job_"),
        ("GET", "/jobs?before=job_NOPE", None, 400, "before", "job_"),
        ("POST", "/keys", b"", 400, None, "empty"),
        ("POST", "/keys", b"{", 400, None, "not valid JSON"),
        ("POST", "/keys", b"[]", 400, None, "JSON object"),
        ("POST", "/keys", b"[" * 10_000, 400, None, "deep"),
        ("POST", "/keys", {}, 400, "name", "missing required field"),
        ("POST", "/keys", {"name": ""}, 400, "name", "length >= 1"),
        ("POST", "/keys", {"name": "x" * 70_000}, 413, None, "65536"),
        ("POST", "/keys", {"name": "x", "colour": "red"}, 400, "colour", "unknown field"),
        ("POST", "/keys", {"name": "x", "kind": "real"}, 400, "kind", "real"),
        ("POST", "/keys", {"name": "x", "scopes": []}, 400, "scopes", "length >= 1"),
        ("POST", "/keys", {"name": "x", "scopes": ["root"]}, 400, "scopes[0]", "root"),
        ("POST", "/keys", {"name": "x", "concurrency": -1}, 400, "concurrency", ">= 0"),
        ("POST", "/keys", {"name": "x", "cap": "a lot"}, 400, "cap", "12.50"),
        ("POST", "/keys", {"name": "x", "cap": "-1"}, 400, "cap", "below zero"),
        ("POST", "/keys", {"name": "x", "expires": "2026-12-01T00:00:00"}, 400, "expires", "timezone"),
        ("POST", "/keys", {"name": "x", "expires": "2020-01-01T00:00:00Z"}, 400, "expires", "is past"),
        ("POST", "/keys", {"name": "x", "project": "nobody"}, 404, "project", "default, studio"),
        ("POST", "/keys", {"name": "x", "dialect": "klingon"}, 400, "dialect", "imagerouter"),
        ("POST", "/keys", {"name": "x", "networks": ["here"]}, 400, None, "203.0.113.7"),
        ("POST", "/keys", {"name": "x", "text": "short"}, 400, None, "8 printable"),
        ("POST", "/keys", {"name": "x", "text": LIVE}, 400, None, "exists already"),
        ("PATCH", "/keys/key_0", {"name": "x"}, 404, None, "no key 'key_0'"),
        ("PATCH", "/keys/key_0", {"cap": "nan"}, 400, "cap", "12.50"),
        ("POST", "/keys/key_0/disable", {}, 404, None, "no key"),
        ("POST", "/projects", {"name": "x", "id": STUDIO}, 400, "id", "taken"),
        ("POST", "/projects", {"name": "x", "id": "house"}, 400, "id", "taken"),
        ("POST", "/projects", {"name": "x", "id": "a b"}, 400, "id", "printable"),
        ("GET", "/balance?project=nobody", None, 404, "project", "no project"),
        ("POST", "/balance", {"amount": "1", "project": "nobody"}, 404, None, "no project"),
        ("POST", "/balance", {"amount": 12.5}, 400, "amount", "str"),
        ("POST", "/balance", {"amount": "NaN"}, 400, "amount", "12.50"),
        ("POST", "/balance", {"amount": "1e30"}, 400, "amount", "12.50"),
        ("POST", "/balance", {"amount": "0.00"}, 400, "amount", "zero"),
        ("POST", "/balance", {"amount": "1", "reference": "a b"}, 400, "reference", "regex"),
        ("POST", "/balance", {"amount": "-100000", "project": STUDIO}, 400, "amount", "free"),
        ("POST", "/channels", {"provider": "openai"}, 400, "name", "missing"),
        ("POST", "/channels", {"name": "x", "provider": "acme", "api_key": "k"}, 400, "provider", "openai"),
        ("POST", "/channels", {"name": "x", "provider": "openai"}, 400, "api_key", "needs api_key"),
        ("POST", "/channels", {"name": "x/y", "provider": "openai", "api_key": "k"}, 400, "name", "letters"),
        ("POST", "/channels", {"name": "sandbox-openai", "provider": "openai", "api_key": "k"}, 400, "name", "sandbox"),
        ("POST", "/channels", {"name": "x", "provider": "openai", "api_key_env": "K"}, 400, "api_key_env", "toml"),
        ("POST", "/channels", {"name": "x", "provider": "openai", "base_url": "ftp://x"}, 400, "base_url", "https://"),
        (
            "POST",
            "/channels",
            {"name": "x", "provider": "openai", "base_url": "http://x:99999"},
            400,
            "base_url",
            "65535",
        ),
        ("POST", "/channels", {"name": "x", "provider": "openai", "proxy": "http://[::1"}, 400, "proxy", "65535"),
        ("POST", "/channels", {"name": "x", "provider": "comfyui", "options": {"a": 1}}, 400, "options", "workflow"),
        ("POST", "/channels", {"name": "x", "provider": "openai", "api_key": "k", "weight": -1}, 400, "weight", "0 to"),
        (
            "POST",
            "/channels",
            {"name": "x", "provider": "openai", "api_key": "k", "price": {"per_picture": "cheap"}},
            400,
            "price.per_picture",
            "12.50",
        ),
        ("DELETE", "/channels/nobody", None, 404, None, "no channel"),
        ("DELETE", "/channels/main", None, 404, None, "pictura.toml"),
        ("GET", "/models/nothing", None, 404, "model", "does not exist"),
        ("POST", "/models", {}, 404, None, "use GET"),
        ("POST", "/models/dall-e-3", {}, 404, None, "use GET or PUT or DELETE"),
        ("DELETE", "/models/dall-e-3", None, 404, None, "the console says nothing of 'dall-e-3'"),
        ("PUT", "/models/nothing", {}, 400, "id", "to add it, say base"),
        ("PUT", "/models/a%20b", {"base": "dall-e-3"}, 400, "id", "without blanks"),
        ("PUT", "/models/new", {"base": "nothing"}, 400, "base", "no model here"),
        ("PUT", "/models/new", {"provider": "acme"}, 400, "provider", "openai"),
        ("PUT", "/models/new", {"base": "dall-e-3", "aliases": ["dall-e-2"]}, 400, "aliases", "two models are called"),
        ("PUT", "/models/dall-e-3", {"colour": "red"}, 400, "colour", "unknown field"),
        ("PUT", "/models/dall-e-3", {"id": "dall-e-3"}, 400, "id", "unknown field"),
        ("PUT", "/models/dall-e-3", {"max_n": 0}, 400, "max_n", ">= 1"),
        ("PUT", "/models/dall-e-3", {"sizes": ["big"]}, 400, "sizes", "is not a size"),
        ("PUT", "/models/dall-e-3", {"price": {"per_picture": 0.04}}, 400, "price.per_picture", "str"),
        ("PUT", "/models/dall-e-3", {"price": {"per_picture": "free"}}, 400, "price.per_picture", "not an amount"),
        ("PUT", "/models/dall-e-3", {"price": {"per_picture": "-1"}}, 400, "price.per_picture", "without a sign"),
        (
            "PUT",
            "/models/dall-e-3",
            {"price": {"per_picture": "1", "currency": "CNY"}},
            400,
            "price.rate",
            "how many CNY one dollar is",
        ),
        ("GET", "/jobs/job_0", None, 404, None, "no job"),
        ("POST", "/jobs/job_0/cancel", {}, 404, None, "no job"),
        ("POST", "/jobs/job_0/resolve", {"outcome": "forget"}, 400, "outcome", "forget"),
    ],
)
async def test_what_is_wrong_is_said(
    door: Door, method: str, path: str, body: object, status: int, param: str | None, says: str
) -> None:
    answer = await send(door, method, path, body)
    error = wrong(answer)
    assert (answer.status, error.param) == (status, param), error.message
    assert says in error.message
    assert answer.headers["x-request-id"] == error.request_id


async def test_a_form_is_no_json(door: Door) -> None:
    answer = await door.ask_form({"name": "x"}, path="/api/keys", key=ADMIN)
    assert answer.status == 400 and "application/json" in wrong(answer).message


async def test_an_early_refusal_reaches_a_client_that_is_still_sending(door: Door) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b" " * 65_536

    answer = await door.send(
        "POST", "/api/keys", body(), key="sk-pic-nobody", headers={"Content-Type": "application/json"}
    )
    assert answer.status == 401 and wrong(answer).code == "unauthorized"


# -- keys --


async def test_a_made_key_draws_and_its_text_is_shown_this_once(door: Door) -> None:
    made = await make_key(door, name="for the app", requests_per_minute=600, cap="5", cap_period="month")
    assert made.text.startswith("sk-pic-") and made.key.hint == f"{made.text[:7]}…{made.text[-4:]}"
    assert await draws(door, made.text) == 200
    listed = await send(door, "GET", "/keys")
    assert made.text.encode() not in listed.body
    key = next(key for key in msgspec.json.decode(listed.body, type=Page[KeyShown]).data if key.id == made.key.id)
    assert (key.name, key.project, key.kind, key.scopes) == ("for the app", STUDIO, "live", ("draw",))
    assert (key.cap, key.cap_period, key.cap_spent, key.spent, key.requests) == ("5.00", "month", "0.04", "0.04", 1)


async def test_keys_are_listed_by_project(door: Door) -> None:
    page = await act(door, "GET", "/keys?project=default", Page[KeyShown])
    assert {key.name for key in page.data} == {"First admin key", "First test key"}


async def test_a_key_that_somebody_has_already_is_taken_over(door: Door) -> None:
    made = await make_key(door, text="the-key-of-our-old-router")
    assert made.text == "the-key-of-our-old-router"
    assert await draws(door, made.text) == 200


async def test_the_text_of_a_key_is_in_no_file(door: Door) -> None:
    made = await make_key(door, text="sk-pic-look-for-me-everywhere")
    await act(door, "PATCH", f"/keys/{made.key.id}", KeyShown, {"name": "changed"})
    found = [path for path in door.folder.rglob("*") if path.is_file() and made.text.encode() in path.read_bytes()]
    assert found == []


async def test_a_change_holds_for_the_next_request(door: Door) -> None:
    made = await make_key(door)
    path = f"/keys/{made.key.id}"
    changed = await act(door, "PATCH", path, KeyShown, {"models": [SHARED], "cap": "1.50", "cap_period": "day"})
    assert (changed.models, changed.cap, changed.name) == ((SHARED,), "1.50", "a client")
    assert await draws(door, made.text) == 403
    assert await draws(door, made.text, SHARED) == 200
    assert (await act(door, "PATCH", path, KeyShown, {"models": [], "cap": None})).cap is None
    assert await draws(door, made.text) == 200
    await act(door, "PATCH", path, KeyShown, {"networks": ["203.0.113.0/24"]})
    assert await draws(door, made.text) == 403


async def test_an_expired_key_is_refused_until_it_is_extended(door: Door) -> None:
    made = await make_key(door)
    await door.house.keys.change(msgspec.structs.replace(door.house.keys.by_id(made.key.id), expires_ms=1))
    assert await draws(door, made.text) == 401
    await act(door, "PATCH", f"/keys/{made.key.id}", KeyShown, {"expires": None})
    assert await draws(door, made.text) == 200


async def test_a_disabled_key_is_refused_until_it_is_enabled(door: Door) -> None:
    made = await make_key(door)
    assert (await act(door, "POST", f"/keys/{made.key.id}/disable", KeyShown)).disabled is not None
    assert await draws(door, made.text) == 401
    assert (await act(door, "POST", f"/keys/{made.key.id}/enable", KeyShown)).disabled is None
    assert await draws(door, made.text) == 200


async def test_nobody_locks_himself_out(door: Door) -> None:
    own = await actor(door)
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    await make_key(door, scopes=["admin"], expires=soon)
    await make_key(door, scopes=["admin"], networks=["203.0.113.0/24"])
    for method, path, body in (
        ("POST", f"/keys/{own}/disable", {}),
        ("PATCH", f"/keys/{own}", {"scopes": ["draw"]}),
        ("PATCH", f"/keys/{own}", {"expires": soon}),
        ("PATCH", f"/keys/{own}", {"networks": ["203.0.113.0/24"]}),
    ):
        answer = await send(door, method, path, body)
        assert answer.status == 400 and "last key" in wrong(answer).message
    here = {"networks": ["127.0.0.0/8", "::1"]}
    assert (await act(door, "PATCH", f"/keys/{own}", KeyShown, here)).networks == ("127.0.0.0/8", "::1")
    await act(door, "PATCH", f"/keys/{own}", KeyShown, {"networks": []})
    other = await make_key(door, scopes=["admin"])
    answer = await send(door, "POST", f"/keys/{own}/disable", key=other.text)
    assert answer.status == 200
    assert (await send(door, "GET", "/keys")).status == 401
    assert (await send(door, "POST", f"/keys/{own}/enable", key=other.text)).status == 200
    assert (await send(door, "POST", f"/keys/{other.key.id}/disable")).status == 200


async def test_every_act_is_noted_with_the_key_that_did_it(door: Door) -> None:
    made = await make_key(door, models=["gpt-*"])
    notice = await newest_notice(door)
    assert (notice.actor, notice.action, notice.subject) == (await actor(door), "make key", made.key.id)
    assert "gpt-*" in notice.detail and made.text not in notice.detail
    for path, action in (("disable", "disable key"), ("enable", "enable key")):
        await act(door, "POST", f"/keys/{made.key.id}/{path}", KeyShown)
        assert (await newest_notice(door)).action == action


# -- projects and money --


async def test_a_prepaid_project_draws_what_was_deposited(door: Door) -> None:
    project = await act(door, "POST", "/projects", ProjectShown, {"name": "A shop", "prepaid": True})
    assert project.id.startswith("prj_") and (project.prepaid, project.balance) == (True, "0.00")
    made = await make_key(door, project=project.id)
    refused = await door.ask({"model": MODEL, "prompt": "a fox"}, key=made.text)
    assert refused.status == 429 and refused.error.code == "insufficient_quota"
    body = {"project": project.id, "amount": "12.50", "note": "by bank"}
    balance = await act(door, "POST", "/balance", Balance, body)
    assert (balance.project.balance, balance.available, balance.deposited) == ("12.50", "12.50", "12.50")
    assert await draws(door, made.text) == 200
    balance = await act(door, "GET", f"/balance?project={project.id}", Balance)
    assert (balance.available, balance.spent) == ("12.46", "0.04")
    assert [(e.kind, e.amount, e.note) for e in balance.entries] == [
        ("charge", "-0.04", ""),
        ("deposit", "12.50", "by bank"),
    ]


async def test_what_the_house_pays_beyond_holds_is_shown(door: Door) -> None:
    def write(tx: Tx) -> None:
        for job_id in ("job_1", "job_2"):
            ledger.settle(tx, STUDIO, "", job_id, held=0, cost=10_000, charged=0)

    await door.house.database.write(write)
    balance = await act(door, "GET", "/balance?project=house", Balance)
    assert (balance.project.id, balance.project.balance, balance.spent) == ("house", "-0.02", "0.02")
    assert [(e.kind, e.amount, e.job) for e in balance.entries] == [
        ("excess", "-0.01", "job_2"),
        ("excess", "-0.01", "job_1"),
    ]
    assert (await send(door, "POST", "/balance", {"project": "house", "amount": "1"})).status == 404
    assert "house" not in {project.id for project in (await act(door, "GET", "/projects", Page[ProjectShown])).data}


@pytest.mark.parametrize("amount", ["٣", "３", "1²"])
async def test_digits_of_other_scripts_are_no_money(amount: str, door: Door) -> None:
    before = door.purse()
    answer = await door.ask({"project": STUDIO, "amount": amount}, path="/api/balance", key=ADMIN)
    assert answer.status == 400
    assert door.purse() == before


async def test_a_correction_takes_back_what_is_free(door: Door) -> None:
    project = await act(door, "POST", "/projects", ProjectShown, {"name": "p", "prepaid": True, "id": "corrected"})
    await act(door, "POST", "/balance", Balance, {"project": project.id, "amount": "2"})
    balance = await act(door, "POST", "/balance", Balance, {"project": project.id, "amount": "-1.999999"})
    assert (balance.available, balance.entries[0].kind) == ("0.000001", "correction")
    assert (await send(door, "POST", "/balance", {"project": project.id, "amount": "-0.01"})).status == 400


async def test_a_reference_is_entered_once(door: Door) -> None:
    project = await act(door, "POST", "/projects", ProjectShown, {"name": "p", "prepaid": True, "id": "referred"})
    body = {"project": project.id, "amount": "3", "note": "invoice", "reference": "INV_1"}
    for _ in range(2):
        assert (await act(door, "POST", "/balance", Balance, body)).project.balance == "3.00"
    other = await send(door, "POST", "/balance", {**body, "amount": "4"})
    assert (other.status, wrong(other).param) == (400, "reference")
    # Names that are merely alike are others: capitals, and what a database takes for a wildcard.
    assert (await act(door, "POST", "/balance", Balance, {**body, "reference": "inv_1"})).project.balance == "6.00"
    assert (await act(door, "POST", "/balance", Balance, {**body, "reference": "INVX1"})).project.balance == "9.00"


async def test_projects_are_listed_with_what_they_have(door: Door) -> None:
    page = await act(door, "GET", "/projects", Page[ProjectShown])
    studio = next(project for project in page.data if project.id == STUDIO)
    assert studio.prepaid and usd(studio.balance) == door.purse().balance


# -- channels and models --


def new_channel(door: Door, **fields: object) -> dict[str, object]:
    whole = {"name": "third", "provider": "openai", "api_key": SECRET, "base_url": door.upstream.url}
    return {**whole, "allow_private_network": True, "models": ["brand-new"], "price": {"per_picture": "0.01"}, **fields}


async def test_a_new_channel_serves_at_once_until_it_is_removed(door: Door) -> None:
    made = await act(door, "POST", "/channels", ChannelShown, new_channel(door))
    assert (made.origin, made.models, made.price_per_picture, made.secrets) == (
        "console",
        {"brand-new": ""},
        "0.01",
        ("api_key",),
    )
    assert await draws(door, LIVE, "brand-new") == 200
    assert door.upstream.seen[-1].headers["authorization"] == f"Bearer {SECRET}"
    assert (await act(door, "GET", "/models?name=brand-new", Page[ModelShown])).data[0].channels == ["third"]
    assert (await send(door, "DELETE", "/channels/third")).status == 200
    assert (await newest_notice(door)).action == "remove channel"
    assert await draws(door, LIVE, "brand-new") == 404


async def test_an_engine_s_channel_tells_its_options(door: Door) -> None:
    graph = {"1": {"class_type": "KSampler", "inputs": {"seed": "{{seed}}"}}}
    wanted = {"name": "third", "provider": "comfyui", "options": {"workflow": graph}, "models": ["painter"]}
    made = await act(door, "POST", "/channels", ChannelShown, wanted)
    assert made.options == {"workflow": graph}
    assert made.base_url == "http://127.0.0.1:8188" and made.allow_private_network
    await send(door, "DELETE", "/channels/third")


async def test_a_channel_keeps_its_key_when_it_is_changed_but_for_no_other_address(door: Door) -> None:
    await act(door, "POST", "/channels", ChannelShown, new_channel(door))
    without_key = {**new_channel(door, weight=7), "api_key": ""}
    assert (await act(door, "POST", "/channels", ChannelShown, without_key)).weight == 7
    await draws(door, LIVE, "brand-new")
    assert door.upstream.seen[-1].headers["authorization"] == f"Bearer {SECRET}"
    moved = {**without_key, "base_url": f"{door.upstream.url}/elsewhere"}
    assert (await act(door, "POST", "/channels", ChannelShown, moved)).secrets == ()
    await send(door, "DELETE", "/channels/third")


async def test_secrets_never_come_out(door: Door) -> None:
    answer = await send(door, "POST", "/channels", new_channel(door))
    listed = await send(door, "GET", "/channels")
    notices = await send(door, "GET", "/notices")
    doctor = await send(door, "GET", "/doctor")
    for told in (answer, listed, notices, doctor):
        assert SECRET.encode() not in told.body and KEY.encode() not in told.body
    found = [path for path in door.folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert found == []
    await send(door, "DELETE", "/channels/third")


async def test_channels_tell_why_they_rest_and_a_mended_one_is_asked_again(door: Door) -> None:
    await act(door, "POST", "/channels", ChannelShown, new_channel(door))
    for _ in range(3):
        door.house.health.failed("third", "brand-new", Rejected("the key is wrong", upstream_status=401, config=True))
    page = await act(door, "GET", "/channels", Page[ChannelShown])
    rest = next(channel for channel in page.data if channel.name == "third").resting[0]
    assert (rest.model, rest.why) == ("brand-new", "the key is wrong") and rest.seconds > 0
    assert await draws(door, LIVE, "brand-new") == 503
    assert (await act(door, "POST", "/channels", ChannelShown, new_channel(door))).resting == []
    assert await draws(door, LIVE, "brand-new") == 200
    await send(door, "DELETE", "/channels/third")


async def test_the_sandbox_is_no_channel_of_the_operator(door: Door) -> None:
    page = await act(door, "GET", "/channels", Page[ChannelShown])
    assert [channel.name for channel in page.data] == ["main", "spare"]
    assert {channel.origin for channel in page.data} == {"file"}


# -- models --


async def models(door: Door, query: str = "", key: str = ADMIN) -> dict[str, ModelShown]:
    answer = await send(door, "GET", f"/models{query}", key=key)
    assert answer.status == 200, answer.body
    return {model.id: model for model in msgspec.json.decode(answer.body, type=Page[ModelShown]).data}


async def model(door: Door, id: str, key: str = ADMIN) -> ModelShown:
    answer = await send(door, "GET", f"/models/{id}", key=key)
    assert answer.status == 200, answer.body
    return msgspec.json.decode(answer.body, type=ModelShown)


async def test_models_come_with_their_channels(door: Door) -> None:
    everything = await models(door)
    assert everything[SHARED].channels == ["main", "spare"] and everything[MODEL].channels == ["main"]
    assert everything["test/test"].channels == [] and everything[GENERIC].provider == "openai"
    assert (everything[GENERIC].origin, everything[SHARED].origin) == ("channel", "built-in")
    assert len(everything) == len(door.house.catalog.all()) + 1
    assert list(await models(door, f"?name={SHARED.upper()}")) == [SHARED]
    assert list(await models(door, "?name=nothing")) == []
    filtered = await models(door, "?filter=SEEDREAM")
    names = [" ".join((m.id, *m.aliases, *(native.id for native in m.natives))).lower() for m in filtered.values()]
    assert names and all("seedream" in name for name in names)


async def test_a_model_says_what_it_takes_and_costs_in_typed_descriptors(door: Door) -> None:
    answer = await send(door, "GET", f"/models/{SHARED}")
    told = msgspec.json.decode(answer.body, type=dict[str, Any])
    takes = told["supported_parameters"]
    assert takes["size"]["type"] == "pixels" and takes["size"]["step"] == 16 and takes["size"]["max_edge"] == 3840
    assert takes["quality"] == {"type": "enum", "values": ["auto", "low", "medium", "high"], "default": "auto"}
    assert takes["n"] == {"type": "range", "min": 1, "max": 10}
    assert takes["image"]["type"] == "images" and takes["image"]["max"] == 16
    assert {"16:9", "1:1"} <= set(takes["aspect_ratio"]["values"]) and "4K" in takes["resolution"]["values"]
    assert "seed" not in takes and told["required_parameters"] == [["prompt"]]
    assert {"usd": "0.21072", "quality": "high", "size": "1024x1024"} in told["examples"]
    assert (told["price_source"]["confidence"], told["source"]["confidence"]) == ("third party", "official SDK")


async def test_a_channels_own_price_is_told(door: Door) -> None:
    """`main` and `spare` have their own; its name is an administrator's to know."""
    price = f"{PRICE / 1_000_000:g}"
    own = [Rate(billable="output_image", unit="image", usd=price, channel=name) for name in ("main", "spare")]
    assert (await model(door, SHARED)).pricing == own
    told = (await model(door, SHARED, key=LIVE)).pricing
    assert told == [msgspec.structs.replace(rate, channel="") for rate in own]


@pytest.mark.parametrize("key", [LIVE, TEST, ADMIN])
async def test_any_key_may_read_what_models_take_and_cost(door: Door, key: str) -> None:
    everything = await models(door, key=key)
    shared, unserved = everything[SHARED], everything["dall-e-3"]
    assert shared.available and shared.live and not unserved.live
    assert unserved.available is (key == TEST)
    assert bool(shared.channels) is (key == ADMIN)
    assert unserved.pricing and unserved.own is None


async def test_without_a_key_models_are_not_told(door: Door) -> None:
    for key in ("", "sk-pic-nobody"):
        assert (await send(door, "GET", "/models", key=key)).status == 401


@pytest.mark.parametrize("key", [LIVE, TEST])
async def test_what_a_model_costs_is_an_administrators_to_say(door: Door, key: str) -> None:
    for method, body in (("PUT", {"price": {"per_picture": "0.01"}}), ("DELETE", None)):
        assert (await send(door, method, f"/models/{SHARED}", body, key=key)).status == 403
    assert (await model(door, SHARED)).origin == "built-in"


async def test_a_key_is_told_what_it_may_not_draw(door: Door) -> None:
    made = await make_key(door, models=["dall-e-*"], kind="test")
    assert not (await model(door, SHARED, made.text)).available
    assert (await model(door, "dall-e-3", made.text)).available


async def test_a_price_counts_from_the_next_request_on_and_is_noted(door: Door) -> None:
    channel = {**new_channel(door, models=["dall-e-3"]), "price": None}
    await act(door, "POST", "/channels", ChannelShown, channel)
    wanted = {
        "price": {"per_picture": "0.3", "currency": "CNY", "rate": "6.80", "rate_date": "2026-11-20"},
        "price_source": "our contract",
        "replace": True,
    }
    told = await act(door, "PUT", "/models/DALL-E-3", ModelShown, wanted)
    assert (told.id, told.origin, told.pricing) == (
        "dall-e-3",
        "console",
        [Rate(billable="output_image", unit="image", usd="0.044118")],
    )
    assert told.currency == Currency("CNY", "6.80", "2026-11-20", "our contract")
    assert told.own is not None and told.own.price is not None and told.own.price.per_picture == "0.3"
    notice = await newest_notice(door)
    assert (notice.action, notice.subject, notice.actor) == ("store model", "dall-e-3", await actor(door))
    assert "6.80" in notice.detail

    drawn = await door.ask({"model": "dall-e-3", "prompt": "a fox"}, path=GENERATIONS["imagerouter"])
    assert drawn.drawn.cost == 0.044118

    assert (await send(door, "DELETE", "/models/dall-e-3")).status == 200
    assert (await newest_notice(door)).action == "remove model"
    assert (await model(door, "dall-e-3")).origin == "built-in"
    await send(door, "DELETE", "/channels/third")


async def test_a_model_that_is_here_is_not_replaced_by_mistake(door: Door) -> None:
    wanted = {"base": SHARED, "price": {"per_picture": "0.5"}}
    answer = await send(door, "PUT", "/models/dall-e-3", wanted)
    refused = wrong(answer)
    assert (answer.status, refused.param) == (409, "replace")
    assert "dall-e-3 of openai is here already (built-in)" in refused.message
    assert (await model(door, "dall-e-3")).origin == "built-in"
    for _ in range(2):  # what the console itself said is not replaced by mistake either
        told = await act(door, "PUT", "/models/dall-e-3", ModelShown, {**wanted, "replace": True})
        assert (told.origin, told.overridden) == ("console", True)
        assert (await send(door, "PUT", "/models/dall-e-3", wanted)).status == 409
    (check,) = [check for check in (await act(door, "GET", "/doctor", Report)).checks if check.name == "models"]
    assert check.level == "ok" and check.said.endswith("parts said otherwise of dall-e-3 (console: base, price)")
    assert (await send(door, "DELETE", "/models/dall-e-3")).status == 200


async def test_a_model_has_a_native_id_with_each_provider(door: Door) -> None:
    await act(door, "POST", "/channels", ChannelShown, new_channel(door, models={"seedream-4.5": "our-seedream"}))
    told = (await model(door, "seedream-4.5")).natives
    assert told[0] == Native("volcengine", "doubao-seedream-4-5-251128")
    assert Native("omnirouters", "Seedream:4.5") in told and Native("tencent-vod", "SI/4.5") in told
    assert told[-1] == Native("openai", "our-seedream", "third")
    assert not any(native.channel for native in (await model(door, "seedream-4.5", key=LIVE)).natives)
    await send(door, "DELETE", "/channels/third")


async def test_a_model_of_the_operator_draws_until_it_is_taken_away(door: Door) -> None:
    wanted = {
        "base": SHARED,
        "native": "poster-2",
        "aliases": ["ads"],
        "sizes": ["1024x1024"],
        "params": {"seed": {"type": "range", "min": 0, "max": 9}, "quality": False},
        "price": {"per_picture": "0.5"},
    }
    told = await act(door, "PUT", "/models/acme/poster", ModelShown, wanted)
    assert (told.id, told.provider, told.aliases) == ("acme/poster", "openai", ("ads",))
    assert (told.natives, told.origin, told.overridden) == ([Native("openai", "poster-2")], "console", False)
    assert told.supported_parameters["seed"] == Span(0, 9) and "quality" not in told.supported_parameters
    await act(door, "POST", "/channels", ChannelShown, {**new_channel(door, models=["acme/poster"]), "price": None})
    asked = {"model": "ads", "prompt": "a fox", "seed": 7}
    drawn = await door.ask(asked, path=GENERATIONS["imagerouter"])
    assert drawn.drawn.cost == 0.5
    assert (door.upstream.seen[-1].fields["model"], door.upstream.seen[-1].fields["seed"]) == ("poster-2", 7)
    # The simulator knows it by its base's name, but the seed is none of its fields; without it, it draws.
    assert (await door.ask({"model": "ads", "prompt": "a fox"}, key=TEST)).status == 200
    assert (await send(door, "DELETE", "/models/acme/poster")).status == 200
    await send(door, "DELETE", "/channels/third")
    assert (await send(door, "GET", "/models/acme/poster")).status == 404
    assert (await door.ask(asked)).status == 404


# -- jobs --


async def test_jobs_tell_what_was_asked_and_what_came_of_it(door: Door) -> None:
    answer = await door.ask({"model": SHARED, "prompt": "a lighthouse", "size": "1024x1024", "response_format": "url"})
    job_id = answer.headers["x-pictura-job"]
    job = await act(door, "GET", f"/jobs/{job_id}", JobShown)
    assert (job.state, job.model, job.prompt, job.size) == ("succeeded", SHARED, "a lighthouse", "1024x1024")
    assert (job.cost, job.project, job.dialect, job.sandbox) == ("0.04", STUDIO, "openai", False)
    assert [(a.channel, a.state, a.error) for a in job.attempts] == [("main", "done", None)]
    picture = await door.send("GET", job.pictures[0].url)
    assert (picture.status, look(picture.body).width) == (200, 1024)
    assert (await act(door, "GET", "/jobs?limit=1", Page[JobShown])).data[0].id == job_id
    older = await act(door, "GET", f"/jobs?limit=1&before={job_id}", Page[JobShown])
    assert older.data == [] or older.data[0].id < job_id
    others = (await act(door, "GET", "/jobs?project=default", Page[JobShown])).data
    assert all(job.project == "default" for job in others)


async def test_a_job_that_was_sent_is_not_cancelled(door: Door, upstream: Upstream) -> None:
    go_on = asyncio.Event()
    upstream.queue.append(when(go_on))
    drawing = asyncio.create_task(door.ask({"model": MODEL, "prompt": "a fox"}))
    await upstream.wait_for(1)
    job = (await act(door, "GET", "/jobs?limit=1", Page[JobShown])).data[0]
    assert job.cost is None and job.hold == "0.04"
    assert (await act(door, "POST", f"/jobs/{job.id}/cancel", Cancelled)).cancelled is False
    go_on.set()
    assert (await drawing).status == 200


async def test_what_has_an_outcome_is_not_decided_again(door: Door) -> None:
    job_id = (await door.ask({"model": MODEL, "prompt": "a fox"})).headers["x-pictura-job"]
    answer = await send(door, "POST", f"/jobs/{job_id}/resolve", {"outcome": "charge"})
    assert answer.status == 400 and "succeeded" in wrong(answer).message


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def holding(tmp_path_factory: pytest.TempPathFactory, shared_upstream: Upstream) -> AsyncIterator[Door]:
    """A house whose operator decides about what was lost."""
    folder: Path = tmp_path_factory.mktemp("holding")
    async with open_door(folder, shared_upstream, jobs=JobSettings(on_lost="hold_for_operator")) as door:
        yield door


@pytest.mark.parametrize(("outcome", "cost"), [("charge", PRICE), ("release", 0)])
async def test_an_operator_decides_about_an_uncertain_job(
    holding: Door, upstream: Upstream, outcome: str, cost: int
) -> None:
    before = holding.purse()
    upstream.queue.append(reset_after_reading)
    answer = await holding.ask({"model": MODEL, "prompt": "a fox"})
    assert answer.status == 504
    job = await act(holding, "GET", f"/jobs/{answer.headers['x-pictura-job']}", JobShown)
    assert job.state == "uncertain" and job.cost is None
    assert job.error is not None and job.error.possibly_billed
    assert holding.purse().available == before.available - PRICE
    decided = await act(holding, "POST", f"/jobs/{job.id}/resolve", JobShown, {"outcome": outcome})
    assert (decided.state, usd(decided.cost or "0")) == ("failed", cost)
    purse = holding.purse()
    assert (purse.held, purse.balance) == (0, before.balance - cost)
    assert (await newest_notice(holding)).detail == outcome
    again = await send(holding, "POST", f"/jobs/{job.id}/resolve", {"outcome": "release"})
    assert again.status == 400 and holding.purse() == purse


# -- the doctor --


def found(report: Report) -> Mapping[str, tuple[str, str]]:
    return {check.name: (check.level, check.said) for check in report.checks}


async def test_the_doctor_looks_at_every_part_and_pays_nobody(door: Door) -> None:
    before = door.entries("default")
    report = await act(door, "GET", "/doctor", Report)
    told = found(report)
    for part in ("database", "storage", "secret", "sandbox", "clock", "channel main", "channel spare"):
        assert told[part][0] == "ok", told[part]
    assert report.well and report.version
    assert told["settings"][0] == "warning" and "in clear" in told["settings"][1]
    assert door.upstream.seen == [] and door.entries("default") == before
    assert door.left_behind() == []


async def test_the_doctor_finds_channels_that_cannot_work(door: Door) -> None:
    nobody_there = "http://127.0.0.1:9/v1"
    sick: dict[str, dict[str, object]] = {
        "silent": {"base_url": nobody_there},
        "nameless": {"base_url": "http://no-such-host.invalid/v1"},
        "private": {"allow_private_network": False},
        "asleep": {"base_url": nobody_there, "enabled": False},
        "third": {},
    }
    for name, fields in sick.items():
        await act(door, "POST", "/channels", ChannelShown, new_channel(door, name=name, **fields))
    for _ in range(3):
        door.house.health.failed("third", "brand-new", Rejected("no credit left", upstream_status=402, config=True))
    report = await act(door, "GET", "/doctor", Report)
    told = found(report)
    assert told["channel silent"][0] == "error" and "refused" in told["channel silent"][1]
    assert told["channel nameless"][0] == "error"
    assert told["channel private"] == ("error", f"{door.upstream.url} leads into a private network")
    assert told["channel asleep"][0] == "ok"
    assert told["channel third"][0] == "warning" and "no credit left" in told["channel third"][1]
    assert not report.well and all(check.advice for check in report.checks if check.level == "error")
    for name in sick:
        assert (await send(door, "DELETE", f"/channels/{name}")).status == 200
