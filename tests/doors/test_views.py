"""What callers are shown of models and accounts: what they may use, and nobody else's business."""

from __future__ import annotations

import pytest

from pictura.core.errors import Unauthorized, UnknownJob, UnknownModel
from pictura.core.views import Account, Call, ModelView
from pictura.dialects.base import Verb
from pictura.doors.views import USES_FOR_S, Views
from pictura.store.keys import Key, Project, make_project
from tests.doors.door import ADMIN, DEPOSIT, GENERIC, LIVE, MODEL, PRICE, SHARED, STUDIO, TEST, Door

pytestmark = pytest.mark.asyncio(loop_scope="module")


def key(door: Door, text: str) -> Key:
    return door.house.guard.identify(text, "127.0.0.1")


async def names(door: Door, text: str = "") -> list[str]:
    views = await Views(door.house).catalogue(key(door, text) if text else None)
    return [view.card.id for view in views]


async def test_strangers_and_test_keys_see_everything_in_catalogue_order(door: Door) -> None:
    everything = [listing.card.id for listing in door.house.catalog.all()]
    assert await names(door) == await names(door, TEST) == everything
    assert len(everything) > 50


async def test_a_live_key_sees_what_is_served(door: Door) -> None:
    """Also what no card describes, where a channel names it."""
    assert set(await names(door, LIVE)) == {MODEL, SHARED, GENERIC, "test/test"}
    assert (await Views(door.house).model(GENERIC, None)).providers == ("openai",)


async def test_one_model_by_any_name(door: Door) -> None:
    views = Views(door.house)
    for name in (SHARED, "GPT-IMAGE-2", "gpt-image-2-2026-04-21", "openai/gpt-image-2"):
        view = await views.model(name, None)
        assert (view.card.id, view.providers) == (SHARED, ("openai",))
        assert view.created_s == 1_776_729_600  # its card says 2026-04-21
    with pytest.raises(UnknownModel):
        await views.model("no/such", None)


async def test_uses_are_counted_and_remembered_for_a_while(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    views = Views(door.house)
    before = (await views.model("test/test", None)).uses
    await door.ask({"model": "test/test", "prompt": "a fox", "size": "16x16"}, key=TEST)
    assert (await views.model("test/test", None)).uses == before
    monkeypatch.setattr(views, "_uses_until", views._uses_until - USES_FOR_S)
    assert (await views.model("test/test", None)).uses == before + 1


async def test_an_account(door: Door) -> None:
    answer = await door.ask({"model": MODEL, "prompt": "a fox"})
    assert answer.status == 200
    account = await Views(door.house).account(key(door, LIVE))
    assert (account.balance, account.spent, account.deposited) == (DEPOSIT - PRICE, PRICE, DEPOSIT)
    assert account.available == account.balance
    (usage,) = account.keys
    assert (usage.spent, usage.requests, usage.active, usage.cap) == (PRICE, 1, True, None)


async def test_an_account_without_a_limit(door: Door) -> None:
    account = await Views(door.house).account(key(door, ADMIN))
    assert (account.balance, account.available) == (None, None)


async def test_keys_of_others_are_not_shown(door: Door) -> None:
    await make_project(door.house.database, Project("another", "Another"))
    await door.new_key("sk-pic-of-another", project=Project("another", "Another"), name="secret plans")
    for text in (LIVE, ADMIN):
        account = await Views(door.house).account(key(door, text))
        assert "secret plans" not in [usage.name for usage in account.keys]


async def test_what_a_route_is_handed(door: Door) -> None:
    views, live = Views(door.house), key(door, LIVE)
    call = Call(request_id="req_1", place={"id": "test/test"})
    (listed,) = await views.of(Verb.CATALOGUE, call, live)
    assert isinstance(listed, list)
    (model,) = await views.of(Verb.MODEL, call, live)
    assert isinstance(model, ModelView)
    (account,) = await views.of(Verb.ACCOUNT, call, live)
    assert isinstance(account, Account)
    assert await views.of(Verb.PLAIN, call, None) == (None,)
    with pytest.raises(Unauthorized):
        await views.of(Verb.ACCOUNT, call, None)


async def test_a_job_is_its_project_s(door: Door) -> None:
    answer = await door.ask({"model": MODEL, "prompt": "a fox"})
    call = Call(request_id="req_1", place={"id": answer.headers["x-pictura-job"]})
    views = Views(door.house)
    job = views.job(call, key(door, LIVE))
    assert (job.id, job.state.value, job.request.prompt) == (call.place["id"], "succeeded", "a fox")
    with pytest.raises(UnknownJob):
        views.job(call, key(door, ADMIN))
    assert door.jobs()[0].project_id == STUDIO
