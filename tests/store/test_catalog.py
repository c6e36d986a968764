"""The catalogue: a model by every name it has."""

from __future__ import annotations

from typing import Any

import pytest

from pictura.core.errors import HouseError
from pictura.core.model import ModelCard, Source
from pictura.store.catalog import Catalog


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


def test_a_model_may_repeat_its_own_name() -> None:
    catalog = Catalog()
    catalog.add("one", [card("fox", native="fox", aliases=("FOX", "fox"))])
    assert catalog.find("fox") is not None
