"""OpenOpen8's page of its two image endpoints (2026-02): its curl lines as they stand there, answered by this house.

Only the key is filled in. Beside it what its clients, being those of a new-api, also call: accounts, models, prices.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from pictura.core.media import Media
from pictura.core.money import usd
from pictura.infra.config import Settings
from pictura.store import ledger
from pictura.store.keys import Project, make_project
from tests.doors.door import ADMIN, LIVE, MODEL, SHARED, TEST, Answer, Door, File, channel, open_door, png_file
from tests.doors.seed import (
    CHINESE,
    GENERATIONS,
    Client,
    configured_door,
    encoded,
    heavy,
    plain,
    refusal,
    seed_door,
)
from tests.doors.shell import Shell, needs_curl, open_shell
from tests.upstream import Upstream, noise, picture

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = "openopen8.ai"
KEYS = {"url"}

GENERATE = r"""curl https://openopen8.ai/v1/images/generations \
  -H "Authorization: Bearer YOUR_TOKEN" \
  -H "Content-Type: application/json" \
  -d '{
    "model": "dall-e-3",
    "prompt": "A photorealistic image of a red panda sitting on a mossy log in a misty forest",
    "n": 1,
    "size": "1024x1024",
    "response_format": "url"
  }'"""
EDIT = r"""curl https://openopen8.ai/v1/images/edits \
  -H "Authorization: Bearer YOUR_TOKEN" \
  -F model="dall-e-2" \
  -F image="@source.png" \
  -F mask="@mask.png" \
  -F prompt="Replace the background with a snowy mountain scene" \
  -F n=1 \
  -F size="1024x1024" """

#: Quickly drawn.
DALL_E_2 = {"model": "dall-e-2", "prompt": "a red panda", "size": "256x256"}
DALL_E_3 = {"model": "dall-e-3", "prompt": "a red panda"}
GPT = {"model": SHARED, "prompt": "a red panda", "quality": "low"}
SNOW = {"model": "dall-e-2", "prompt": "snow", "size": "256x256"}

SOURCE = picture(64, 64)
MASK = picture(64, 64, mode="RGBA")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_door(tmp_path_factory: pytest.TempPathFactory, shared_upstream: Upstream) -> AsyncIterator[Door]:
    async with seed_door(tmp_path_factory.mktemp("house"), shared_upstream) as door:
        yield door


@pytest.fixture
def client(door: Door) -> Client:
    return Client(door, HOST)


def files(source: bytes = SOURCE, mask: bytes | None = MASK) -> list[File]:
    masks = [] if mask is None else [png_file("mask", mask)]
    return [png_file("image", source), *masks]


# -- the examples --


@pytest_asyncio.fixture(loop_scope="module")
async def shell(door: Door, tmp_path: Path) -> AsyncIterator[Shell]:
    async with open_shell(tmp_path, (HOST,), door.port) as shell:
        shell.put("source.png", SOURCE)
        shell.put("mask.png", MASK)
        yield shell


@needs_curl
@pytest.mark.parametrize("line", [GENERATE, EDIT], ids=["generations", "edits"])
async def test_curl_draws(line: str, client: Client, shell: Shell) -> None:
    answer = await shell.ask(line.replace("YOUR_TOKEN", TEST))
    (shown,) = plain(answer, KEYS)
    assert shown.url.startswith(f"https://{HOST}/files/")
    assert await client.pictures([shown]) == [Media("image/png", 1024, 1024)]
    assert not {"x-pictura-adjusted", "x-pictura-ignored", "x-pictura-short"} & set(answer.headers)


# -- generations --


@pytest.mark.parametrize(("model", "most"), [("dall-e-3", 4000), ("dall-e-2", 1000)])
@pytest.mark.parametrize("letter", ["a", "熊"], ids=["bytes", "characters"])
async def test_the_longest_prompt(letter: str, model: str, most: int, client: Client) -> None:
    plain(await client.ask({"model": model, "prompt": letter * most}), KEYS)
    wrong = refusal(await client.ask({"model": model, "prompt": letter * (most + 1)}))
    assert wrong.param == "prompt"
    assert f"{most + 1:,} characters; {model} takes at most {most:,}" in wrong.message


@pytest.mark.parametrize(("fields", "n"), [(DALL_E_3, None), (DALL_E_3, 1), (DALL_E_2, None), (DALL_E_2, 10)], ids=str)
async def test_n(fields: dict[str, object], n: int | None, client: Client) -> None:
    assert len({one.url for one in plain(await client.ask({**fields, "n": n}), KEYS)}) == (n or 1)


