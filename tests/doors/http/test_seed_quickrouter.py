"""QuickRouter's page on Flux and GPT pictures (2026-02): its examples as they stand there, answered by this house.

Only the key is filled in.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.doors.door import LIVE, MODEL, SHARED, TEST, Answer, Door, png_file
from tests.doors.seed import CHINESE, GENERATIONS, Client, check_shape, plain, refusal, seed_door
from tests.doors.shell import Shell, needs_curl, open_shell
from tests.upstream import Upstream, picture, say

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOST = "api.quickrouter.ai"
KEYS = {"url"}
RATIOS = ("21:9", "16:9", "4:3", "3:2", "1:1", "2:3", "3:4", "9:16", "9:21")

WITH_A_COMMENT = """{ "model": "flux-kontext-pro", \
"prompt": "a beautiful landscape with a river and mountains", \
// "size": "1024x1524", \
"n": 1, "aspect_ratio": "21:9" }"""
WITHOUT_IT = WITH_A_COMMENT.replace('// "size": "1024x1524", ', "")
FLUX_1 = """{
"model": "flux-1",
"prompt": "a beautiful sunset over the ocean",
"n": 1,
"size": "1024x1024"
}"""
ANSWER_AS_REQUEST = """curl --location --request POST 'https://api.quickrouter.ai/v1/images/generations' \\
--header 'Accept: application/json' \\
--header 'Authorization: Bearer YOUR_API_KEY' \\
--header 'Content-Type: application/json' \\
--data-raw '{
"created": 1589478378,
"data": [
{
"url": "https://..."
},
{
"url": "https://..."
}
]
}'"""

