"""What holds for every provider that is found, ours and others'."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from pictura.core.capability import check
from pictura.core.model import ModelCard
from pictura.core.plugins import discover
from pictura.core.price import Free, Order, PerMegapixel, PerPicture, PriceList, TokenList, quote
from pictura.core.request import ImageRequest, InputPicture
from pictura.core.size import AUTO, allowed, fit, parse
from pictura.infra.dial import parse_url
from pictura.providers.base import Ask, Channel, Done, Provider, StreamingProvider
from pictura.providers.plain import SANDBOX_PATH, PlainProvider
from pictura.store.catalog import Catalog
from tests.least import least_options, least_pictures, least_request

FOUND, BROKEN = discover("pictura.providers", "pictura.providers", Provider)  # type: ignore[type-abstract]
CARDS = [pytest.param(card, id=card.id) for provider in FOUND.values() for card in provider.MODELS]

providers = pytest.mark.parametrize("provider", FOUND.values(), ids=FOUND)


def test_providers_are_found() -> None:
    assert {"openai", "test", "gemini"} <= FOUND.keys()
    assert not BROKEN


@providers
def test_it_says_who_it_is(provider: type[Provider]) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9-]*", provider.name)
    assert provider.__doc__ and provider.__doc__ != Provider.__doc__
    assert provider.sandbox_path == "" or provider.sandbox_path.startswith("/")
    if provider.base_url:
        parse_url(provider.base_url)
    for secret, variables in {**provider.env, **provider.optional_env}.items():
        assert re.fullmatch(r"[a-z_]+", secret) and re.fullmatch(r"[A-Z_0-9]+( [A-Z_0-9]+)*", variables)


@providers
def test_its_names_lead_to_one_card_each(provider: type[Provider]) -> None:
    names = [name for card in provider.MODELS for name in {name.lower() for name in card.names}]
    assert len(set(names)) == len(names)
    for name in names:
        assert name.strip() == name and name.isprintable()


@providers
def test_what_it_resells_is_anothers(provider: type[Provider]) -> None:
    own = {card.id for card in provider.MODELS}
    assert set(provider.SERVES) <= {card.id for card in CARDS} - own
    assert all(provider.SERVES.values()) and own.isdisjoint(provider.SERVES.values())


@pytest.mark.parametrize(("name", "model"), [("mixroute", "seedream-4.5"), ("omnirouters", "gpt-image-2")])
def test_what_nobody_knows_the_price_of_is_not_resold_at_its_makers(name: str, model: str) -> None:
    catalog, provider = Catalog(), FOUND[name]
    catalog.add(provider.name, provider.MODELS)
    own = catalog.theirs(provider.name, provider.SERVES[model])
    assert own is not None and own.price is None


@providers
def test_its_generic_card_refuses_nothing_simple(provider: type[Provider]) -> None:
    card = provider().generic("some-model")
    if card is not None:
        assert card.names == ("some-model",)
        assert check(ImageRequest(model="some-model", prompt="a fox", images=(InputPicture(ref="x"),)), card) == []
        for size in ("1024x1024", "16:9", "auto"):
            fit(parse(size), card.sizes)


@providers
def test_whoever_shows_previews_streams(provider: type[Provider]) -> None:
    if any(card.previews for card in provider.MODELS):
        assert issubclass(provider, StreamingProvider)


@pytest.mark.parametrize("card", CARDS)
def test_a_card_is_sound(card: ModelCard) -> None:
    assert card.max_n >= 1
    assert card.modes and card.outputs
    assert card.inputs.count >= 0 and (card.inputs.count or not card.inputs.required)
    assert "edit" not in card.modes or card.inputs.count
    assert "inpaint" not in card.modes or card.mask
    assert card.source.name
    assert card.released == "" or re.fullmatch(r"\d{4}-\d\d-\d\d", card.released)
    assert card.status == "live" or card.ends or card.notes


@pytest.mark.parametrize("card", CARDS)
def test_a_card_takes_what_it_says_it_takes(card: ModelCard) -> None:
    assert check(least_request(card, n=card.max_n), card) == []
    for word in (*allowed(card.sizes), "auto"):
        fit(parse(word), card.sizes)


@pytest.mark.parametrize("card", CARDS)
def test_a_price_is_whole_and_bounded(card: ModelCard) -> None:
    price = card.price
    if price is None or isinstance(price, Free):
        return
    amounts = [quote(price, Order(sizes=(AUTO,), prompt_bytes=1000, inputs=card.inputs.count))]
    if isinstance(price, PerPicture):
        amounts.append(price.amount)
    elif isinstance(price, PriceList):
        amounts += [row.amount for row in price.rows]
    elif isinstance(price, PerMegapixel):
        amounts += [price.first, price.further]
    else:
        amounts += [price.text_in, price.image_out]
        amounts += [row.amount for row in price.output.rows] if isinstance(price.output, TokenList) else []
    assert all(type(amount) is int and 0 < amount < 10_000_000 for amount in amounts)


@providers
async def test_its_first_model_draws_in_the_sandbox(
    provider: type[Provider],
    sandbox: Callable[[str], Channel],
    ask: Callable[..., Ask],
    picture: Callable[..., object],
) -> None:
    card = next(card for card in provider.MODELS if card.status == "live" or len(provider.MODELS) == 1)
    images = tuple(picture() for _ in range(least_pictures(card)))
    channel = sandbox(provider.sandbox_path or SANDBOX_PATH)
    speaker = provider() if provider.sandbox_path else PlainProvider()
    named = dict.fromkeys(provider.env, "sandbox") | {next(iter(provider.env), "api_key"): channel.secrets["api_key"]}
    channel.secrets = named
    answer = await speaker.start(
        ask(card, images=images, size=fit(AUTO, card.sizes), params=least_options(card)), channel
    )
    # A provider by task id is asked again by its own tests.
    if isinstance(answer, Done):
        assert answer.pictures[0].spool or answer.pictures[0].url