@pytest.mark.parametrize(("fields", "n"), [(DALL_E_3, 0), (DALL_E_3, 2), (DALL_E_2, 0), (DALL_E_2, 11)], ids=str)
async def test_n_beyond_its_bounds(fields: dict[str, object], n: int, client: Client) -> None:
    assert refusal(await client.ask({**fields, "n": n})).param == "n"


@pytest.mark.parametrize(
    ("model", "size", "pixels"),
    [
        ("dall-e-2", "256x256", (256, 256)),
        ("dall-e-2", "512x512", (512, 512)),
        ("dall-e-2", None, (1024, 1024)),
        ("dall-e-3", "1024x1024", (1024, 1024)),
        ("dall-e-3", "1024x1792", (1024, 1792)),
        ("dall-e-3", "1792x1024", (1792, 1024)),
        ("dall-e-3", None, (1024, 1024)),
    ],
)
async def test_sizes(model: str, size: str | None, pixels: tuple[int, int], client: Client) -> None:
    fields = {"model": model, "prompt": "a red panda", "size": size}
    (found,) = await client.pictures(plain(await client.ask(fields), KEYS))
    assert (found.width, found.height) == pixels


@pytest.mark.parametrize(("model", "size"), [("dall-e-2", "1024x1792"), ("dall-e-3", "256x256"), ("dall-e-3", "big")])
async def test_other_sizes(model: str, size: str, client: Client) -> None:
    wrong = refusal(await client.ask({"model": model, "prompt": "a red panda", "size": size}))
    assert wrong.param == "size"
    assert "1024x1024" in wrong.message


@pytest.mark.parametrize("quality", ["standard", "hd"])
@pytest.mark.parametrize("style", ["vivid", "natural"])
async def test_dall_e_3(quality: str, style: str, client: Client) -> None:
    answer = await client.ask({**DALL_E_3, "quality": quality, "style": style})
    (shown,) = plain(answer, KEYS)
    assert "a red panda" in str(shown.revised_prompt)
    assert client.door.job(answer).request.params == {"quality": quality, "style": style}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({**DALL_E_3, "quality": "ultra"}, "quality"),
        ({**DALL_E_3, "style": "noir"}, "style"),
        ({**DALL_E_2, "quality": "hd"}, "quality"),
        ({**DALL_E_2, "style": "vivid"}, "style"),
        ({**DALL_E_3, "response_format": "file"}, "response_format"),
        ({**GPT, "background": "blue"}, "background"),
        ({**GPT, "output_format": "tga"}, "output_format"),
        ({**GPT, "output_compression": -1}, "output_compression"),
        ({**GPT, "output_compression": 101}, "output_compression"),
        ({**GPT, "watermark": "perhaps"}, "watermark"),
        ({**DALL_E_3, "prompt": None}, "prompt"),
        ({**DALL_E_3, "model": None}, "model"),
    ],
    ids=str,
)
async def test_values_that_are_refused(fields: dict[str, object], param: str, client: Client) -> None:
    wrong = refusal(await client.ask(fields))
    assert (wrong.type, wrong.code, wrong.param) == ("new_api_error", "invalid_request", param)


@pytest.mark.parametrize("delivery", ["url", "b64_json"])
async def test_deliveries(delivery: str, client: Client) -> None:
    (shown,) = plain(await client.ask({**DALL_E_2, "response_format": delivery}), {delivery})
    assert await client.pictures([shown]) == [Media("image/png", 256, 256)]


# -- what depends on the upstream --


@pytest.mark.parametrize("background", ["transparent", "opaque", "auto"])
async def test_backgrounds(background: str, client: Client) -> None:
    answer = await client.ask({**GPT, "background": background, "output_format": "webp"})
    (found,) = await client.pictures(plain(answer, KEYS))
    assert found == Media("image/webp", 1024, 1024, alpha=background == "transparent")
    assert "x-pictura-adjusted" not in answer.headers


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("fields", [GPT, DALL_E_2], ids=["asked of the vendor", "made here"])
async def test_formats(fields: dict[str, object], format: str, client: Client) -> None:
    (found,) = await client.pictures(plain(await client.ask({**fields, "output_format": format}), KEYS))
    assert found.type == f"image/{format}"


