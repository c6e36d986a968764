from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from functools import partial

import pytest
from aiohttp import web

from pictura.core.errors import (
    BadRequest,
    Failed,
    Lost,
    Malformed,
    PicturaError,
    Refused,
    Rejected,
    Unsupported,
)
from pictura.core.model import ModelCard
from pictura.core.size import AUTO, fit, parse
from pictura.providers.base import Ask, Channel, Done, Pending
from pictura.providers.gemini import Gemini
from pictura.providers.openai import OpenAI
from pictura.providers.tencent_vod import TencentVod
from pictura.sandbox.base import SECRET
from tests.providers.conftest import (
    Connect,
    Make,
    MakePicture,
    OpenSpools,
    Serve,
    drawn_by,
    fault_of,
    files,
    followed,
    look,
    pixels,
    sides,
)
from tests.providers.tencent import Trouble, check_trouble, troubles

APP = "1500044236"
CARDS = {card.id: card for card in TencentVod.MODELS}
OG, GG, KLING = CARDS["vod-og-image2"], CARDS["vod-gg-3.1"], CARDS["vod-kling-3.0-omni"]
PANORAMA, SCENE = CARDS["hunyuan-panorama-2.0"], CARDS["vod-kling-scene"]
GPT = next(card for card in OpenAI.MODELS if card.id == "gpt-image-2")
NANO = next(card for card in Gemini.MODELS if card.id == "gemini-3.1-flash-image")
#: What a card wants beside a prompt or a picture.
WANTED: Mapping[str, Mapping[str, object]] = {"vod-kling-scene": {"right_expansion_ratio": 0.5}}

draw, finish, fault = partial(drawn_by, TencentVod()), partial(followed, TencentVod()), partial(fault_of, TencentVod())


def keyed(channel: Channel, app: str = APP) -> Channel:
    key = channel.secrets["api_key"]
    channel.secrets = {"secret_id": key, "secret_key": SECRET, **({"sub_app_id": app} if app else {})}
    return channel


@pytest.fixture
def vod(sandbox: Connect) -> Channel:
    return keyed(sandbox(TencentVod.sandbox_path))


# -- against the sandbox, which is as strict as the vendor --


@pytest.mark.parametrize("card", TencentVod.MODELS, ids=lambda card: card.id)
async def test_every_model_draws_as_its_card_says(
    card: ModelCard, vod: Channel, ask: Make, picture: MakePicture
) -> None:
    images = (picture(),) if card.inputs.required else ()
    prompt = "a fox" if not images else ""
    said = ask(card, prompt=prompt, images=images, params=WANTED.get(card.id, {}), size=fit(AUTO, card.sizes))
    done = await draw(said, vod)
    assert len(await sides(done)) == 1


@pytest.mark.parametrize("card", TencentVod.MODELS, ids=lambda card: card.id)
async def test_every_option_of_a_card_is_taken(card: ModelCard, vod: Channel, ask: Make, picture: MakePicture) -> None:
    options = {
        "input_region": "Oversea",
        "negative_prompt": "dogs",
        "prompt_extend": False,
        "watermark": True,
        "seed": 7,
        "quality": "high",
        "background": "transparent",
        **WANTED.get(card.id, {}),
    }
    images = (picture(),) * card.inputs.count if card.id != PANORAMA.id else ()
    params = {name: value for name, value in options.items() if name in card.params}
    said = ask(card, images=images, params=params, output_format="png", client_id="job_1-0")
    task = await TencentVod().start(said, vod)
    assert task.state == ({"quality": "high"} if "quality" in params else {})


