"""The house put together: its first start and its second, its channels, and what keeps it from opening."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from aiohttp import ClientSession

from pictura.core import plugins
from pictura.core.errors import BadRequest, HouseError, Unauthorized
from pictura.core.price import PerPicture
from pictura.doors.house import House, open_house
from pictura.infra.config import (
    ChannelSettings,
    DatabaseSettings,
    Environment,
    ModelPrice,
    ModelSettings,
    Settings,
    StorageSettings,
)
from pictura.providers.fal import Fal
from pictura.store import audit, jobs
from tests.doors.door import ADMIN, KEYS, LIVE, TEST, answering, look, open_door
from tests.upstream import KEY, Upstream, running

NOTHING = Environment()


def given(**variables: str) -> Environment:
    return Environment(variables)


def configured(*channels: ChannelSettings) -> Settings:
    return Settings(channel=channels)


def live(house: House) -> Mapping[str, str]:
    """The channels that lead out of the house, by name with their origin."""
    return {record.name: record.origin for record in house.channels.all() if not record.sandbox}


# -- starts --


async def test_the_first_start_makes_two_keys_and_shows_them_once(tmp_path: Path) -> None:
    async with open_house(tmp_path, Settings(), NOTHING) as house:
        shown = house.first_keys
        assert shown.admin.startswith("sk-pic-") and shown.test.startswith("sk-test-")
        admin, test = (house.guard.identify(text, "127.0.0.1") for text in (shown.admin, shown.test))
        assert (admin.kind, admin.scopes, admin.project.id, admin.project.prepaid) == (
            "live",
            ("draw", "admin"),
            "default",
            False,
        )
        assert (test.kind, test.scopes) == ("test", ("draw",))
    async with open_house(tmp_path, Settings(), NOTHING) as house:
        assert (house.first_keys.admin, house.first_keys.test) == ("", "")
        assert house.guard.identify(shown.admin, "127.0.0.1") == admin
        assert len(house.keys.all()) == 2
    assert shown.admin.encode() not in (tmp_path / "pictura.db").read_bytes()


async def test_the_first_keys_may_be_given(tmp_path: Path) -> None:
    environment = given(PICTURA_ADMIN_KEY=ADMIN, PICTURA_TEST_KEY=TEST)
    async with open_house(tmp_path, Settings(), environment) as house:
        assert (house.first_keys.admin, house.first_keys.test) == (ADMIN, TEST)
        assert house.guard.identify(ADMIN, "127.0.0.1").scopes == ("draw", "admin")


async def test_other_keys_at_a_later_start_open_nothing(tmp_path: Path) -> None:
    async with open_house(tmp_path, Settings(), given(PICTURA_ADMIN_KEY=ADMIN)):
        pass
    async with open_house(tmp_path, Settings(), given(PICTURA_ADMIN_KEY=LIVE)) as house:
        with pytest.raises(Unauthorized):
            house.guard.identify(LIVE, "127.0.0.1")


async def test_a_folder_belongs_to_one_house(tmp_path: Path) -> None:
    async with open_house(tmp_path, Settings(), NOTHING):
        with pytest.raises(HouseError, match="belongs to a running Pictura"):
            async with open_house(tmp_path, Settings(), NOTHING):
                pass
    async with open_house(tmp_path, Settings(), NOTHING):
        pass


async def test_everything_may_lie_elsewhere(tmp_path: Path) -> None:
    settings = Settings(
        database=DatabaseSettings(f"sqlite:///{tmp_path}/db/pictura.db"),
        storage=StorageSettings(f"file://{tmp_path}/pictures"),
    )
    async with open_house(tmp_path / "data", settings, given(PICTURA_SECRET="a secret of sixteen letters")):
        assert (tmp_path / "db" / "pictura.db").exists()
        assert (tmp_path / "pictures" / "tmp").is_dir()
        assert not (tmp_path / "data" / "secret").exists()


async def test_a_second_start_serves_the_pictures_of_the_first(tmp_path: Path) -> None:
    async with running(Upstream()) as upstream:
        async with open_door(tmp_path, upstream) as door:
            fields = {"model": "test/test", "prompt": "a fox", "response_format": "url", "size": "16x16"}
            url = (await door.ask(fields, key=TEST)).url
            path = url.removeprefix(door.url)
        async with (
            open_house(tmp_path, Settings(), NOTHING) as house,
            answering(house) as port,
            ClientSession(f"http://127.0.0.1:{port}") as http,
            http.get(path) as answer,
        ):
            assert look(await answer.read()).width == 16
            assert house.database.read(jobs.uses) == {"test/test": 1}


# -- channels --


async def test_keys_in_the_environment_become_channels(tmp_path: Path) -> None:
    async with open_house(tmp_path, Settings(), given(OPENAI_API_KEY=KEY)) as house:
        assert live(house) == {"openai": "environment"}
        record = house.channels.get("openai")
        assert (record.base_url, record.secrets) == ("https://api.openai.com/v1", {"api_key": KEY})
        assert KEY not in repr(record)


async def test_an_empty_key_in_the_environment_is_none(tmp_path: Path) -> None:
    async with open_house(tmp_path, Settings(), given(OPENAI_API_KEY="")) as house:
        assert live(house) == {}


async def test_a_channel_of_the_file_stands_for_the_environment_s(tmp_path: Path) -> None:
    named = ChannelSettings(name="main", provider="openai", api_key_env="MY_KEY")
    environment = given(OPENAI_API_KEY="sk-other-0123456789", MY_KEY=KEY)
    async with open_house(tmp_path, configured(named), environment) as house:
        assert live(house) == {"main": "file"}
        assert house.channels.get("main").secrets == {"api_key": KEY}


async def test_an_engine_s_address_in_the_environment_becomes_a_channel(tmp_path: Path) -> None:
    environment = given(COMFYUI_BASE_URL="http://10.0.0.7:8188", COMFYUI_API_KEY=KEY, VLLM_API_KEY=KEY)
    async with open_house(tmp_path, Settings(), environment) as house:
        assert live(house) == {"comfyui": "environment"}
        record = house.channels.get("comfyui")
        assert (record.base_url, record.secrets) == ("http://10.0.0.7:8188", {"api_key": KEY})
        assert record.allow_private


async def test_what_is_no_secret_in_the_environment_becomes_an_option(tmp_path: Path) -> None:
    azure = given(
        AZURE_OPENAI_API_KEY=KEY, AZURE_OPENAI_ENDPOINT="https://a.openai.azure.com", OPENAI_API_VERSION="preview"
    )
    async with open_house(tmp_path, Settings(), azure) as house:
        record = house.channels.get("azure")
    assert record.secrets == {"api_key": KEY, "endpoint": "https://a.openai.azure.com"}
    assert record.options == {"api_version": "preview"}


async def test_an_option_that_means_nothing_is_named(tmp_path: Path) -> None:
    wrong = ChannelSettings(name="main", provider="comfyui", options={"workflow": "{}", "flow": 1})
    with pytest.raises(BadRequest, match="channel 'main': comfyui has no option 'flow'"):
        async with open_house(tmp_path, configured(wrong), NOTHING):
            pass


async def test_every_provider_has_a_channel_into_the_sandbox(tmp_path: Path) -> None:
    async with open_house(tmp_path, Settings(), NOTHING) as house:
        sandboxed = {record.provider: record for record in house.channels.all() if record.sandbox}
        assert set(sandboxed) == set(house.providers)
        assert all(record.base_url.startswith(house.sandbox_address) for record in sandboxed.values())
        assert house.sandbox_address.startswith("http://127.0.0.1:")


async def test_a_test_key_never_leaves_the_house(tmp_path: Path) -> None:
    async with running(Upstream()) as upstream, open_door(tmp_path, upstream) as door:
        for model in ("gpt-image-2", "test/test"):
            answer = await door.ask({"model": model, "prompt": "a fox", "size": "1024x1024"}, key=TEST)
            assert (answer.status, answer.headers["x-pictura-sandbox"]) == (200, "true")
        assert (await door.ask({"model": "somebody/new-model", "prompt": "a fox"}, key=TEST)).status in (404, 503)
        assert upstream.seen == []


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        (ChannelSettings(name="x", provider="opnai", api_key="sk-1"), "'opnai' is not known; there are: .*openai"),
        (ChannelSettings(name="x", provider="openai", api_key_env="MY_KEY"), "MY_KEY is not set"),
    ],
)
async def test_a_channel_that_cannot_be(channel: ChannelSettings, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=message):
        async with open_house(tmp_path, configured(channel), NOTHING):
            pass
    # What had been opened is closed again, and no key was made that nobody has seen.
    async with open_house(tmp_path, Settings(), NOTHING) as house:
        assert house.first_keys.admin


async def test_a_provider_of_the_sandbox_alone_gets_no_channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fal, "live", False)
    channel = ChannelSettings(name="x", provider="fal", api_key="sk-1")
    with pytest.raises(BadRequest, match="'fal' is drawn in the sandbox only"):
        async with open_house(tmp_path, configured(channel), NOTHING):
            pass
    async with open_house(tmp_path, Settings(), Environment({"FAL_KEY": "sk-1"})) as house:
        assert not [record for record in house.channels.all() if record.provider == "fal" and not record.sandbox]


async def test_keys_of_the_environment_become_channels_under_every_name(tmp_path: Path) -> None:
    variables = {
        "GOOGLE_API_KEY": "sk-g",
        "KLING_ACCESS_KEY": "ak",
        "DASHSCOPE_API_KEY": "sk-d",
        "DASHSCOPE_WORKSPACE": "ws",
    }
    async with open_house(tmp_path, Settings(), Environment(variables)) as house:
        found = {record.name: record.secrets for record in house.channels.all() if record.origin == "environment"}
    # One half of a pair opens nothing.
    assert found["gemini"] == {"api_key": "sk-g"}
    assert "kling" not in found
    assert set(found["dashscope"].values()) == {"sk-d", "ws"}


# -- models --


async def test_models_of_the_file_and_of_the_console(tmp_path: Path) -> None:
    price = ModelPrice(per_picture="0.05")
    said = Settings(model=(ModelSettings(id="posters", base="dall-e-3"), ModelSettings(id="dall-e-3", price=price)))
    async with open_house(tmp_path, said, NOTHING) as house:
        assert house.planner.find("posters").card.native == "dall-e-3"
        assert house.planner.find("dall-e-3").origin == "file"
        await house.cards.store(ModelSettings(id="posters", notes="ours"), lambda tx: None)
    async with open_house(tmp_path, said, NOTHING) as house:
        told = house.planner.find("posters")
        assert (told.origin, told.card.notes, told.card.price) == ("console", "ours", PerPicture(50_000))


async def test_a_model_that_cannot_be_keeps_the_house_shut_when_the_file_says_it(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"\[\[model\]\] posters: there is no model 'posters'"):
        async with open_house(tmp_path, Settings(model=(ModelSettings(id="posters"),)), NOTHING):
            pass


# -- plug-ins and notices --


async def test_a_broken_plug_in_is_told_and_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def installed(group: str) -> list[EntryPoint]:
        return [EntryPoint("acme", "acme_images:Acme", group)]

    monkeypatch.setattr(plugins, "entry_points", installed)
    async with open_house(tmp_path, Settings(), NOTHING) as house:
        assert [plug_in.where for plug_in in house.broken] == ["acme (acme_images:Acme)"] * 3
        assert "No module named" in house.broken[0].why
        assert {"openai", "imagerouter"} <= set(house.dialects)
        assert "openai" in house.providers


async def test_a_notice_is_logged_and_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with open_house(tmp_path, Settings(), NOTHING) as house:
        house.health._notice("main", "set aside for 60 s")
        assert "main set aside for 60 s" in caplog.text
        await house.database.write(lambda tx: None)
        (note, *_) = house.database.read(lambda tx: audit.newest(tx))
        assert (note.actor, note.subject, note.detail) == ("house", "main", "set aside for 60 s")
    for secret in KEYS:
        assert secret not in caplog.text
