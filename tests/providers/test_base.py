from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest

from pictura.core.errors import BadRequest
from pictura.core.model import Choice, ModelCard, Source, Span
from pictura.core.picture import InMemory
from pictura.providers.base import Ask, AskPicture, Channel, Done, Provider
from tests.providers.conftest import KEY, Connect, Make

CARD = ModelCard(
    id="fox", params={"steps": Span(1, 50), "quality": Choice(("low", "high"))}, source=Source("a test", "2026-11-20")
)


class Painter(Provider):
    name = "painter"
    channel_options: ClassVar = {"palette": "which colours"}

    async def start(self, ask: Ask, via: Channel) -> Done:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("params", "names", "chosen"),
    [
        ({}, {}, {}),
        ({"steps": 4, "quality": "auto", "seed": 7}, {}, {"steps": 4}),
        ({"steps": 4, "quality": "low"}, {"steps": "num_steps"}, {"num_steps": 4, "quality": "low"}),
        ({"quality": ""}, {"quality": "grade"}, {}),
    ],
)
def test_options_are_those_of_the_card_that_were_chosen(
    params: Mapping[str, object], names: Mapping[str, str], chosen: Mapping[str, object], ask: Make
) -> None:
    assert ask(CARD, params=params).options(names) == chosen


def test_a_picture_in_json_and_in_a_form() -> None:
    picture = AskPicture(InMemory(b"fox"), "image/jpeg", 64, 64)
    assert (picture.data_url.source, picture.data_url.prefix) == (picture.source, "data:image/jpeg;base64,")
    part = picture.part("image[]")
    assert (part.name, part.value, part.filename, part.content_type) == (
        "image[]",
        picture.source,
        "image.jpg",
        "image/jpeg",
    )
    assert picture.part("image", "fox.jpg").filename == "fox.jpg"


def test_a_channel_s_key_as_most_vendors_want_it(connect: Connect) -> None:
    channel = connect("http://127.0.0.1:9")
    assert channel.bearer == {"Authorization": f"Bearer {KEY}"}
    channel.secrets = {"access_key": KEY}
    assert channel.bearer == {}


def test_an_option_may_stand_where_earlier_versions_had_it(connect: Connect) -> None:
    channel = connect("http://127.0.0.1:9")
    assert channel.option("palette") == ""
    channel.secrets = {"palette": "cold"}
    assert channel.option("palette") == "cold"
    channel.options = {"palette": 7}
    assert channel.option("palette") == "7"


def test_a_provider_knows_its_options() -> None:
    Painter().check_options({"palette": "warm"})
    with pytest.raises(BadRequest, match="painter has no option 'colours'; it has palette") as caught:
        Painter().check_options({"palette": "warm", "colours": 7})
    assert caught.value.param == "options"