@pytest.mark.parametrize(
    ("card", "size", "expected"),
    [
        (OG, "1536x1024", "1536x1024"),
        (OG, "2K", "2048x2048"),
        (OG, "16:9", "1360x768"),
        (GG, "1:4 720P", "480x1920"),
        (GG, "16:9 2K", "2736x1536"),
        (GG, "1024x1024", "1024x1024"),
        (KLING, "21:9 1k", "1568x672"),
        (CARDS["vod-si-4.5"], "auto", "2048x2048"),
        (CARDS["vod-si-5.0-lite"], "3K", "3072x3072"),
        (CARDS["vod-vidu-q2"], "auto", "1440x1440"),
        (CARDS["vod-hunyuan-3.0"], "728x1024", "728x1024"),
        (CARDS["vod-qwen-0925"], "1000x600", "1000x600"),
        (PANORAMA, "auto", "1920x960"),
    ],
    ids=lambda value: getattr(value, "id", value),
)
async def test_sizes_of_every_kind(card: ModelCard, size: str, expected: str, vod: Channel, ask: Make) -> None:
    aspect, _, tier = size.partition(" ")
    wanted = parse(aspect) if not tier else type(AUTO)(aspect=aspect, tier=tier)
    done = await draw(ask(card, size=fit(wanted, card.sizes)), vod)
    assert await sides(done) == [expected]


async def test_several_pictures_in_the_format_asked_for(vod: Channel, ask: Make) -> None:
    done = await draw(ask(KLING, n=3, output_format="jpeg", params={"seed": 7}), vod)
    assert await pixels(done) == [("jpeg", 1024, 1024)] * 3
    again = await draw(ask(KLING, params={"seed": 7}), vod)
    other = await draw(ask(KLING, params={"seed": 8}), vod)
    first, second = [(await files(done))[0] for done in (again, other)]
    assert first != second


async def test_an_edit_with_a_mask(vod: Channel, ask: Make, picture: MakePicture) -> None:
    said = ask(OG, images=(picture(), picture()), mask=picture(), size=parse("1024x1024"), params={"quality": "low"})
    done = await draw(said, vod)
    assert await pixels(done) == [("png", 1024, 1024)]
    assert done.echo == {"quality": "low"}


async def test_a_picture_is_drawn_beyond_its_edges(vod: Channel, ask: Make, picture: MakePicture) -> None:
    said = ask(SCENE, images=(picture(640, 480),), params={"right_expansion_ratio": 0.5})
    assert await pixels(await draw(said, vod)) == [("png", 1456, 720)]


async def test_a_panorama_of_a_picture(vod: Channel, ask: Make, picture: MakePicture) -> None:
    done = await draw(ask(PANORAMA, prompt="", images=(picture(),)), vod)
    assert await pixels(done) == [("png", 1920, 960)]
    both = await fault(ask(PANORAMA, images=(picture(),)), vod)
    assert type(both) is BadRequest


async def test_an_account_without_an_application(sandbox: Connect, ask: Make) -> None:
    via = keyed(sandbox(TencentVod.sandbox_path), app="")
    assert await sides(await draw(ask(GG), via))


TROUBLES = troubles(
    refuses="InvalidParameter.ViolationContent",
    by="tencent-vod",
    refuses_late="ContentModerationFailed",
    breaks="InternalError",
    fails={"upstream_code": "ModelGenerateFailed", "possibly_billed": True},
)


@pytest.mark.parametrize("trouble", TROUBLES, ids=[row[0] for row in TROUBLES])
async def test_what_goes_wrong_is_told(trouble: Trouble, vod: Channel, ask: Make) -> None:
    await check_trouble(trouble, TencentVod(), ask(GG, prompt=f"a fox {trouble[0]}"), vod)


async def test_slow_and_long_tasks_come_to_their_end(vod: Channel, ask: Make) -> None:
    task = await TencentVod().start(ask(GG, prompt="[fault:slow 0.1] [fault:long 60]"), vod)
    assert await TencentVod().check(task, vod) == task
    assert task.poll_after_s >= 1


async def test_results_that_are_broken_or_gone(vod: Channel, ask: Make) -> None:
    done = await draw(ask(GG, prompt="[fault:truncated]"), vod)
    (broken,) = await files(done)
    with pytest.raises(AssertionError):
        look(broken)
    done = await draw(ask(GG, prompt="[fault:expired]"), vod)
    assert await files(done) == [b""]