@pytest.mark.parametrize("fields", [GPT, DALL_E_2], ids=["asked of the vendor", "made here"])
async def test_compression(fields: dict[str, object], client: Client) -> None:
    sizes = []
    for compression in (0, 50, 100):
        answer = await client.ask({**fields, "output_format": "jpeg", "output_compression": compression})
        (shown,) = plain(answer, KEYS)
        sizes.append(len(await client.file(shown)))
    assert sizes == sorted(sizes) and len(set(sizes)) == 3


@pytest.mark.parametrize("watermark", [True, False])
async def test_a_watermark_where_the_vendor_has_one(watermark: bool, client: Client) -> None:
    answer = await client.ask({"model": "seedream-4.0", "prompt": "熊", "size": "1024x1024", "watermark": watermark})
    plain(answer, KEYS)
    assert client.door.job(answer).request.params["watermark"] is watermark
    assert "x-pictura-adjusted" not in answer.headers


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({**GPT, "watermark": True}, "watermark=true→none"),
        ({**DALL_E_3, "background": "transparent"}, "background=transparent→none"),
        ({**DALL_E_3, "background": "auto", "watermark": False}, "watermark=false→none"),
    ],
    ids=str,
)
async def test_what_the_vendor_does_not_have_is_left_out(fields: dict[str, object], told: str, client: Client) -> None:
    answer = await client.ask(fields)
    plain(answer, KEYS)
    assert answer.headers["x-pictura-adjusted"] == told


# -- edits --


@pytest.mark.parametrize(
    ("source", "mask"), [(SOURCE, MASK), (MASK, None), (MASK, MASK)], ids=["masked", "transparent", "both"]
)
async def test_edits(source: bytes, mask: bytes | None, client: Client) -> None:
    """What is to be drawn anew is transparent, in a mask or in the picture itself."""
    (shown,) = plain(await client.edit(SNOW, files(source, mask)), KEYS)
    assert await client.pictures([shown]) == [Media("image/png", 256, 256)]


@pytest.mark.parametrize(("size", "edge"), [("256x256", 256), ("512x512", 512), ("1024x1024", 1024), ("", 1024)])
async def test_sizes_of_edits(size: str, edge: int, client: Client) -> None:
    (found,) = await client.pictures(plain(await client.edit({**SNOW, "size": size}, files()), KEYS))
    assert (found.width, found.height) == (edge, edge)


async def test_another_size_of_an_edit(client: Client) -> None:
    assert refusal(await client.edit({**SNOW, "size": "1024x1792"}, files())).param == "size"


@pytest.mark.parametrize(("n", "count"), [("", 1), ("1", 1), ("10", 10)])
async def test_n_of_an_edit(n: str, count: int, client: Client) -> None:
    assert len({one.url for one in plain(await client.edit({**SNOW, "n": n}, files()), KEYS)}) == count


@pytest.mark.parametrize("n", ["0", "11", "two"])
async def test_n_of_an_edit_beyond_its_bounds(n: str, client: Client) -> None:
    assert refusal(await client.edit({**SNOW, "n": n}, files())).param == "n"


@pytest.mark.parametrize("delivery", ["url", "b64_json"])
async def test_deliveries_of_an_edit(delivery: str, client: Client) -> None:
    (shown,) = plain(await client.edit({**SNOW, "response_format": delivery}, files()), {delivery})
    assert await client.pictures([shown]) == [Media("image/png", 256, 256)]


@pytest.mark.parametrize(
    ("sent", "param", "words"),
    [
        (files(encoded("JPEG", 64, 64)), "image", "the picture is jpeg; this model takes png"),
        (files(picture(64, 32), picture(64, 32, mode="RGBA")), "image", "square"),
        (files(SOURCE, None), "image", "alpha channel or a mask"),
        (files(SOURCE, picture(32, 32, mode="RGBA")), "mask", "the mask has 32x32 pixels, the first picture 64x64"),
        (files(SOURCE, encoded("JPEG", 64, 64)), "mask", "the mask is jpeg; this model takes png"),
        (files(SOURCE[:-20]), "image", "not whole"),
        (files(b"not a picture at all"), "image", "cannot be taken"),
        ([*files(), png_file("image", SOURCE)], "image", "2 pictures were sent; dall-e-2 takes at most 1"),
        ([png_file("mask", MASK)], "image", "image is required"),
        ([], "image", "image is required"),
    ],
    ids=["jpeg", "oblong", "opaque", "smaller mask", "jpeg mask", "cut", "text", "two", "mask alone", "none"],
)
async def test_pictures_that_are_refused(sent: list[File], param: str, words: str, client: Client) -> None:
    wrong = refusal(await client.edit(SNOW, sent))
    assert wrong.param == param
    assert words in wrong.message