#: Quickly drawn.
SMALL = {"model": "dall-e-2", "prompt": "a fox", "size": "256x256"}
FLUX = {"model": "flux-kontext-pro", "prompt": "a fox"}
DALL_E_3 = {"model": "dall-e-3", "prompt": "a fox"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_door(tmp_path_factory: pytest.TempPathFactory, shared_upstream: Upstream) -> AsyncIterator[Door]:
    async with seed_door(tmp_path_factory.mktemp("house"), shared_upstream) as door:
        yield door


@pytest.fixture
def client(door: Door) -> Client:
    return Client(door, HOST)


# -- the examples --


@pytest.mark.parametrize(
    ("body", "aspect", "tier"), [(WITHOUT_IT, "21:9", ""), (FLUX_1, "1:1", "1K")], ids=["kontext", "flux-1"]
)
async def test_examples(body: str, aspect: str, tier: str, client: Client) -> None:
    """The second names no `aspect_ratio`, which the page calls required."""
    answer = await client.ask(body)
    (shown,) = plain(answer, KEYS)
    assert shown.url.startswith(f"http://{HOST}/files/")
    (found,) = await client.pictures([shown])
    check_shape(found, aspect, tier)
    assert not {"x-pictura-adjusted", "x-pictura-ignored", "x-pictura-short"} & set(answer.headers)


async def test_a_comment_is_not_json(client: Client) -> None:
    """The page's own example as it stands there."""
    wrong = refusal(await client.ask(WITH_A_COMMENT))
    assert (wrong.type, wrong.code) == ("new_api_error", "invalid_request")
    assert "JSON has no // comments: take them out" in wrong.message


@needs_curl
async def test_an_answer_is_not_a_request(door: Door, tmp_path: Path) -> None:
    """What the page's samples send, in curl and in a dozen languages."""
    async with open_shell(tmp_path, (HOST,), door.port) as shell:
        wrong = refusal(await sent(shell, ANSWER_AS_REQUEST))
        assert (wrong.type, wrong.code, wrong.param) == ("new_api_error", "invalid_request", "prompt")
        assert "this is an answer, not a request" in wrong.message
        assert "send model and prompt" in wrong.message


@needs_curl
async def test_the_sample_with_a_request_in_it(client: Client, tmp_path: Path) -> None:
    start = ANSWER_AS_REQUEST.index("{")
    async with open_shell(tmp_path, (HOST,), client.door.port) as shell:
        answer = await sent(shell, ANSWER_AS_REQUEST[:start] + FLUX_1 + "'")
    (shown,) = plain(answer, KEYS)
    assert shown.url.startswith(f"https://{HOST}/files/")
    (found,) = await client.pictures([shown])
    check_shape(found, "1:1", "1K")


async def sent(shell: Shell, line: str) -> Answer:
    return await shell.ask(line.replace("YOUR_API_KEY", TEST))


# -- aspects --


@pytest.mark.parametrize(
    ("model", "ratio"), [*(("flux-kontext-pro", ratio) for ratio in RATIOS), ("flux-1", "21:9"), ("flux-1", "9:21")]
)
async def test_nine_ratios(model: str, ratio: str, client: Client) -> None:
    (found,) = await client.pictures(plain(await client.ask({**FLUX, "model": model, "aspect_ratio": ratio}), KEYS))
    check_shape(found, ratio)


@pytest.mark.parametrize("ratio", ["4:5", "5:4", "1:2", "2:1", "32:9", "9:22"])
@pytest.mark.parametrize("model", ["flux-kontext-pro", "flux-kontext-max", "flux-1", "flux-2-pro"])
async def test_no_other_ratio_for_flux(model: str, ratio: str, client: Client) -> None:
    wrong = refusal(await client.ask({**FLUX, "model": model, "aspect_ratio": ratio}))
    assert wrong.param == "aspect_ratio"
    assert f"allowed: {', '.join(RATIOS)}" in wrong.message


async def test_an_aspect_is_never_required(client: Client) -> None:
    for fields in (FLUX, SMALL, {"model": "gpt-image-1-mini", "prompt": "a fox"}):
        (found,) = await client.pictures(plain(await client.ask(fields), KEYS))
        check_shape(found, "1:1")


async def test_other_models_have_ratios_of_their_own(client: Client) -> None:
    fields = {"model": "gpt-image-1", "prompt": "a fox"}
    (found,) = await client.pictures(plain(await client.ask({**fields, "aspect_ratio": "3:2"}), KEYS))
    assert (found.width, found.height) == (1536, 1024)
    wrong = refusal(await client.ask({**fields, "aspect_ratio": "16:9"}))
    assert wrong.param == "aspect_ratio"
    assert "1536x1024" in wrong.message


# -- the other fields --


@pytest.mark.parametrize("size", ["256x256", "512x512", "1024x1024"])
@pytest.mark.parametrize("model", ["dall-e-2", "flux-1"])
async def test_sizes(model: str, size: str, client: Client) -> None:
    (found,) = await client.pictures(plain(await client.ask({**SMALL, "model": model, "size": size}), KEYS))
    assert f"{found.width}x{found.height}" == size


@pytest.mark.parametrize("size", ["300x300", "1024x1792", "2K", "16:9"])
async def test_other_sizes(size: str, client: Client) -> None:
    wrong = refusal(await client.ask({**SMALL, "size": size}))
    assert wrong.param == "size"
    assert "256x256, 512x512, 1024x1024" in wrong.message


@pytest.mark.parametrize(
    ("fields", "n", "count"),
    [(SMALL, None, 1), (SMALL, 1, 1), (SMALL, "3", 3), (SMALL, 10, 10), (FLUX, 10, 10)],
    ids=str,
)
async def test_n(fields: dict[str, object], n: object, count: int, client: Client) -> None:
    answer = await client.ask({**fields, "n": n})
    assert len({one.url for one in plain(answer, KEYS)}) == count


@pytest.mark.parametrize("n", [0, 11, -1, 2.5, "a few"])
@pytest.mark.parametrize("fields", [SMALL, FLUX], ids=["dall-e-2", "flux"])
async def test_n_beyond_its_bounds(fields: dict[str, object], n: object, client: Client) -> None:
    wrong = refusal(await client.ask({**fields, "n": n}))
    assert wrong.param == "n"
    assert "integer" in wrong.message


@pytest.mark.parametrize("letter", ["a", "狐"], ids=["bytes", "characters"])
async def test_the_longest_prompt(letter: str, client: Client) -> None:
    """It is characters that count."""
    plain(await client.ask({**SMALL, "prompt": letter * 1000}), KEYS)
    wrong = refusal(await client.ask({**SMALL, "prompt": letter * 1001}))
    assert wrong.param == "prompt"
    assert "1,001 characters; dall-e-2 takes at most 1,000" in wrong.message


async def test_models_that_take_more_may_be_told_more(client: Client) -> None:
    plain(await client.ask({**FLUX, "prompt": "a" * 1001}), KEYS)


@pytest.mark.parametrize("missing", ["prompt", "model"])
@pytest.mark.parametrize("said", [None, "", "  "])
async def test_what_is_required(missing: str, said: str | None, client: Client) -> None:
    wrong = refusal(await client.ask({**FLUX, missing: said}))
    assert wrong.param == missing
    assert f"{missing} is required" in wrong.message


@pytest.mark.parametrize("quality", ["hd", "standard"])
@pytest.mark.parametrize("style", ["vivid", "natural"])
async def test_dall_e_3(quality: str, style: str, client: Client) -> None:
    answer = await client.ask({**DALL_E_3, "quality": quality, "style": style, "user": "somebody"})
    (shown,) = plain(answer, KEYS)
    (found,) = await client.pictures([shown])
    check_shape(found, "1:1", "1K")
    assert client.door.job(answer).request.params == {"quality": quality, "style": style}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({**DALL_E_3, "quality": "ultra"}, "quality"),
        ({**DALL_E_3, "style": "noir"}, "style"),
        ({**FLUX, "quality": "hd"}, "quality"),
        ({**FLUX, "style": "vivid"}, "style"),
        ({**SMALL, "style": "vivid"}, "style"),
        ({**SMALL, "response_format": "base64"}, "response_format"),
        ({**SMALL, "user": 7}, "user"),
    ],
    ids=str,
)
async def test_values_that_are_refused(fields: dict[str, object], param: str, client: Client) -> None:
    assert refusal(await client.ask(fields)).param == param


