"""The catalogue: a model by every name it has, and what the operator says of it over that."""

from __future__ import annotations

from typing import Any

import pytest

from pictura.core.errors import BadRequest, HouseError
from pictura.core.model import Anything, ModelCard, Source
from pictura.core.price import PerPicture
from pictura.infra.config import ModelPrice, ModelSettings
from pictura.store.catalog import Catalog, Listing


def card(id: str, **said: Any) -> ModelCard:
    return ModelCard(**{"id": id, "source": Source("a test", "2026-11-20"), **said})


@pytest.fixture
def catalog() -> Catalog:
    made = Catalog({"My-Model": "gpt-image-2", "old": "no-such-model"})
    made.add("openai", [card("gpt-image-2", aliases=("ChatGPT-Image",)), card("dall-e-3")])
    made.add("test", [card("test/test")])
    made.add("fal", [card("fal-gpt-image-2", native="openai/gpt-image-2"), card("flux:dev", native="fal-ai/flux/dev")])
    return made


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("gpt-image-2", "gpt-image-2"),
        ("GPT-Image-2", "gpt-image-2"),
        ("chatgpt-image", "gpt-image-2"),
        ("openai/gpt-image-2", "gpt-image-2"),
        ("openai/gpt-image-2:free", "gpt-image-2"),
        ("gpt-image-2:free", "gpt-image-2"),
        ("my-model", "gpt-image-2"),
        ("test/test", "test/test"),
        ("flux:dev", "flux:dev"),
        ("black-forest-labs/flux:dev", "flux:dev"),
        ("fal-ai/flux/dev", "flux:dev"),
    ],
)
def test_a_model_by_any_of_its_names(catalog: Catalog, name: str, id: str) -> None:
    found = catalog.find(name)
    assert found is not None
    assert found.card.id == id


@pytest.mark.parametrize("name", ["", "gpt-image", "old", "no-such-model", "/", ":free", "test"])
def test_names_of_nothing(catalog: Catalog, name: str) -> None:
    assert catalog.find(name) is None


def test_a_name_that_is_nearly_right_is_answered_with_the_right_one(catalog: Catalog) -> None:
    error = catalog.unknown("gpt-imgae-2")
    assert "did you mean" in error.message
    assert "gpt-image-2" in error.message
    assert error.param == "model"
    assert "did you mean" not in catalog.unknown("zzzzzzzz").message


def test_the_catalogue_is_in_order(catalog: Catalog) -> None:
    assert [listing.card.id for listing in catalog.all()] == [
        "gpt-image-2",
        "dall-e-3",
        "test/test",
        "fal-gpt-image-2",
        "flux:dev",
    ]
    assert [listing.provider for listing in catalog.all()] == ["openai", "openai", "test", "fal", "fal"]


def test_two_models_of_one_name_are_a_mistake(catalog: Catalog) -> None:
    with pytest.raises(HouseError, match="'DALL-E-3': dall-e-3 and other"):
        catalog.add("other", [card("other", aliases=("DALL-E-3",))])


def test_two_models_of_one_id_are_a_mistake(catalog: Catalog) -> None:
    with pytest.raises(HouseError, match="'GPT-Image-2': of openai and of other"):
        catalog.add("other", [card("GPT-Image-2")])


def test_a_model_may_repeat_its_own_name() -> None:
    catalog = Catalog()
    catalog.add("one", [card("fox", native="fox", aliases=("FOX", "fox"))])
    assert catalog.find("fox") is not None


# -- layers --


def says(id: str, **said: Any) -> ModelSettings:
    return ModelSettings(id=id, **said)


def costs(dollars: str) -> dict[str, Any]:
    return {"price": ModelPrice(per_picture=dollars)}


def found(catalog: Catalog, name: str) -> Listing:
    listing = catalog.find(name)
    assert listing is not None
    return listing


def test_the_console_goes_before_the_file_and_the_file_before_what_is_built_in(catalog: Catalog) -> None:
    catalog.add_file([says("dall-e-3", notes="of the file", **costs("0.01")), says("test/test", notes="of the file")])
    assert catalog.lay([says("dall-e-3", **costs("0.02"))]) == {}
    told = found(catalog, "dall-e-3")
    assert (told.card.price, told.card.notes, told.origin) == (PerPicture(20_000), "of the file", "console")
    assert found(catalog, "test/test").origin == "file"
    assert found(catalog, "gpt-image-2").origin == "built-in"
    catalog.lay([])
    told = found(catalog, "dall-e-3")
    assert (told.card.price, told.origin) == (PerPicture(10_000), "file")


def test_an_overridden_model_keeps_its_place_and_its_names(catalog: Catalog) -> None:
    before = [listing.card.id for listing in catalog.all()]
    catalog.lay([says("GPT-IMAGE-2", native="ep-2026")])
    assert [listing.card.id for listing in catalog.all()] == before
    for name in ("gpt-image-2", "chatgpt-image", "my-model", "ep-2026"):
        assert found(catalog, name).card.native == "ep-2026"
    # What it was called before still leads to it, and to nobody else where a vendor calls another model so.
    assert found(catalog, "openai/gpt-image-2").card.id == "gpt-image-2"