async def test_only_squares_are_sent_to_the_vendor(tmp_path: Path, upstream: Upstream) -> None:
    """Refused by the house, for a channel that still has the model."""
    old = channel(upstream, "old", models=("dall-e-2",))
    async with open_door(tmp_path, upstream, channels=(old,)) as door:
        client = Client(door, HOST, LIVE)
        oblong = files(picture(64, 32), picture(64, 32, mode="RGBA"))
        assert "64x32 pixels; dall-e-2 takes squares only" in refusal(await client.edit(SNOW, oblong)).message
        assert upstream.seen == []
        plain(await client.edit(SNOW, files()), KEYS)


async def test_the_heaviest_picture(client: Client) -> None:
    """Less than 4 MB."""
    mask = picture(512, 512, mode="RGBA")
    plain(await client.edit(SNOW, files(heavy(3_999_999), mask)), KEYS)
    wrong = refusal(await client.edit(SNOW, files(heavy(4_000_000), mask)), 413)
    assert wrong.param == "image"
    assert "at most 3,999,999 are taken" in wrong.message


@pytest.mark.parametrize("missing", ["model", "prompt"])
async def test_what_an_edit_requires(missing: str, client: Client) -> None:
    wrong = refusal(await client.edit({name: text for name, text in SNOW.items() if name != missing}, files()))
    assert wrong.param == missing


async def test_not_every_model_edits(client: Client) -> None:
    wrong = refusal(await client.edit({**SNOW, "model": "dall-e-3", "size": ""}, files()))
    assert "dall-e-3 takes no input pictures; use a model that edits" in wrong.message


async def test_other_models_edit_too(door: Door, upstream: Upstream) -> None:
    photo = encoded("JPEG", 96, 64)
    sent = [("image", "photo.jpg", "image/jpeg", photo), ("image[]", "b.png", "image/png", noise())]
    plain(await Client(door, HOST, LIVE).edit({"model": MODEL, "prompt": "snow"}, sent), KEYS)
    assert [data for _, data in upstream.seen[0].files] == [photo, noise()]


async def test_the_short_path(client: Client) -> None:
    """/v1/edits, which the family also has."""
    plain(await client.edit(SNOW, files(), path="/v1/edits"), KEYS)


# -- accounts --

SHOP = Project("shop", "Shop", prepaid=True)
SHOP_KEY = "sk-pic-shop-0123456789"
CAPPED_KEY = "sk-pic-capped-0123456789"


async def limits(client: Client, path: str = "/v1/dashboard/billing/subscription") -> dict[str, object]:
    answer = await client.get(path)
    assert answer.status == 200
    return answer.fields


class Quota(msgspec.Struct):
    """In units of which there are 500,000 to a dollar."""

    object: str
    name: str
    total_granted: int
    total_used: int
    total_available: int
    unlimited_quota: bool
    model_limits: Mapping[str, bool]
    model_limits_enabled: bool
    expires_at: int


async def quota(client: Client, path: str = "/api/usage/token/") -> Quota:
    answer = await client.get(path)
    assert (answer.status, set(answer.fields)) == (200, {"code", "message", "data"})
    assert (answer.fields["code"], answer.fields["message"]) == (True, "ok")
    return msgspec.convert(answer.fields["data"], Quota)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(shared_door: Door) -> Project:
    """Ten dollars, two keys, and one picture of $0.04 drawn with the first."""
    await make_project(shared_door.house.database, SHOP)
    await shared_door.house.database.write(lambda tx: ledger.deposit(tx, SHOP.id, usd("10")))
    await shared_door.new_key(SHOP_KEY, project=SHOP, name="Till")
    await shared_door.new_key(
        CAPPED_KEY, project=SHOP, name="Intern", cap=usd("2"), models=("gpt-image-*",), expires_ms=4_000_000_000_000
    )
    plain(await Client(shared_door, HOST, SHOP_KEY).ask({"model": MODEL, "prompt": "a red panda"}), KEYS)
    return SHOP


