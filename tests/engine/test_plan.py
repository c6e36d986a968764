"""From a request to a plan: which model, what it may cost, whom to ask in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from pictura.core.errors import (
    BadRequest,
    Forbidden,
    NotFound,
    NotSent,
    RetiredModel,
    Throttled,
    UnknownModel,
    Unsupported,
)
from pictura.core.model import Anything, Choice, Flag, Inputs, ModelCard, Prompt, Span, Words
from pictura.core.price import PerMegapixel, PerPicture, PriceList, Row
from pictura.core.request import ImageRequest, InputPicture
from pictura.core.size import FreePixels, ListedPixels, Shapes, Size
from pictura.engine.plan import STAND_IN, Plan
from pictura.infra.config import ModelPrice, ModelSettings
from pictura.store.channels import ChannelRecord
from pictura.store.keys import Key
from tests.conftest import CARD, SOURCE, Scripted
from tests.engine.conftest import PREPAID, Engine, ask, channel, open_engine

WOLF = msgspec.structs.replace(
    CARD,
    id="wolf",
    native="",
    aliases=(),
    sizes=Shapes(aspects=("1:1", "16:9"), tiers=("1K", "2K")),
    price=PriceList((Row(10, "low", "1K"), Row(20, "high", "1K"), Row(50, "high", "2K"))),
    params={
        "quality": Choice(("low", "high")),
        "negative_prompt": Words(),
        "user": Words(),
        "input_region": Choice(("EU", "US")),
    },
    fan_out=False,
)
QUILL = ModelCard(
    id="quill",
    prompt=Prompt("none"),
    outputs=("svg",),
    params={"detail": Span(1, 4, whole=False), "smooth": Flag()},
    source=SOURCE,
)
DEAD = ModelCard(id="dodo", status="retired", ends="2025-01-01", source=SOURCE)


UNPRICED = msgspec.structs.replace(CARD, id="lynx", native="", aliases=(), price=None)


HARE = ModelCard(
    id="hare",
    outputs=("jpeg",),
    params={
        "sequential_image_generation": Choice(("disabled", "auto")),
        "sequential_image_generation_options": Anything(),
    },
    source=SOURCE,
)


class Zoo(Scripted):
    MODELS = (CARD, WOLF, QUILL, DEAD, UNPRICED, HARE)

    def generic(self, model: str) -> ModelCard | None:
        return ModelCard(id=model, sizes=FreePixels(), source=SOURCE) if model.startswith("my-") else None


class Imitated(Zoo):
    sandbox_path = "/zoo"


class Reseller(Scripted):
    name = "reseller"
    MODELS = (msgspec.structs.replace(CARD, id="resold-fox", native="reseller/fox", aliases=()),)


class Other(Scripted):
    """Draws others' models as well, one at a time."""

    name = "other"
    MODELS = (ModelCard(id="other-fox", native="Fox/1", max_n=1, price=PerPicture(70_000), source=SOURCE),)
    SERVES: ClassVar = {"fox": "other-fox", "wolf": "Wolf/2"}


@pytest.fixture
async def engine(data: Path) -> AsyncIterator[Engine]:
    async with open_engine(data, Zoo(), Other(), channels=(), aliases={"grey": "wolf"}) as engine:
        yield engine


def plan(engine: Engine, request: ImageRequest | None = None, *channels: ChannelRecord, key: Key | None = None) -> Plan:
    for record in channels or (channel(),):
        engine.channels.add(record)
    return engine.planner.plan(request or ask(), key or engine.key())


def names(planned: Plan) -> list[str]:
    return [candidate.record.name for candidate in planned.candidates]


def sandbox(name: str = "sandbox", **said: Any) -> ChannelRecord:
    return channel(name, origin="sandbox", **said)


# -- which model --


async def test_a_request_becomes_a_plan(engine: Engine) -> None:
    planned = plan(engine, ask(n=3, size=Size(width=64, height=128)))
    assert planned.card is CARD
    assert planned.parts == (2, 1)
    assert planned.size == Size(width=64, height=128)
    assert planned.hold == 120_000
    assert planned.candidates[0].native == "fox-1"
    assert planned.candidates[0].price == PerPicture(40_000)
    assert (planned.adjusted, planned.ignored, planned.sandbox) == ((), (), False)