async def test_a_waiting_task_is_taken_back(vod: Channel, ask: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pictura.sandbox.tasks.QUEUED_S", 60)
    task = await TencentVod().start(ask(GG, prompt="[fault:long 60]"), vod)
    await TencentVod().cancel(task, vod)
    with pytest.raises(Failed) as caught:
        await TencentVod().check(task, vod)
    assert caught.value.upstream_code == "OperationCanceled"


async def test_a_running_task_is_not(vod: Channel, ask: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pictura.sandbox.tasks.QUEUED_S", 0)
    task = await TencentVod().start(ask(GG, prompt="[fault:long 60]"), vod)
    with pytest.raises(Lost):
        await TencentVod().cancel(task, vod)
    assert await TencentVod().check(task, vod) == task


@pytest.mark.parametrize("mark", ["[fault:reset]", "[fault:502page]"])
async def test_a_lost_call_is_found_again(mark: str, vod: Channel, ask: Make) -> None:
    said = ask(GG, prompt=f"a fox {mark}", client_id="job_1-0")
    with pytest.raises(Lost):
        await TencentVod().start(said, vod)
    await TencentVod().start(ask(GG, client_id="job_2-0"), vod)
    assert await pixels(await draw(said, vod)) == [("png", 1024, 1024)]


async def test_a_task_of_another_application_is_not_known(vod: Channel, ask: Make) -> None:
    task = await TencentVod().start(ask(GG), vod)
    vod.secrets = {**vod.secrets, "sub_app_id": "7"}
    with pytest.raises(Failed):
        await TencentVod().check(task, vod)


# -- what is sent --


class Scripted:
    """A server that answers by action, and remembers what it was asked."""

    def __init__(self, **answers: Mapping[str, object]) -> None:
        self.answers: dict[str, Mapping[str, object]] = {"CreateAigcImageTask": {"TaskId": "t-1"}, **answers}
        self.asked: list[tuple[str, dict[str, object]]] = []

    async def handler(self, request: web.Request) -> web.StreamResponse:
        action = request.headers["X-TC-Action"]
        self.asked.append((action, await request.json()))
        return web.json_response({"Response": {**self.answers[action], "RequestId": "r"}})


async def sent(asked: Ask, serve: Serve) -> dict[str, object]:
    script = Scripted()
    await TencentVod().start(asked, keyed(await serve(script.handler)))
    return script.asked[0][1]


async def test_a_prompt_alone_is_all_that_is_sent(serve: Serve, ask: Make) -> None:
    assert await sent(ask(GG, prompt="auto", params={"quality": "auto"}), serve) == {
        "SubAppId": int(APP),
        "ModelName": "GG",
        "ModelVersion": "3.1",
        "Prompt": "auto",
        "OutputConfig": {"StorageMode": "Temporary"},
    }


async def test_everything_that_can_be_sent(serve: Serve, ask: Make, picture: MakePicture) -> None:
    image, mask = picture(), picture(8, 8)
    params = {
        "quality": "high",
        "background": "transparent",
        "negative_prompt": "dogs",
        "prompt_extend": True,
        "watermark": False,
        "seed": 0,
        "input_region": "OverseaUSWest",
    }
    said = ask(
        OG,
        images=(image,),
        mask=mask,
        n=8,
        size=parse("720x1024"),
        params=params,
        output_format="jpeg",
        client_id="job_1-0",
    )
    encoded, hole = (base64.b64encode(source.source.read()).decode() for source in (image, mask))
    body = await sent(said, serve)
    extra = json.loads(str(body.pop("ExtInfo")))
    assert json.loads(extra["AdditionalParameters"]) == {"size": "720x1024", "background": "transparent"}
    assert body == {
        "SubAppId": int(APP),
        "ModelName": "OG",
        "ModelVersion": "image2_high",
        "Prompt": "a fox",
        "NegativePrompt": "dogs",
        "EnhancePrompt": "Enabled",
        "FileInfos": [
            {"Type": "Base64", "Base64": encoded},
            {"Type": "Base64", "Base64": hole, "ReferenceType": "mask"},
        ],
        "OutputConfig": {
            "StorageMode": "Temporary",
            "OutputImageCount": 8,
            "OutputFormat": "jpeg",
            "LogoAdd": "Disabled",
        },
        "InputRegion": "OverseaUSWest",
        "Seed": 0,
        "SessionId": "job_1-0",
    }


@pytest.mark.parametrize(
    ("native", "params", "version"),
    [
        ("OG/image2", {}, "image2_medium"),
        ("OG/image2", {"quality": "auto"}, "image2_medium"),
        ("OG/image2", {"quality": "low"}, "image2_low"),
        ("OG/image2_low", {"quality": "high"}, "image2_low"),
        ("OG/image2.5_flare", {"quality": "max"}, "image2.5_flare_max"),
        ("GG/3.0", {"quality": "high"}, "3.0"),
    ],
)
async def test_the_quality_names_a_version(
    native: str, params: dict[str, object], version: str, serve: Serve, ask: Make
) -> None:
    assert (await sent(ask(OG, native=native, params=params), serve))["ModelVersion"] == version


async def test_a_maker_s_card_is_drawn_in_vod_s_words(serve: Serve, ask: Make) -> None:
    body = await sent(ask(GPT, native="OG/image2", size=parse("1536x1024"), output_format="webp"), serve)
    assert body["OutputConfig"] == {"StorageMode": "Temporary"}
    assert "1536x1024" in str(body["ExtInfo"])
    size = fit(type(AUTO)(aspect="16:9", tier="4K"), NANO.sizes)
    body = await sent(ask(NANO, native="GG/3.1", size=size), serve)
    assert body["OutputConfig"] == {"StorageMode": "Temporary", "Resolution": "4K", "AspectRatio": "16:9"}


async def test_a_size_that_vod_does_not_take_says_what_it_takes(serve: Serve, ask: Make) -> None:
    with pytest.raises(Unsupported) as caught:
        await sent(ask(GPT, native="SI/4.5", size=parse("1536x1024")), serve)
    assert caught.value.allowed == ("auto", "2K", "4K")


async def test_a_model_without_a_card_is_asked_as_its_channel_names_it(serve: Serve, ask: Make) -> None:
    card = TencentVod().generic("MJ/v8.2")
    assert card is not None
    params = {"scene_type": "image_expand", "quality": "high"}
    body = await sent(ask(card, size=fit(parse("16:9"), card.sizes), params=params), serve)
    assert (body["ModelName"], body["ModelVersion"], body["SceneType"]) == ("MJ", "v8.2", "image_expand")
    assert TencentVod().generic("house-model") is None


@pytest.mark.parametrize("app", ["mine", "1.5"])
async def test_an_application_is_a_number(app: str, connect: Connect, ask: Make) -> None:
    with pytest.raises(Rejected) as caught:
        await TencentVod().start(ask(GG), keyed(connect("http://127.0.0.1:9"), app))
    assert caught.value.config


# -- what comes back --

FILES = {"FileInfos": [{"FileUrl": "https://files.example.com/1.png"}, {"FileUrl": ""}]}
TASKS: list[tuple[Mapping[str, object], type[PicturaError] | type[Done] | type[Pending], str]] = [
    ({"Status": "WAITING"}, Pending, ""),
    ({"Status": "PROCESSING", "AigcImageTask": {"Status": "PROCESSING", "ErrCode": 0}}, Pending, ""),
    ({"Status": "FINISH", "AigcImageTask": {"Status": "FINISH", "ErrCodeExt": "0", "Output": FILES}}, Done, ""),
    ({"Status": "FINISH", "AigcImageTask": {"Output": FILES}}, Done, ""),
    ({"Status": "FINISH", "AigcImageTask": {"Output": {"FileInfos": None}}}, Malformed, ""),
    ({"Status": "FINISH", "AigcImageTask": None}, Malformed, ""),
    ({"Status": "ABORTED", "AigcImageTask": None}, Failed, "ABORTED"),
    ({"Status": "FINISH", "AigcImageTask": {"Status": "FAIL", "Message": "no"}}, Failed, "FAIL"),
    ({"Status": "FINISH", "AigcImageTask": {"ErrCode": 70000, "ErrCodeExt": "", "Message": "no"}}, Failed, "70000"),
    (
        {"Status": "FINISH", "AigcImageTask": {"ErrCode": 1, "ErrCodeExt": "InvalidParameter.VoilationContent"}},
        Refused,
        "InvalidParameter.VoilationContent",
    ),
]


@pytest.mark.parametrize(("detail", "kind", "code"), TASKS)
async def test_a_task_stands_as_its_codes_say(
    detail: Mapping[str, object], kind: type, code: str, serve: Serve
) -> None:
    script = Scripted(DescribeTaskDetail=detail)
    via = keyed(await serve(script.handler))
    outcome: object
    try:
        outcome = await TencentVod().check(Pending(upstream_id="t-1"), via)
    except PicturaError as error:
        outcome = error
    assert type(outcome) is kind
    assert script.asked == [("DescribeTaskDetail", {"SubAppId": int(APP), "TaskId": "t-1"})]
    if isinstance(outcome, Done):
        assert [raw.url for raw in outcome.pictures] == ["https://files.example.com/1.png"]
    assert code == getattr(outcome, "upstream_code", getattr(outcome, "reason", ""))


@pytest.mark.parametrize(
    ("code", "elsewhere"), [("RequestLimitExceeded", True), ("FailedOperation", True), ("TaskTimeout", False)]
)
async def test_a_task_that_never_ran_may_be_drawn_elsewhere(code: str, elsewhere: bool, serve: Serve) -> None:
    script = Scripted(DescribeTaskDetail={"Status": "FINISH", "AigcImageTask": {"ErrCode": 70000, "ErrCodeExt": code}})
    with pytest.raises(Failed) as caught:
        await TencentVod().check(Pending(upstream_id="t-1"), keyed(await serve(script.handler)))
    assert caught.value.safe_elsewhere is elsewhere


USED = {"Error": {"Code": "InvalidParameterValue.SessionId", "Message": "used before"}}


async def test_a_call_that_was_made_before_is_looked_for(serve: Serve, ask: Make) -> None:
    listed = {"TaskSet": [{"TaskId": "t-2", "SessionId": "job_2-0"}, {"TaskId": "t-1", "SessionId": "job_1-0"}]}
    script = Scripted(CreateAigcImageTask=USED, DescribeTasks=listed)
    task = await TencentVod().start(ask(GG, client_id="job_1-0"), keyed(await serve(script.handler)))
    assert task.upstream_id == "t-1"
    newest = {"Sort": {"Field": "CreateTime", "Order": "Desc"}, "Limit": 100}
    assert script.asked[1] == ("DescribeTasks", {"SubAppId": int(APP), **newest})


@pytest.mark.parametrize("listed", [{"TaskSet": []}, {"Error": {"Code": "RequestLimitExceeded", "Message": "later"}}])
async def test_what_is_not_found_stays_lost(listed: Mapping[str, object], serve: Serve, ask: Make) -> None:
    script = Scripted(CreateAigcImageTask=USED, DescribeTasks=listed)
    with pytest.raises(Lost) as caught:
        await TencentVod().start(ask(GG, client_id="job_1-0"), keyed(await serve(script.handler)))
    assert caught.value.message == "used before"


async def test_an_answer_without_a_task(serve: Serve, ask: Make) -> None:
    script = Scripted(CreateAigcImageTask={})
    with pytest.raises(Malformed):
        await TencentVod().start(ask(GG), keyed(await serve(script.handler)))


async def test_nothing_stays_open(vod: Channel, ask: Make, open_spools: OpenSpools) -> None:
    await draw(ask(GG), vod)
    await fault(ask(GG, prompt="[refuse]"), vod)
    assert not open_spools()
