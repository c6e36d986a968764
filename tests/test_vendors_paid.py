"""What every vendor's pictures cost, from a client's request to the ledger: live channels, a prepaid project.

For this house the simulators are vendors like any other: each is asked over its own wire, with an account of the
house's, and what its answer tells (pixels, pictures, tokens, its own bill) is what the project pays.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from pictura.core.model import ModelCard
from pictura.core.price import Order, PerPicture, PerToken, bill
from pictura.core.size import Size
from pictura.doors.channels import sandbox_channel
from pictura.infra.config import ChannelSettings
from pictura.providers.base import Provider
from pictura.sandbox.server import Sandbox
from pictura.store.jobs import Job
from pictura.store.ledger import HOUSE
from tests.doors.door import LIVE, Answer, Door, data_url, open_door
from tests.upstream import Upstream, picture, running
from tests.vendors import FOUND, NATIVE, VENDORS, asking

pytestmark = pytest.mark.asyncio(loop_scope="module")

ACCOUNT = "sk-test-an-account-of-this-house"
#: Their answers tell what was taken, and that counts.
TELLING = ("imagerouter", "openrouter")
#: Billed by tokens that nobody tells: they are estimated.
UNTOLD = ("fal-gpt-image-2",)
LIVE_CARDS = {name: [card for card in FOUND[name].MODELS if card.status == "live"] for name in VENDORS}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    sandbox = Sandbox(accepts=lambda text: text == ACCOUNT, folder=tmp_path_factory.mktemp("vendors"))
    address = await sandbox.start()
    channels = [account(FOUND[name], address) for name in NATIVE]
    folder = tmp_path_factory.mktemp("house")
    async with running(Upstream()) as upstream, open_door(folder, upstream, channels=channels) as door:
        yield door
    await sandbox.close()


def account(provider: type[Provider], address: str) -> ChannelSettings:
    made = sandbox_channel(provider(), address, ACCOUNT)
    return ChannelSettings(
        name=provider.name,
        provider=provider.name,
        secrets=made.secrets,
        base_url=made.base_url,
        allow_private_network=True,
    )


@pytest.mark.parametrize("name", VENDORS)
async def test_what_came_is_what_is_paid(door: Door, name: str) -> None:
    before, cards = door.purse(), [card for card in LIVE_CARDS[name] if card.price is not None]
    answers = await asyncio.gather(*(draw(door, card) for card in cards))
    costs = [paid(door, card, answer, told=name in TELLING) for card, answer in zip(cards, answers, strict=True)]
    assert door.purse().held == 0
    assert before.balance - door.purse().balance == sum(costs)
    assert door.left_behind() == []


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "gpt-image-2", "quality": "low", "size": "1024x1024", "stream": True, "partial_images": 3},
        {"model": "gpt-image-1.5", "input_fidelity": "high", "image": [data_url(picture(200, 2600))] * 5},
        {"model": "gpt-image-1-mini", "image": [data_url(picture(200, 2600))] * 16},
    ],
)
async def test_what_is_held_covers_what_is_paid(door: Door, fields: dict[str, object]) -> None:
    """Previews cost tokens, and so does every input, most of all a long one that is looked at closely."""
    before = door.entries(HOUSE)
    answer = await door.ask({"prompt": "a fox", **fields}, path="/openai/v1/images/generations", key=LIVE)
    assert answer.status == 200, answer.body
    job = door.job(answer)
    assert job.result is not None and job.result.cost is not None and job.result.usage is not None
    assert 0 < job.result.cost <= job.hold
    assert door.entries(HOUSE) == before, "the house pays what was not held"


@pytest.mark.parametrize("name", [name for name, cards in LIVE_CARDS.items() if any(not card.price for card in cards)])
async def test_what_nobody_knows_the_price_of_is_not_drawn_for_a_prepaid_project(door: Door, name: str) -> None:
    before = door.purse()
    for card in LIVE_CARDS[name]:
        if card.price is None:
            answer = await draw(door, card)
            assert (answer.status, "nobody knows what this model costs" in answer.error.message) == (403, True)
    assert door.purse() == before


async def draw(door: Door, card: ModelCard) -> Answer:
    return await door.ask(asking(card), path="/openai/v1/images/generations", key=LIVE)


def paid(door: Door, card: ModelCard, answer: Answer, *, told: bool) -> int:
    """What one picture did cost, which is what its card says of what came, unless its vendor `told` it."""
    assert answer.status == 200, (card.id, answer.body)
    assert "x-pictura-sandbox" not in answer.headers
    job = door.job(answer)
    assert job.result is not None and job.result.cost is not None
    assert told or job.result.cost == due(card, job), card.id
    assert job.result.cost <= job.hold, card.id
    return job.result.cost


def due(card: ModelCard, job: Job) -> int:
    assert job.result is not None and card.price is not None
    inputs = len(job.request.images)
    if isinstance(card.price, PerPicture):
        return card.price.amount + card.price.input_amount * inputs
    if isinstance(card.price, PerToken) and card.id not in UNTOLD:
        assert job.result.usage is not None, f"{card.id} is billed by tokens, and its vendor counted none"
    sizes = tuple(Size(width=picture.width, height=picture.height) for picture in job.result.pictures)
    prompt_bytes = len(job.request.prompt.encode())
    return bill(card.price, Order(sizes=sizes, prompt_bytes=prompt_bytes, inputs=inputs, usage=job.result.usage))