async def test_a_call_is_no_larger_than_all_who_may_get_it_take(engine: Engine) -> None:
    another = channel("another", provider="other", models={"fox": "Fox/1"}, priority=1)
    planned = plan(engine, ask(n=3), channel(), another)
    assert names(planned) == ["main", "another"]
    assert planned.parts == (1, 1, 1)
    assert engine.planner.plan_again(ask(n=3), ["another"]).parts == (1, 1, 1)


async def test_who_resells_a_model_comes_after_its_maker(engine: Engine) -> None:
    for _ in range(20):
        planned = plan(engine, None, channel(), channel("reseller", provider="other", weight=1000))
        assert names(planned) == ["main", "reseller"]
    made, resold = planned.candidates
    assert (made.native, made.price) == ("fox-1", PerPicture(40_000))
    assert (resold.native, resold.price) == ("Fox/1", PerPicture(70_000))
    assert planned.hold == 70_000


async def test_a_model_that_a_reseller_s_channel_lists_by_its_id_goes_by_the_reseller_s_name(engine: Engine) -> None:
    reseller = channel("reseller", provider="other", models={"fox": ""})
    (only,) = plan(engine, None, reseller).candidates
    assert (only.native, only.price) == ("Fox/1", PerPicture(70_000))


async def test_a_priority_counts_more_than_who_makes_the_model(engine: Engine) -> None:
    planned = plan(engine, None, channel(priority=1), channel("reseller", provider="other"))
    assert names(planned) == ["reseller", "main"]


async def test_a_reseller_that_names_no_price_takes_the_makers(engine: Engine) -> None:
    (only,) = plan(engine, ask(model="wolf"), channel("reseller", provider="other")).candidates
    assert (only.native, only.price) == ("Wolf/2", WOLF.price)


async def test_a_test_key_meets_the_makers_simulator_alone(engine: Engine) -> None:
    key = next(key for key in engine.ring.all() if key.kind == "test")
    assert names(plan(engine, None, sandbox(), sandbox("another", provider="other"), key=key)) == ["sandbox"]


@pytest.mark.parametrize(
    ("images", "options", "pictures"),
    [(0, None, 15), (2, None, 13), (0, {"max_images": 4}, 4), (14, {"max_images": 4}, 1), (0, {"max_images": "4"}, 15)],
)
async def test_a_group_is_held_for_whole(engine: Engine, images: int, options: object, pictures: int) -> None:
    group = Choice(("disabled", "auto"))
    herd = msgspec.structs.replace(
        CARD,
        id="herd",
        native="",
        aliases=(),
        max_n=1,
        group_most=15,
        inputs=Inputs(count=14),
        params={"sequential_image_generation": group, "sequential_image_generation_options": Anything()},
    )
    engine.catalog.add("scripted", [herd])
    params = {"sequential_image_generation": "auto", "sequential_image_generation_options": options}
    shown = tuple(InputPicture(ref=f"upload:{number}") for number in range(images))
    asked = ask(model="herd", images=shown, params={name: value for name, value in params.items() if value})
    assert plan(engine, asked, channel(models={"herd": ""})).hold == pictures * 40_000
    alone = ask(model="herd", params={"sequential_image_generation": "disabled"})
    assert plan(engine, alone, channel(models={"herd": ""})).hold == 40_000


@pytest.mark.parametrize(
    ("name", "id"), [("fox", "fox"), ("VULPES", "fox"), ("fox-1", "fox"), ("zoo/wolf:free", "wolf"), ("grey", "wolf")]
)
async def test_a_model_by_its_names(engine: Engine, name: str, id: str) -> None:
    assert plan(engine, ask(model=name)).card.id == id


async def test_a_model_that_only_a_channel_knows_gets_the_providers_generic_card(engine: Engine) -> None:
    with pytest.raises(UnknownModel):
        plan(engine, ask(model="my-own"))
    planned = plan(engine, ask(model="my-own"), channel(models={"my-own": "ft:42"}))
    assert planned.card.id == "my-own"
    assert planned.candidates[0].native == "ft:42"
    assert planned.hold == 0


async def test_a_disabled_channels_models_are_not_known(engine: Engine) -> None:
    with pytest.raises(UnknownModel):
        plan(engine, ask(model="my-own"), channel(models={"my-own": ""}, enabled=False))