@pytest.mark.usefixtures("shop")
async def test_a_prepaid_account(door: Door) -> None:
    """What was deposited is the limit, what is spent of it the usage."""
    client = Client(door, HOST, SHOP_KEY)
    assert await limits(client) == {
        "object": "billing_subscription",
        "has_payment_method": True,
        "soft_limit_usd": 10,
        "hard_limit_usd": 10,
        "system_hard_limit_usd": 10,
        "access_until": 0,
    }
    assert (await client.get("/v1/dashboard/billing/usage")).fields == {"object": "list", "total_usage": 4}
    assert await quota(client) == Quota(
        object="token_usage",
        name="Till",
        total_granted=5_000_000,
        total_used=20_000,
        total_available=4_980_000,
        unlimited_quota=False,
        model_limits={},
        model_limits_enabled=False,
        expires_at=0,
    )


@pytest.mark.usefixtures("shop")
async def test_a_key_with_a_cap(door: Door) -> None:
    """Its own two dollars count, of which it has spent nothing, and then four cents."""
    client = Client(door, HOST, CAPPED_KEY)
    before = await quota(client)
    assert (before.total_granted, before.total_used, before.total_available) == (1_000_000, 0, 1_000_000)
    assert (before.model_limits, before.model_limits_enabled) == ({"gpt-image-*": True}, True)
    assert before.expires_at == 4_000_000_000

    plain(await client.ask({"model": MODEL, "prompt": "a red panda"}), KEYS)
    after = await quota(client)
    assert (after.total_granted, after.total_used, after.total_available) == (1_000_000, 20_000, 980_000)
    told = await limits(client)
    assert (told["hard_limit_usd"], told["access_until"]) == (2, 4_000_000_000)
    assert (await client.get("/v1/dashboard/billing/usage")).fields["total_usage"] == 4


@pytest.mark.parametrize("key", [ADMIN, TEST])
async def test_an_account_without_a_limit(key: str, door: Door) -> None:
    client = Client(door, HOST, key)
    assert (await limits(client))["hard_limit_usd"] == 100_000_000
    assert (await quota(client)).unlimited_quota


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("host", [HOST, "127.0.0.1"])
async def test_every_path_of_an_account(host: str, door: Door) -> None:
    """They belong to the family, so they name the dialect whatever the Host."""
    client = Client(door, host, SHOP_KEY)
    for path in ("/v1/dashboard/billing/subscription", "/dashboard/billing/subscription"):
        assert (await limits(client, path))["object"] == "billing_subscription"
    for path in ("/v1/dashboard/billing/usage?start_date=2026-11-01&end_date=2026-11-20", "/dashboard/billing/usage"):
        assert set((await client.get(path)).fields) == {"object", "total_usage"}
    for path in ("/api/usage/token/", "/api/usage/token"):
        assert (await quota(client, path)).object == "token_usage"


@pytest.mark.parametrize("path", ["/v1/dashboard/billing/subscription", "/api/usage/token/", "/v1/models"])
async def test_accounts_are_nobody_else_s(path: str, door: Door) -> None:
    for key in ("", "sk-nobodys"):
        wrong = refusal(await door.send("GET", path, key=key, headers={"Host": HOST}), 401)
        assert (wrong.type, wrong.code) == ("new_api_error", "")


# -- models and prices --


async def test_the_models(client: Client) -> None:
    fields = (await client.get("/v1/models")).fields
    assert (fields["success"], fields["object"]) == (True, "list")
    entries = msgspec.convert(fields["data"], list[dict[str, object]])
    assert {entry["id"] for entry in entries} >= {"dall-e-2", "dall-e-3", "gpt-image-2"}
    for entry in entries:
        assert set(entry) >= {"id", "object", "created", "owned_by", "supported_endpoint_types"}
        assert (entry["object"], entry["supported_endpoint_types"]) == ("model", ["image-generation"])
    assert (await client.get("/v1/models/dall-e-3")).fields == next(e for e in entries if e["id"] == "dall-e-3")
    assert refusal(await client.get("/v1/models/dall-e-9"), 404).code == "model_not_found"