def test_names_can_be_given_and_taken(catalog: Catalog) -> None:
    catalog.lay([says("gpt-image-2", aliases=("painter",)), says("test/test", aliases=("chatgpt-image",))])
    assert found(catalog, "painter").card.id == "gpt-image-2"
    assert found(catalog, "chatgpt-image").card.id == "test/test"


def test_a_new_model_starts_from_another_one(catalog: Catalog) -> None:
    catalog.lay([says("posters", base="ChatGPT-Image", aliases=("ads",)), says("flyers", base="posters")])
    assert [listing.card.id for listing in catalog.all()][-2:] == ["posters", "flyers"]
    told = found(catalog, "ads")
    assert (told.provider, told.card.native, told.origin) == ("openai", "gpt-image-2", "console")
    assert found(catalog, "flyers").card.native == "gpt-image-2"
    assert catalog.owner(told.card) == "openai"
    catalog.lay([])
    assert catalog.find("ads") is None and catalog.owner(told.card) == ""


def test_the_order_of_what_is_said_does_not_matter(catalog: Catalog) -> None:
    entries = [says("c", base="b"), says("b", base="a"), says("a", base="gpt-image-2"), says("gpt-image-2", notes="x")]
    assert catalog.lay(entries) == {}
    assert found(catalog, "c").card.notes == "x"


def test_a_new_model_of_a_provider_starts_from_its_generic_card() -> None:
    catalog = Catalog()
    catalog.add("acme", [], lambda name: card(name, params={"seed": Anything()}))
    catalog.add("plain", [])
    catalog.add_file([says("one", provider="acme"), says("two", provider="plain", native="second")])
    one, two = found(catalog, "one"), found(catalog, "two")
    assert (one.provider, one.card.id, one.card.params) == ("acme", "one", {"seed": Anything()})
    assert (two.provider, two.card.native, two.card.source.name) == ("plain", "second", "the operator")
    assert one.card.imitated is None and two.card.imitated is None


def test_another_providers_simulator_does_not_know_a_model(catalog: Catalog) -> None:
    catalog.lay([says("mine", base="gpt-image-2", provider="fal"), says("ours", base="gpt-image-2")])
    assert found(catalog, "mine").card.imitated is None
    assert found(catalog, "ours").card.imitated == "gpt-image-2"


@pytest.mark.parametrize(
    ("entry", "param", "message"),
    [
        (says("nothing"), "id", "there is no model 'nothing'; to add it, say base"),
        (says("chatgpt-image"), "id", "'chatgpt-image' is another name of gpt-image-2"),
        (says("my-model", base="gpt-image-2"), "id", "is an alias of gpt-image-2 in the settings file"),
        (says("new", base="nothing"), "base", "base 'nothing' is no model here"),
        (says("new", provider="acme"), "provider", "'acme' is not known; there are: fal, openai, test"),
        (says("new", base="new2"), "base", "'new2' is no model here"),
        (says("new", base="gpt-image-2", aliases=("DALL-E-3",)), "aliases", "two models are called 'DALL-E-3'"),
        (says("chatgpt-image", base="dall-e-3"), "aliases", "two models are called 'chatgpt-image'"),
        (says("gpt-image-2", successor="nothing"), "successor", "'nothing' is no model here"),
        (says("gpt-image-2", sizes=("big",)), "sizes", "'big' is not a size"),
    ],
)
def test_what_is_wrong_is_told_and_left_out(catalog: Catalog, entry: ModelSettings, param: str, message: str) -> None:
    before = catalog.all()
    assert catalog.wrong([entry]).keys() == {entry.id}
    assert catalog.all() is before
    wrong = catalog.lay([entry, says("dall-e-3", notes="x")])
    assert (wrong[entry.id].param, message in wrong[entry.id].message) == (param, True), wrong[entry.id].message
    assert len(wrong) == 1 and found(catalog, "dall-e-3").card.notes == "x"
    with pytest.raises(BadRequest, match=r"^\[\[model\]\] "):
        catalog.add_file([entry])


def test_two_models_that_start_from_each_other_are_both_left_out(catalog: Catalog) -> None:
    assert catalog.lay([says("a", base="b"), says("b", base="a")]).keys() == {"a", "b"}


def test_a_providers_card_for_what_it_calls_a_model_itself(catalog: Catalog) -> None:
    def told(provider: str, native: str) -> str:
        known = catalog.theirs(provider, native)
        return known.id if known else ""

    assert told("fal", "OpenAI/GPT-Image-2") == "fal-gpt-image-2"
    assert (told("openai", "gpt-image-2"), told("openai", "openai/gpt-image-2")) == ("gpt-image-2", "")
    catalog.lay([says("fal-gpt-image-2", **costs("0.09")), says("mine", base="fal-gpt-image-2")])
    known = catalog.theirs("fal", "openai/gpt-image-2")
    assert known is not None and (known.id, known.price) == ("fal-gpt-image-2", PerPicture(90_000))


def test_the_tuple_of_all_is_the_same_until_something_changes(catalog: Catalog) -> None:
    before = catalog.all()
    assert catalog.all() is before
    catalog.lay([])
    assert catalog.all() is not before