async def test_a_model_that_was_switched_off_is_drawn_where_a_channel_lists_it(engine: Engine) -> None:
    with pytest.raises(RetiredModel, match="on 2025-01-01"):
        plan(engine, ask(model="dodo"))
    assert names(plan(engine, ask(model="dodo"), channel("azure", models={"dodo": "dodo-eu"}))) != []


async def test_a_test_key_draws_what_was_switched_off(engine: Engine) -> None:
    key = next(key for key in engine.ring.all() if key.kind == "test")
    assert plan(engine, ask(model="dodo"), sandbox(), key=key).sandbox


async def test_an_alias_of_what_was_switched_off_is_for_live_keys(data: Path) -> None:
    """A test key draws the model itself, also when its job is taken up again."""
    aliases = {"dodo": "wolf", "grey": "fox"}
    async with open_engine(data, Zoo(), channels=(channel(), sandbox()), aliases=aliases) as engine:
        key = next(key for key in engine.ring.all() if key.kind == "test")
        for name, live, test in (("dodo", "wolf", "dodo"), ("zoo/Dodo:free", "dodo", "dodo"), ("grey", "fox", "fox")):
            if live != "dodo":
                assert engine.planner.plan(ask(model=name), engine.key()).card.id == live
            assert engine.planner.plan(ask(model=name), key).card.id == test
            assert engine.planner.plan_again(ask(model=name), ["sandbox"]).card.id == test
            assert engine.planner.plan_again(ask(model=name), ["main"]).card.id == live


# -- whom to ask --


async def test_a_key_is_shown_what_it_may_use(engine: Engine) -> None:
    engine.channels.add(channel())
    limited = msgspec.structs.replace(engine.key(), models=("FOX", "ly*"))
    assert [listing.card.id for listing in engine.planner.listings(limited)] == ["fox", "lynx"]
    assert len(engine.planner.listings(engine.key())) == len(Zoo.MODELS)
    assert len(engine.planner.listings(None)) == len((*Zoo.MODELS, *Other.MODELS))


async def test_test_keys_meet_the_sandbox_and_live_keys_do_not(engine: Engine) -> None:
    key = next(key for key in engine.ring.all() if key.kind == "test")
    assert names(plan(engine, None, channel(), sandbox(), key=key)) == ["sandbox"]
    assert names(plan(engine, None, channel(), sandbox())) == ["main"]
    # What is known of the one says nothing of the other.
    assert names(engine.planner.plan(ask(), key)) == ["sandbox"]
    assert plan(engine, key=key).hold == 0


async def test_without_a_channel_nobody_is_asked(engine: Engine) -> None:
    with pytest.raises(NotSent, match="no channel here serves fox") as caught:
        engine.planner.plan(ask(), engine.key())
    assert caught.value.config
    key = next(key for key in engine.ring.all() if key.kind == "test")
    with pytest.raises(NotSent, match="the sandbox does not draw fox"):
        engine.planner.plan(ask(), key)


@pytest.mark.parametrize(
    ("said", "serves"),
    [
        ({}, True),
        ({"enabled": False}, False),
        ({"models": {"fox": ""}}, True),
        ({"models": {"Vulpes": ""}}, True),
        ({"models": {"wolf": ""}}, False),
        ({"models": {}}, False),
        ({"provider": "other"}, True),
        ({"provider": "other", "models": {}}, False),
        ({"provider": "other", "models": {"fox": "their-fox"}}, True),
        ({"provider": "not installed"}, False),
    ],
)
async def test_which_channels_serve_a_model(engine: Engine, said: dict[str, Any], serves: bool) -> None:
    engine.channels.add(channel(**said))
    assert bool(engine.planner.serving(CARD, engine.key())) is serves


@pytest.mark.parametrize(("models", "native"), [(None, "fox-1"), ({"fox": ""}, "fox-1"), ({"FOX": "theirs"}, "theirs")])
async def test_what_a_channel_calls_the_model(engine: Engine, models: dict[str, str] | None, native: str) -> None:
    assert plan(engine, None, channel(models=models)).candidates[0].native == native


async def test_a_change_of_channels_counts_at_once(engine: Engine) -> None:
    assert names(plan(engine)) == ["main"]
    engine.channels.add(channel("second", priority=-1))
    assert names(engine.planner.plan(ask(), engine.key())) == ["second", "main"]
    engine.channels.add(channel("second", enabled=False))
    assert names(engine.planner.plan(ask(), engine.key())) == ["main"]


