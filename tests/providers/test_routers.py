"""What holds for every router: against its simulator, and against a second house of ours that speaks its dialect."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from pictura.core.errors import Failed, Lost, Malformed, PicturaError, Refused, Rejected, Throttled
from pictura.core.media import flaw, sniff
from pictura.core.model import ModelCard
from pictura.core.size import AUTO, fit
from pictura.doors.house import open_house
from pictura.infra.config import ChannelSettings, Environment, Settings
from pictura.infra.spool import Spool
from pictura.providers.azure import Azure
from pictura.providers.base import Ask, AskPicture, Channel, Done, Pending, Provider, TaskProvider
from pictura.providers.imagerouter import ImageRouter
from pictura.providers.litellm import LiteLLM
from pictura.providers.mixroute import MixRoute
from pictura.providers.new_api import NewApi
from pictura.providers.omnirouters import OmniRouters
from pictura.providers.openrouter import OpenRouter
from tests.doors.door import ADMIN, TEST, Door, data_url, look, open_door
from tests.upstream import Upstream, picture, running

KEY = "sk-test-0123456789"
KINDS: tuple[type[Provider], ...] = (ImageRouter, OmniRouters, MixRoute, NewApi, OpenRouter, Azure, LiteLLM)
CARDS = [pytest.param(kind, card, id=card.id) for kind in KINDS for card in kind.MODELS]
EDITING = [pytest.param(kind, card, id=card.id) for kind in KINDS for card in kind.MODELS if card.inputs.count]

routers = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.name))

Make = Callable[..., Ask]
MakePicture = Callable[..., AskPicture]
Connect = Callable[[str], Channel]


async def drawn(kind: type[Provider], asked: Ask, channel: Channel) -> Done:
    """What comes in the end, where a task has to be asked about too."""
    router = kind()
    outcome = await router.start(asked, channel)
    while isinstance(outcome, Pending):
        assert isinstance(router, TaskProvider)
        await asyncio.sleep(0.02)
        outcome = await router.check(outcome, channel)
    return outcome


# -- against the sandbox, which is as strict as their pages --


@pytest.mark.parametrize(("kind", "card"), CARDS)
async def test_every_card_draws(kind: type[Provider], card: ModelCard, sandbox: Connect, ask: Make) -> None:
    told = {name: getattr(option, "default", None) for name, option in card.params.items()}
    params = {name: default for name, default in told.items() if default is not None}
    asked = ask(card, size=fit(AUTO, card.sizes), params=params)
    done = await drawn(kind, asked, sandbox(kind.sandbox_path))
    for raw in done.pictures:
        assert raw.url or (raw.spool and sniff(raw.spool.read, raw.spool.size).pixels)


@pytest.mark.parametrize(("kind", "card"), EDITING)
async def test_every_card_that_edits_edits(
    kind: type[Provider], card: ModelCard, sandbox: Connect, ask: Make, picture: MakePicture
) -> None:
    images = tuple(picture() for _ in range(min(card.inputs.count, 2)))
    asked = ask(card, operation="edit", images=images, n=min(card.max_n, 2), size=fit(AUTO, card.sizes))
    assert len((await drawn(kind, asked, sandbox(kind.sandbox_path))).pictures) == asked.n


FAULTS: Mapping[str, type[PicturaError]] = {
    "[refuse]": Refused,
    "[refuse late]": Refused,
    "[fault:401]": Rejected,
    "[fault:402]": Rejected,
    "[fault:429]": Throttled,
    "[fault:500]": Failed,
    "[fault:502page]": Lost,
    "[fault:reset]": Lost,
    "[fault:garbage]": Malformed,
    "[fault:empty]": Malformed,
}
#: ImageRouter tells of both in the same words, with status 200.
OTHERWISE = {("imagerouter", "[fault:402]"): Failed, ("imagerouter", "[fault:empty]"): Failed}


@routers
@pytest.mark.parametrize("mark", FAULTS)
async def test_faults(
    kind: type[Provider], mark: str, sandbox: Connect, ask: Make, open_spools: Callable[[], list[Spool]]
) -> None:
    channel = sandbox(kind.sandbox_path)
    with pytest.raises(PicturaError) as caught:
        await drawn(kind, ask(kind.MODELS[0], prompt=f"a fox {mark}"), channel)
    assert type(caught.value) is OTHERWISE.get((kind.name, mark), FAULTS[mark])
    assert KEY not in caught.value.message
    assert getattr(caught.value, "config", False) is (type(caught.value) is Rejected)
    assert not open_spools()


@routers
async def test_a_wrong_key_is_the_operators_affair(kind: type[Provider], sandbox: Connect, ask: Make) -> None:
    channel = sandbox(kind.sandbox_path)
    channel.secrets = {"api_key": "sk-wrong"}
    with pytest.raises(Rejected) as caught:
        await drawn(kind, ask(kind.MODELS[0]), channel)
    assert caught.value.config


@routers
async def test_a_model_that_no_card_describes(kind: type[Provider], sandbox: Connect, ask: Make) -> None:
    """Whoever has it not says so before work begins; ImageRouter and LiteLLM have but 400 for it."""
    card = kind().generic("nobody/nothing")
    assert card is not None
    with pytest.raises(PicturaError) as caught:
        await drawn(kind, ask(card), sandbox(kind.sandbox_path))
    assert not caught.value.possibly_billed


@pytest.mark.parametrize("kind", [MixRoute, NewApi, OpenRouter, LiteLLM], ids=lambda kind: str(kind.name))
async def test_a_truncated_picture_is_handed_over_as_it_came(kind: type[Provider], sandbox: Connect, ask: Make) -> None:
    asked = ask(kind.MODELS[0], prompt="a fox [fault:truncated]", params={"response_format": "b64_json"})
    raw = (await drawn(kind, asked, sandbox(kind.sandbox_path))).pictures[0]
    assert raw.url or (raw.spool and flaw(raw.spool.read, raw.spool.size, sniff(raw.spool.read, raw.spool.size)))


@pytest.mark.parametrize("kind", [OmniRouters, MixRoute, OpenRouter], ids=lambda kind: str(kind.name))
async def test_a_mask_that_has_no_place_is_left_to_another_channel(
    kind: type[Provider], sandbox: Connect, ask: Make, picture: MakePicture
) -> None:
    card = kind().generic("some-model")
    assert card is not None
    with pytest.raises(PicturaError) as caught:
        await drawn(kind, ask(card, images=(picture(),), mask=picture()), sandbox(kind.sandbox_path))
    assert caught.value.param == "mask"
    assert caught.value.safe_elsewhere


# -- the channels that the environment makes --


@pytest.mark.parametrize(
    ("variables", "made"),
    [
        ({"IMAGEROUTER_API_KEY": "k", "OMNIROUTERS_API_KEY": "k"}, {"imagerouter", "omnirouters"}),
        ({"MIXROUTE_API_KEY": "k", "OPENROUTER_API_KEY": "k"}, {"mixroute", "openrouter"}),
        ({"AZURE_OPENAI_API_KEY": "k"}, set()),
        ({"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://a.openai.azure.com"}, {"azure"}),
        ({"LITELLM_API_KEY": "k", "NEW_API_KEY": "k"}, set()),
    ],
)
async def test_channels_of_the_environment(tmp_path: Path, variables: Mapping[str, str], made: set[str]) -> None:
    async with open_house(tmp_path, Settings(), Environment(variables)) as house:
        assert {record.name for record in house.channels.all() if not record.sandbox} == made


# -- against a second house --

#: By provider where a house speaks its dialect.
MOUNTS = {
    "imagerouter": "/imagerouter/v1/openai",
    "omnirouters": "/omnirouters/v1",
    "mixroute": "/mixroute/v1",
    "new-api": "/openopen8/v1",
    "openai": "/openai/v1",
}
mounts = pytest.mark.parametrize("provider", MOUNTS)
#: Models whose bodies MixRoute writes in other ways.
FAMILIES = {
    "via-gemini": "gemini-2.5-flash-image",
    "via-seedream": "doubao-seedream-4-0-250828",
    "via-qwen": "qwen-image-2.0",
}


class Shown(msgspec.Struct):
    b64_json: str = ""


class Told(msgspec.Struct):
    id: str = ""
    status: str = ""
    data: list[Shown] = []
    error: Mapping[str, object] | None = None


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    """A house whose channels lead to a second one, which draws in its sandbox, in every dialect of a router."""
    async with AsyncExitStack() as stack:
        # Nobody minds being asked often here.
        stack.enter_context(pytest.MonkeyPatch.context()).setattr("pictura.providers.omnirouters.POLL_S", 0.05)
        upstream = await stack.enter_async_context(running(Upstream()))
        second = await stack.enter_async_context(open_door(tmp_path_factory.mktemp("second"), upstream))
        channels = [
            ChannelSettings(
                name=provider,
                provider=provider,
                api_key=TEST,
                base_url=second.url + mount,
                allow_private_network=True,
                # Names that no card describes lead to some that the second house draws.
                models={f"via-{provider}": "gpt-image-2", **(FAMILIES if provider == "mixroute" else {})},
            )
            for provider, mount in MOUNTS.items()
        ]
        first = tmp_path_factory.mktemp("first")
        yield await stack.enter_async_context(open_door(first, upstream, channels=channels))


def asking(provider: str, **more: object) -> dict[str, object]:
    fields = {"model": f"via-{provider}", "prompt": "a fox", "size": "1024x1024", "response_format": "b64_json"}
    return {**fields, **more}


@pytest.mark.asyncio(loop_scope="module")
@mounts
async def test_a_house_draws_through_a_second_one(house: Door, provider: str) -> None:
    answer = await house.ask(asking(provider, n=2), key=ADMIN)
    assert answer.status == 200, answer.body
    assert len(answer.drawn.data) == 2
    assert (look(answer.picture).width, look(answer.picture).height) == (1024, 1024)


@pytest.mark.asyncio(loop_scope="module")
@mounts
async def test_a_house_edits_through_a_second_one(house: Door, provider: str) -> None:
    images = [data_url(picture(64, 64)), data_url(picture(48, 48, "jpeg"), "image/jpeg")]
    answer = await house.ask(asking(provider, image=images, quality="high"), key=ADMIN)
    assert answer.status == 200, answer.body
    assert look(answer.picture).pixels == 1024 * 1024
    assert house.left_behind() == []


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("model", FAMILIES)
async def test_bodies_of_all_families(house: Door, model: str) -> None:
    fields = {"model": model, "size": "1024x1024", "image": data_url(picture(400, 400))}
    answer = await house.ask(asking("mixroute", **fields), key=ADMIN)
    assert answer.status == 200, answer.body
    assert look(answer.picture).pixels == 1024 * 1024


@pytest.mark.asyncio(loop_scope="module")
@mounts
async def test_a_job_of_a_house_is_drawn_by_a_second_one(house: Door, provider: str) -> None:
    path = "/openai/v1/images/generations"
    begun = await house.ask(asking(provider), path=f"{path}?async=true", key=ADMIN)
    id = msgspec.json.decode(begun.body, type=Told).id
    async with asyncio.timeout(30):
        while (told := await stands(house, f"{path}/{id}")).status not in ("completed", "failed"):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert told.error is None
    assert told.data[0].b64_json


async def stands(house: Door, path: str) -> Told:
    return msgspec.json.decode((await house.send("GET", path, key=ADMIN)).body, type=Told)


@pytest.mark.asyncio(loop_scope="module")
@mounts
@pytest.mark.parametrize(
    ("mark", "status", "code"),
    [("[refuse]", 400, "moderation_blocked"), ("[fault:500]", 502, "upstream_failed"), ("", 400, None)],
)
async def test_what_a_second_house_says_is_understood(
    house: Door, provider: str, mark: str, status: int, code: str | None
) -> None:
    more = {"prompt": f"{mark} a fox"} if mark else {"quality": "divine"}
    answer = await house.ask(asking(provider, **more), key=ADMIN)
    assert (answer.status, answer.error.code) == (status, code)
    assert mark or "quality" in answer.error.message