@pytest.mark.parametrize(("said", "asked"), [("hd", "high"), ("standard", "medium"), ("low", "low")])
async def test_dall_e_s_words_for_a_quality(said: str, asked: str, door: Door, upstream: Upstream) -> None:
    fields = {"model": MODEL, "prompt": "a fox", "quality": said}
    plain(await Client(door, HOST, LIVE).ask(fields), KEYS)
    assert upstream.seen[0].fields["quality"] == asked


@pytest.mark.parametrize("delivery", ["url", "b64_json"])
async def test_deliveries(delivery: str, client: Client) -> None:
    (shown,) = plain(await client.ask({**SMALL, "response_format": delivery}), {delivery})
    (found,) = await client.pictures([shown])
    check_shape(found, "1:1")


async def test_the_user_is_passed_on(door: Door, upstream: Upstream) -> None:
    plain(await Client(door, HOST, LIVE).ask({"model": MODEL, "prompt": "a fox", "user": "somebody"}), KEYS)
    assert upstream.seen[0].fields["safety_identifier"] == "somebody"


async def test_edits(client: Client) -> None:
    """QuickRouter has them beside this page: forms, whose n is a text."""
    texts = {"model": "dall-e-2", "prompt": "a hat", "n": "2", "size": "256x256"}
    files = [png_file("image", picture()), png_file("mask", picture(mode="RGBA"))]
    shown = plain(await client.edit(texts, files), KEYS)
    assert [found.width for found in await client.pictures(shown)] == [256, 256]


# -- errors --


@pytest.mark.parametrize(("headers", "words"), [({}, "this API key is not known here"), (CHINESE, "无效的令牌")])
async def test_a_wrong_key(headers: dict[str, str], words: str, client: Client) -> None:
    wrong = refusal(await client.ask(FLUX, key="sk-nobodys", headers=headers), 401)
    assert (wrong.type, wrong.code) == ("new_api_error", "")
    assert wrong.message.startswith(words)


async def test_too_many_requests(door: Door) -> None:
    await door.new_key("sk-test-quick-0123456789", kind="test", requests_per_minute=1)
    client = Client(door, HOST, "sk-test-quick-0123456789")
    plain(await client.ask(SMALL), KEYS)
    answer = await client.ask(SMALL)
    wrong = refusal(answer, 429)
    assert (wrong.type, wrong.code) == ("rate_limit_error", "rate_limit_exceeded")
    assert int(answer.headers["retry-after"]) > 0


async def test_a_server_s_error(door: Door, upstream: Upstream) -> None:
    """Nobody is told to try again where somebody may have been billed."""
    upstream.always = say(500, code="server_error")
    answer = await Client(door, HOST, LIVE).ask({"model": SHARED, "prompt": "a fox"})
    wrong = refusal(answer, 502)
    assert (wrong.type, wrong.code) == ("upstream_error", "bad_response_status_code")
    assert answer.headers["x-should-retry"] == "false"


async def test_by_prefix(door: Door) -> None:
    answer = await door.ask(
        ANSWER_AS_REQUEST[ANSWER_AS_REQUEST.index("{") : -1].encode(), path=f"/quickrouter{GENERATIONS}"
    )
    assert "this is an answer, not a request" in refusal(answer).message