async def test_lower_priorities_come_first_and_the_region_before_them(engine: Engine) -> None:
    eu = channel("eu", priority=5, region="EU")
    records = (channel("b", priority=2), channel("a", priority=1), eu)
    assert names(plan(engine, None, *records)) == ["a", "b", "eu"]
    assert names(plan(engine, ask(model="wolf", params={"input_region": "EU"}), *records)) == ["eu", "a", "b"]


async def test_channels_of_one_priority_share_by_weight(engine: Engine) -> None:
    for record in (channel("heavy", weight=3), channel("light", weight=1), channel("none", weight=0)):
        engine.channels.add(record)
    first = Counter(names(engine.planner.plan(ask(), engine.key()))[0] for _ in range(2000))
    assert 0.65 < first["heavy"] / 2000 < 0.85
    assert first["none"] < 20


async def test_the_sandbox_never_rests(engine: Engine) -> None:
    engine.health.failed("sandbox", "fox", Throttled("asked for", retry_after_s=60))
    key = next(key for key in engine.ring.all() if key.kind == "test")
    assert names(plan(engine, None, sandbox(), key=key)) == ["sandbox"]


async def test_who_rests_is_not_asked(engine: Engine) -> None:
    plan(engine, None, channel("first"), channel("second"))
    engine.health.failed("first", "fox", Throttled("slow", retry_after_s=30))
    assert names(engine.planner.plan(ask(), engine.key())) == ["second"]
    engine.health.failed("second", "fox", Throttled("slow", retry_after_s=20))
    with pytest.raises(NotSent, match="every channel for fox is resting") as caught:
        engine.planner.plan(ask(), engine.key())
    assert caught.value.retry_after_s in (20, 21)
    assert names(engine.planner.plan(ask(model="wolf"), engine.key())) != []
    engine.clock.now += 20
    assert names(engine.planner.plan(ask(), engine.key())) == ["second"]


async def test_a_channel_that_is_named_is_asked_alone_and_even_when_it_rests(engine: Engine) -> None:
    plan(engine, None, channel("first"), channel("second"))
    assert names(engine.planner.plan(ask(), engine.key(), "second")) == ["second"]
    engine.health.failed("second", "fox", Throttled("slow", retry_after_s=30))
    assert names(engine.planner.plan(ask(), engine.key(), "second")) == ["second"]
    with pytest.raises(NotSent, match="no channel here serves fox"):
        engine.planner.plan(ask(), engine.key(), "third")


class Instructed(Scripted):
    name = "instructed"
    MODELS = ()
    SERVES: ClassVar = {"fox": "Fox/1"}

    def instructed(self, card: ModelCard, native: str) -> bool:
        return True


async def test_an_instruction_counts_where_it_becomes_the_beginning_of_the_prompt(data: Path) -> None:
    most = CARD.prompt.max_chars
    long = ask("p" * (most - 7), system="in blue")
    async with open_engine(data, Zoo(), Other(), Instructed(), channels=()) as engine:
        with pytest.raises(BadRequest, match=r"32,001 characters.*; systemInstruction is its beginning"):
            plan(engine, long, channel(), channel("other", provider="other"))
        channels = channel(), channel("other", provider="other"), channel("taker", provider="instructed")
        assert names(plan(engine, long, *channels)) == ["taker"]
        assert set(names(plan(engine, ask("p" * (most - 8), system="in blue")))) == {"main", "other", "taker"}
        with pytest.raises(BadRequest, match="quill takes no prompt"):
            plan(engine, ask("", model="quill", system="in blue"))


# -- what it may cost --


@pytest.mark.parametrize(
    ("request_", "hold"),
    [
        (ask(), 40_000),
        (ask(n=2), 80_000),
        (ask(n=5), 200_000),
        (ask(model="wolf", params={"quality": "low"}, size=Size(tier="1K")), 10),
        (ask(model="wolf", params={"quality": "high"}, size=Size(tier="1K")), 20),
        (ask(model="wolf", params={"quality": "high"}), 50),
        (ask(model="wolf"), 50),
        (ask(model="wolf", n=2), 100),
    ],
)
async def test_the_dearest_outcome_is_held(engine: Engine, request_: ImageRequest, hold: int) -> None:
    assert plan(engine, request_).hold == hold


