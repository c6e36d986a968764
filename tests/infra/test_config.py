"""The settings file, and the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from pictura.core.errors import BadRequest
from pictura.core.model import Span
from pictura.infra.config import (
    Environment,
    ModelInputs,
    ModelPrice,
    PriceRow,
    Settings,
    SizeWindow,
    environment,
    load,
)

WHOLE = """
[server]
public_url = "https://img.example.com"
trusted_proxies = ["10.0.0.0/8"]
hosts = { "images.example.com" = "omnirouters" }
transfers = 8
body_idle_s = 10

[database]
url = "sqlite:///var/pictura.db"

[storage]
url = "file:///var/blobs"
keep_days = 0.5

[jobs]
on_lost = "hold_for_operator"

[aliases]
"my-model" = "gpt-image-2"

[[channel]]
name = "openai-main"
provider = "openai"
api_key = "sk-live"
models = ["gpt-image-2"]
price = { per_picture = "0.04" }

[[channel]]
name = "kling"
provider = "kling"
secrets = { access_key = "a", secret_key = "b" }
models = { "my-kling" = "kling-v3" }
results = "relay"

[[model]]
id = "gpt-image-2"
price = { per_picture = "0.35", currency = "CNY", rate = "7.10", rate_date = "2026-11-20" }
price_source = "our contract"

[[model]]
id = "acme/poster"
base = "seedream-4.5"
native = "ep-2026"
sizes = ["1024x1024"]
window = { step = 32, max_edge = 2048 }
inputs = { count = 2 }
params = { seed = { type = "range", min = 0, max = 99 }, raw = true, watermark = false }
price = { rows = [{ quality = "high", size = "2K", amount = "0.1" }] }
"""


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "pictura.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_without_a_file_there_are_defaults() -> None:
    assert load(None) == Settings()
    assert load(None).jobs.on_lost == "fail_and_release"


def test_every_part_of_the_file_is_read(tmp_path: Path) -> None:
    settings = load(written(tmp_path, WHOLE))
    assert settings.server.public_url == "https://img.example.com"
    assert settings.server.trusted_proxies == ("10.0.0.0/8",)
    assert settings.server.hosts == {"images.example.com": "omnirouters"}
    assert settings.server.body_idle_s == 10
    assert settings.storage.keep_days == 0.5
    assert settings.jobs.on_lost == "hold_for_operator"
    assert settings.aliases == {"my-model": "gpt-image-2"}
    openai, kling = settings.channel
    assert (openai.name, openai.models) == ("openai-main", ("gpt-image-2",))
    assert openai.price is not None and openai.price.per_picture == "0.04"
    assert (kling.models, kling.results) == ({"my-kling": "kling-v3"}, "relay")
    priced, poster = settings.model
    assert (priced.id, priced.price_source) == ("gpt-image-2", "our contract")
    assert priced.price == ModelPrice(per_picture="0.35", currency="CNY", rate="7.10", rate_date="2026-11-20")
    assert (poster.base, poster.native, poster.sizes) == ("seedream-4.5", "ep-2026", ("1024x1024",))
    assert (poster.window, poster.inputs) == (SizeWindow(step=32, max_edge=2048), ModelInputs(count=2))
    assert poster.params == {"seed": Span(0, 99), "raw": True, "watermark": False}
    assert poster.price == ModelPrice(rows=(PriceRow(quality="high", size="2K", amount="0.1"),))
    assert (poster.max_n, poster.notes, poster.modes) == (None, None, None)


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    assert load(written(tmp_path, "")) == Settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server", "is not TOML"),
        (b"\xff\xfe", "is not TOML"),
        ("[sever]\n", "unknown field `sever`"),
        ("[server]\npublic = 1", "unknown field `public` - at `$.server`"),
        ("[server]\ntransfers = 'many'", "Expected `int`, got `str` - at `$.server.transfers`"),
        ("[jobs]\non_lost = 'shrug'", "Invalid enum value 'shrug' - at `$.jobs.on_lost`"),
        ("[[channel]]\nname = 'a'", "missing required field `provider` - at `$.channel[0]`"),
        ("[[channel]]\nname='a'\nprovider='p'\n[[channel]]\nname='a'\nprovider='q'", "two channels are called 'a'"),
        ("[[model]]\nbase='a'", "missing required field `id` - at `$.model[0]`"),
        ("[[model]]\nid='a'\nnativ='b'", "unknown field `nativ` - at `$.model[0]`"),
        ("[[model]]\nid='a'\nprice={per_pictur='1'}", "unknown field `per_pictur` - at `$.model[0].price`"),
        ("[[model]]\nid='a'\nprice={per_picture=0.04}", "Expected `str`, got `float` - at `$.model[0].price.per_pic"),
        ("[[model]]\nid='a'\nprice={currency='yuan'}", "matching regex '^[A-Z]{3}$' - at `$.model[0].price.currency`"),
        ("[[model]]\nid='a'\nmax_n=0", "Expected `int` >= 1 - at `$.model[0].max_n`"),
        ("[[model]]\nid='a'\nwindow={steps=8}", "unknown field `steps` - at `$.model[0].window`"),
        ("[[model]]\nid='a'\nparams={s={type='choice'}}", "Invalid value 'choice' - at `$.model[0].params[...].type`"),
        ("[[model]]\nid='a'\nparams={s={type='range',min=1,max=2,least=3}}", "unknown field `least`"),
        ("[[model]]\nid='a'\n[[model]]\nid='A'", "there are two [[model]] of the id 'a'"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(BadRequest) as caught:
        load(path)
    assert caught.value.message.startswith(str(path))
    assert message in caught.value.message


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"none\.toml cannot be read: No such file"):
        load(tmp_path / "none.toml")


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    settings = load(written(tmp_path, WHOLE))
    shown = repr(settings) + repr(Environment({"OPENAI_API_KEY": "sk-live"}))
    assert "sk-live" not in shown
    assert "secret_key" not in shown
    assert "openai-main" in shown


def test_a_mistake_in_a_channel_does_not_show_its_key(tmp_path: Path) -> None:
    text = "[[channel]]\nname = 'a'\nprovider = 'p'\napi_key = ['sk-live']"
    with pytest.raises(BadRequest) as caught:
        load(written(tmp_path, text))
    assert "sk-live" not in caught.value.message


def test_the_environment_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICTURA_ADMIN_KEY", "sk-pic-admin")
    found = environment()
    monkeypatch.setenv("PICTURA_ADMIN_KEY", "changed")
    assert found.admin_key == "sk-pic-admin"
    assert Environment().admin_key == Environment().test_key == Environment().secret == ""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", set()),
        (" , ", set()),
        ("127.0.0.1:8080", {("127.0.0.1", 8080)}),
        ("127.0.0.1:1, files.lan:443,", {("127.0.0.1", 1), ("files.lan", 443)}),
        ("[::1]:80", {("::1", 80)}),
    ],
)
def test_where_the_fetcher_may_go(text: str, found: set[tuple[str, int]]) -> None:
    assert Environment({"PICTURA_FETCH_ALLOW": text}).fetch_allow == found


@pytest.mark.parametrize("text", ["localhost", ":80", "a:b", "a:-1", "a:", "a:65536", "a:８０", "a:²"])
def test_an_address_without_a_port_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="is not host:port"):
        _ = Environment({"PICTURA_FETCH_ALLOW": text}).fetch_allow