async def test_prices(door: Door) -> None:
    """Dollars for a picture, or ratios to two dollars for a million tokens; for everybody."""
    answer = await door.send("GET", "/api/pricing", headers={"Host": HOST})
    assert (answer.status, answer.fields["success"]) == (200, True)
    prices = {str(row["model_name"]): row for row in msgspec.convert(answer.fields["data"], list[dict[str, object]])}
    assert (prices["dall-e-3"]["quota_type"], prices["dall-e-3"]["model_price"]) == (1, 0.04)
    assert (prices["test/test"]["quota_type"], prices["test/test"]["model_price"]) == (1, 0)
    told = prices["gpt-image-2"]
    assert (told["quota_type"], told["model_ratio"], told["completion_ratio"], told["image_ratio"]) == (0, 2.5, 6, 1.6)
    assert prices["vod-vidu-q2"]["model_price"] is None


# -- errors, and models that are gone --


async def test_too_many_requests(door: Door) -> None:
    """The code is a number, as its guide shows it."""
    await door.new_key("sk-test-open-0123456789", kind="test", requests_per_minute=1)
    client = Client(door, HOST, "sk-test-open-0123456789")
    plain(await client.ask(DALL_E_2), KEYS)
    answer = await client.ask(DALL_E_2)
    wrong = refusal(answer, 429)
    assert (wrong.type, wrong.code) == ("rate_limit_error", 429)
    assert int(answer.headers["retry-after"]) > 0


async def test_no_balance(door: Door) -> None:
    await make_project(door.house.database, Project("poor", "Poor", prepaid=True))
    await door.new_key("sk-pic-poor-0123456789", project=Project("poor", "Poor", prepaid=True))
    fields = {"model": MODEL, "prompt": "a red panda"}
    answer = await Client(door, HOST, "sk-pic-poor-0123456789").ask(fields)
    wrong = refusal(answer, 403)
    assert (wrong.type, wrong.code) == ("new_api_error", "insufficient_user_quota")
    assert answer.headers["x-should-retry"] == "false"
    chinese = await Client(door, HOST, "sk-pic-poor-0123456789").ask(fields, headers=CHINESE)
    assert refusal(chinese, 403).message.startswith("用户额度不足：剩余 $0.00，需要 $0.04")


async def test_errors_in_chinese(client: Client) -> None:
    said: dict[str, dict[str, object]] = {
        "参数超出允许范围：n": {**DALL_E_3, "n": 11},
        "该模型不支持此参数值：style，可选值：vivid, natural": {**DALL_E_3, "style": "noir"},
        "该模型不支持此参数值：size，可选值：auto, 256x256, 512x512, 1024x1024": {**DALL_E_2, "size": "1024x1792"},
        "模型不存在": {**DALL_E_3, "model": "dall-e-9"},
        "内容未通过安全审核": {**DALL_E_3, "prompt": "[refuse]"},
    }
    for words, fields in said.items():
        answer = await client.ask(fields, headers=CHINESE)
        assert refusal(answer, answer.status).message.startswith(words)
    keyless = await client.door.ask(DALL_E_3, path=GENERATIONS, key="", headers={"Host": HOST, **CHINESE})
    assert refusal(keyless, 401).message.startswith("无效的令牌")


@pytest.mark.parametrize("model", ["dall-e-2", "dall-e-3"])
async def test_retired_models(model: str, client: Client) -> None:
    """A test key draws them; a live key is told what to use instead."""
    plain(await client.ask({"model": model, "prompt": "a red panda"}), KEYS)
    wrong = gone(await client.ask({"model": model, "prompt": "a red panda"}, key=LIVE))
    assert f"{model} was switched off by its vendor on 2026-05-12; use gpt-image-2.5-sunburst instead" in wrong
    chinese = gone(await client.ask({"model": model, "prompt": "a red panda"}, key=LIVE, headers=CHINESE))
    assert chinese.startswith("该模型已下线：请改用 gpt-image-2.5-sunburst")


async def test_a_retired_model_edits(client: Client) -> None:
    assert "dall-e-2 was switched off" in gone(await client.edit(SNOW, files(), key=LIVE))


def gone(answer: Answer) -> str:
    wrong = refusal(answer, 404)
    assert (wrong.code, wrong.param) == ("model_not_found", "model")
    return wrong.message


async def test_an_alias_for_a_retired_model(tmp_path: Path, upstream: Upstream) -> None:
    """By the operator's word the live key draws as well, with another model."""
    async with configured_door(tmp_path, upstream, Settings(aliases={"dall-e-3": SHARED})) as door:
        answer = await Client(door, HOST, ADMIN).ask(DALL_E_3)
        plain(answer, KEYS)
        assert (upstream.seen[0].fields["model"], door.job(answer).model) == (SHARED, SHARED)