async def test_of_sizes_that_the_vendor_chooses_from_the_dearest_is_held_for(data: Path) -> None:
    provider = Scripted()
    sizes = ListedPixels(values=("1024x1024", "2048x2048"), auto=True)
    provider.MODELS = (msgspec.structs.replace(CARD, sizes=sizes, price=PerMegapixel(100, 10)),)  # type: ignore[misc]
    async with open_engine(data, provider) as engine:
        assert engine.planner.plan(ask(), engine.key()).hold == 130


async def test_the_dearest_channel_is_held_for(engine: Engine) -> None:
    assert plan(engine, None, channel(), channel("dear", price_per_picture=90_000)).hold == 90_000
    assert plan(engine, None, channel("dear", price_per_picture=0)).hold == 40_000


async def test_a_prepaid_project_needs_a_price_on_every_channel(engine: Engine) -> None:
    key = engine.key(PREPAID)
    priced = channel("priced", models={"my-own": ""}, price_per_picture=5)
    assert plan(engine, ask(model="my-own"), priced, key=key).hold == 5
    # Another whose price nobody knows is not asked for it, but by those who need not pay before.
    unknown = channel("not", models={"my-own": ""}, priority=1)
    assert names(plan(engine, ask(model="my-own"), unknown, key=key)) == ["priced"]
    assert names(plan(engine, ask(model="my-own"))) == ["priced", "not"]
    engine.channels.add(channel("priced", enabled=False))
    with pytest.raises(Forbidden, match="per_picture"):
        plan(engine, ask(model="my-own"), channel("not", models={"my-own": ""}), key=key)


async def test_what_the_operator_says_of_a_price_counts_at_once(engine: Engine) -> None:
    key = engine.key(PREPAID)
    with pytest.raises(Forbidden, match=r"pictura models set-price lynx 0\.04"):
        plan(engine, ask(model="lynx"), key=key)
    assert plan(engine, ask(model="lynx", n=3)).hold == 0
    assert engine.catalog.lay([says("lynx", per_picture="0.3", currency="CNY", rate="6.80")]) == {}
    assert plan(engine, ask(model="lynx", n=3), key=key).hold == 3 * 44_118
    assert plan(engine, ask(model="lynx"), channel(price_per_picture=7), key=key).hold == 7
    engine.catalog.lay([])
    with pytest.raises(Forbidden):
        plan(engine, ask(model="lynx"), channel(), key=key)


async def test_a_price_the_operator_named_counts_more_than_what_the_vendor_tells(engine: Engine) -> None:
    assert [candidate.agreed for candidate in plan(engine).candidates] == [False]
    engine.catalog.lay([says("fox", per_picture="0.05"), says("cub", base="fox")])
    for model in ("fox", "cub"):
        (candidate,) = plan(engine, ask(model=model)).candidates
        assert (candidate.price, candidate.agreed) == (PerPicture(50_000), True)


async def test_what_the_operator_says_of_a_resellers_card_counts_for_the_reseller(data: Path) -> None:
    async with open_engine(data, Zoo(), Reseller(), channels=()) as engine:
        engine.channels.add(channel("shop", provider="reseller", models={"fox": "reseller/fox"}))
        engine.catalog.lay([says("resold-fox", per_picture="0.07"), says("fox", per_picture="0.05")])
        (candidate,) = engine.planner.plan(ask(), engine.key()).candidates
        assert (candidate.price, candidate.agreed) == (PerPicture(70_000), True)


# -- the operator's own cards --


def says(id: str, *, base: str = "", provider: str = "", native: str = "", **price: str) -> ModelSettings:
    return ModelSettings(
        id=id, base=base, provider=provider, native=native, price=msgspec.convert(price, ModelPrice) if price else None
    )


async def test_a_card_of_the_operator_is_served_by_its_providers_channels_at_once(engine: Engine) -> None:
    for record in (channel("main"), channel("listed", models={"wolf": ""}), channel("other", provider="other")):
        engine.channels.add(record)
    with pytest.raises(UnknownModel):
        engine.planner.plan(ask(model="pack"), engine.key())
    engine.catalog.lay([says("pack", base="wolf", native="wolf-2"), says("den", base="wolf", provider="other")])
    served = {model: engine.planner.plan(ask(model=model), engine.key()).candidates for model in ("pack", "den")}
    assert [(candidate.record.name, candidate.native) for candidate in served["pack"]] == [("main", "wolf-2")]
    assert ("other", "wolf") in [(candidate.record.name, candidate.native) for candidate in served["den"]]
    engine.catalog.lay([says("pack", base="fox", provider="other")])
    assert names(engine.planner.plan(ask(model="pack"), engine.key())) == ["other"]


async def test_in_the_sandbox_a_model_has_the_name_its_simulator_knows(data: Path) -> None:
    async with open_engine(data, Imitated(), channels=()) as engine:
        engine.channels.add(sandbox(base_url="http://127.0.0.1:9/zoo"))
        key = next(key for key in engine.ring.all() if key.kind == "test")
        engine.catalog.lay([says("fox", native="ep-2026"), says("own", provider="scripted"), says("cub", base="fox")])
        told = {}
        for model in ("fox", "cub", "own", "wolf"):
            (candidate,) = engine.planner.plan(ask(model=model), key).candidates
            told[model] = (candidate.native, candidate.record.base_url, candidate.provider is STAND_IN)
        assert told == {
            "fox": ("fox-1", "http://127.0.0.1:9/zoo", False),
            "cub": ("fox-1", "http://127.0.0.1:9/zoo", False),
            "own": ("own", "http://127.0.0.1:9/plain", True),
            "wolf": ("wolf", "http://127.0.0.1:9/zoo", False),
        }


# -- in the model's own words --


def adjusted(request: ImageRequest, *names: str) -> ImageRequest:
    return msgspec.structs.replace(request, adjustable=frozenset(names))


async def test_a_size_is_fitted_or_adjusted_or_refused(engine: Engine) -> None:
    square = ask(model="wolf", size=Size(width=2048, height=2048))
    assert plan(engine, square).size == Size(aspect="1:1", tier="2K")
    assert plan(engine, adjusted(square, "size")).adjusted == ()
    odd = ask(model="wolf", size=Size(width=1000, height=700))
    with pytest.raises(BadRequest, match="1000x700"):
        plan(engine, odd)
    planned = plan(engine, adjusted(odd, "size"))
    assert planned.size == Size(aspect="16:9", tier="1K")
    assert planned.adjusted == ("size=1000x700→16:9 1K",)


@pytest.mark.parametrize(
    ("size", "fields", "notes"),
    [
        (Size(aspect="16:9", tier="3K"), {"tier": "image_size"}, ("image_size=3K→2K",)),
        (Size(aspect="2:3", tier="1K"), {"tier": "image_size", "aspect": "aspect_ratio"}, ("aspect_ratio=2:3→1:1",)),
        (Size(aspect="16:9", tier="2K"), {"tier": "image_size"}, ()),
    ],
)
async def test_what_was_adjusted_goes_by_the_clients_own_field(
    engine: Engine, size: Size, fields: dict[str, str], notes: tuple[str, ...]
) -> None:
    planned = plan(engine, adjusted(ask(model="wolf", size=size, size_fields=fields), "size"))
    assert planned.adjusted == notes


async def test_a_word_that_is_adjusted_is_told(engine: Engine) -> None:
    words = {"quality": {"medium": "low"}}
    request = ask(model="wolf", params={"quality": "medium"}, words=words)
    assert plan(engine, request).adjusted == ()
    planned = plan(engine, adjusted(request, "quality"))
    assert (planned.request.params, planned.adjusted) == ({"quality": "low"}, ("quality=medium→low",))


async def test_a_quality_that_a_model_lacks_is_taken_to_the_nearest(engine: Engine) -> None:
    request = ask(model="wolf", params={"quality": "max"})
    with pytest.raises(BadRequest, match="'max' is not allowed"):
        plan(engine, request)
    planned = plan(engine, adjusted(request, "quality"))
    assert (planned.request.params, planned.adjusted) == ({"quality": "high"}, ("quality=max→high",))
    with pytest.raises(BadRequest, match="'ultra' is not allowed"):
        plan(engine, adjusted(ask(model="wolf", params={"quality": "ultra"}), "quality"))


async def test_harmless_fields_are_passed_over_even_where_others_are_refused(engine: Engine) -> None:
    request = ask(extra={"safetySettings": []}, unknown="refuse", harmless=frozenset({"safetySettings"}))
    assert plan(engine, request).ignored == ("safetySettings",)


async def test_a_routers_words_are_mapped_where_the_model_does_not_know_them(engine: Engine) -> None:
    words = {"quality": {"hd": "high", "low": "high"}}
    assert plan(engine, ask(model="wolf", params={"quality": "hd"}, words=words)).request.params == {"quality": "high"}
    assert plan(engine, ask(model="wolf", params={"quality": "low"}, words=words)).request.params == {"quality": "low"}


async def test_what_a_model_does_not_have_is_left_out_where_the_router_does_so(engine: Engine) -> None:
    request = ask(params={"quality": "high", "style": "auto"})
    with pytest.raises(BadRequest, match="does not take quality"):
        plan(engine, request)
    planned = plan(engine, adjusted(request, "quality", "style"))
    assert planned.request.params == {"style": "auto"}
    assert planned.adjusted == ("quality=high→none",)


@pytest.mark.parametrize("format", ["", "png"])
async def test_a_picture_that_loses_nothing_is_not_compressed_in_silence(engine: Engine, format: str) -> None:
    """A fox is a PNG where nobody says otherwise."""
    request = ask(output_format=format, output_compression=50)
    with pytest.raises(Unsupported, match="for jpeg and webp, and this would be png") as caught:
        plan(engine, request)
    assert (caught.value.param, caught.value.allowed) == ("output_compression", ("100",))
    planned = plan(engine, adjusted(request, "output_compression"))
    assert (planned.request.output_compression, planned.adjusted) == (None, ("output_compression=50→none",))
    whole = plan(engine, msgspec.structs.replace(request, output_compression=100))
    assert (whole.request.output_compression, whole.adjusted) == (None, ())


async def test_a_compression_names_the_format_that_it_is_of(engine: Engine) -> None:
    webp = plan(engine, ask(output_format="webp", output_compression=50))
    assert (webp.request.output_compression, webp.asked_format) == (50, "webp")
    usual = plan(engine, ask(model="hare", output_compression=50))
    assert (usual.request.output_compression, usual.request.output_format) == (50, "jpeg")
    assert plan(engine, ask(model="hare")).request.output_format == ""
    # A dialect's usual format says nothing of vectors, so its compression does not either.
    with pytest.raises(Unsupported, match="this would be svg"):
        plan(engine, ask("", model="quill", output_format="webp", output_compression=50))


@pytest.mark.parametrize("group", [{}, {"sequential_image_generation": "disabled"}])
async def test_options_of_no_group_are_refused_or_told(engine: Engine, group: dict[str, object]) -> None:
    options = {"sequential_image_generation_options": {"max_images": 3}}
    request = ask(model="hare", params={**group, **options})
    with pytest.raises(Unsupported, match="none was asked for") as caught:
        plan(engine, request)
    assert caught.value.param == "sequential_image_generation_options"
    planned = plan(engine, adjusted(request, "sequential_image_generation_options"))
    assert planned.request.params == group
    assert planned.adjusted == ('sequential_image_generation_options={"max_images":3}→none',)
    asked = ask(model="hare", params={"sequential_image_generation": "auto", **options})
    assert plan(engine, asked).request.params == asked.params


async def test_fields_nobody_knows_are_passed_on_ignored_or_refused(engine: Engine) -> None:
    request = ask(model="wolf", extra={"negative_prompt": "cats", "lora": 1, "steps": 2})
    planned = plan(engine, request)
    assert planned.request.params == {"negative_prompt": "cats"}
    assert planned.request.extra == {}
    assert planned.ignored == ("lora", "steps")
    with pytest.raises(BadRequest, match="unknown parameter: 'lora'") as caught:
        plan(engine, msgspec.structs.replace(request, unknown="refuse"))
    assert caught.value.param == "lora"


async def test_the_vendor_is_told_who_asks_where_it_wants_to_know(engine: Engine) -> None:
    assert plan(engine, ask(model="wolf", user="somebody")).request.params == {"user": "somebody"}
    assert plan(engine, ask(user="somebody")).request.params == {}


@pytest.mark.parametrize(("wanted", "asked"), [("", ""), ("png", "png"), ("webp", "webp"), ("jpeg", "")])
async def test_a_format_is_the_vendors_or_made_here(engine: Engine, wanted: str, asked: str) -> None:
    assert plan(engine, ask(output_format=wanted)).asked_format == asked


@pytest.mark.parametrize(("wanted", "message"), [("gif", "allowed: png, webp, jpeg"), ("xyz", "no picture format")])
async def test_a_format_nobody_makes_is_refused(engine: Engine, wanted: str, message: str) -> None:
    with pytest.raises(BadRequest, match=message) as caught:
        plan(engine, ask(output_format=wanted))
    assert caught.value.param == "output_format"


@pytest.mark.parametrize("wanted", ["webp", "png", "jpeg"])
async def test_of_vectors_a_dialects_usual_format_says_nothing(engine: Engine, wanted: str) -> None:
    planned = plan(engine, ask(model="quill", prompt="", output_format=wanted))
    assert (planned.request.output_format, planned.asked_format, planned.adjusted) == ("", "", ())
    with pytest.raises(BadRequest, match=rf"output_format '{wanted}' is not had from quill; allowed: svg$"):
        plan(engine, ask(model="quill", prompt="", output_format=wanted, format_named=True))


async def test_vectors_that_were_asked_for(engine: Engine) -> None:
    planned = plan(engine, ask(model="quill", prompt="", output_format="svg", format_named=True))
    assert (planned.request.output_format, planned.asked_format) == ("svg", "svg")


@pytest.mark.parametrize("model", ["quill", "wolf"])
async def test_a_blank_prompt_is_none(engine: Engine, model: str) -> None:
    assert plan(engine, ask(model=model, prompt=" \n")).request.prompt == ""


@pytest.mark.parametrize(
    ("value", "meant"),
    [("2", 2), ("1.5", 1.5), (" 2 ", 2), (2, 2), ("true", True), ("False", False)],
)
async def test_a_form_says_vendors_options_in_words(engine: Engine, value: object, meant: object) -> None:
    name = "smooth" if isinstance(meant, bool) else "detail"
    params = plan(engine, ask(model="quill", prompt="", extra={name: value})).request.params
    assert params == {name: meant} and type(params[name]) is type(meant)


@pytest.mark.parametrize("value", ["", "much", "1e1", "٢", "1" * 19])
async def test_a_word_that_is_no_number_is_refused(engine: Engine, value: str) -> None:
    with pytest.raises(BadRequest, match=r"detail .* is not allowed; allowed: a number from 1 to 4"):
        plan(engine, ask(model="quill", prompt="", extra={"detail": value}))


# -- again --


async def test_a_job_that_is_under_way_is_planned_as_before(engine: Engine) -> None:
    request = ask(
        model="wolf", params={"quality": "hd"}, words={"quality": {"hd": "high"}}, n=2, size=Size(width=9, height=9)
    )
    first = plan(engine, adjusted(request, "size"), channel("first"), channel("second"))
    again = engine.planner.plan_again(first.request, ["second", "first", "second"])
    assert names(again) == ["second", "first"]
    assert (again.card, again.request, again.size, again.parts) == (first.card, first.request, first.size, first.parts)
    assert again.adjusted == first.adjusted == ("size=9x9→1:1 1K",)


async def test_what_was_left_out_is_told_after_a_crash_too(engine: Engine) -> None:
    request = ask(params={"quality": "high"}, output_compression=50)
    first = plan(engine, adjusted(request, "quality", "output_compression"))
    assert first.adjusted == ("quality=high→none", "output_compression=50→none")
    assert engine.planner.plan_again(first.request, ["main"]).adjusted == first.adjusted


async def test_nothing_is_judged_anew(engine: Engine) -> None:
    first = plan(engine)
    engine.channels.add(channel(enabled=False))
    engine.health.failed("main", "fox", Throttled("slow", retry_after_s=30))
    assert names(engine.planner.plan_again(first.request, ["main"])) == ["main"]


async def test_a_channel_or_its_provider_that_is_gone(engine: Engine) -> None:
    with pytest.raises(NotFound, match="no channel 'main'"):
        engine.planner.plan_again(ask(), ["main"])
    engine.channels.add(channel(provider="uninstalled"))
    with pytest.raises(NotFound, match="'uninstalled', which is not installed"):
        engine.planner.plan_again(ask(), ["main"])
    with pytest.raises(UnknownModel):
        engine.planner.plan_again(ask(model="gone"), [])


async def test_pictures_are_refused_by_a_model_that_takes_none(engine: Engine) -> None:
    record = channel(models={"my-own": ""})
    with pytest.raises(BadRequest, match="takes no input pictures"):
        plan(engine, ask(model="my-own", images=(InputPicture(ref="upload:0"),)), record)
