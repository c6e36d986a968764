from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import partial

import pytest
from aiohttp import web

from pictura.core.errors import BadRequest, Failed, Malformed, PicturaError, Refused
from pictura.core.model import ModelCard
from pictura.core.size import AUTO, fit, parse
from pictura.providers.base import Channel, Done, Pending
from pictura.providers.tencent_hunyuan import TencentHunyuan
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
    look,
    sides,
)
from tests.providers.tencent import Trouble, check_trouble, troubles

CARDS = {card.id: card for card in TencentHunyuan.MODELS}
JOB, CHAT, LITE = (CARDS[f"hunyuan-image-{word}"] for word in ("legacy", "chat", "lite"))

draw, fault = partial(drawn_by, TencentHunyuan()), partial(fault_of, TencentHunyuan())


def keyed(channel: Channel) -> Channel:
    channel.secrets = {"secret_id": channel.secrets["api_key"], "secret_key": SECRET}
    return channel


@pytest.fixture
def hunyuan(sandbox: Connect) -> Channel:
    return keyed(sandbox(TencentHunyuan.sandbox_path))


# -- against the sandbox, which is as strict as the vendor --


@pytest.mark.parametrize("card", TencentHunyuan.MODELS, ids=lambda card: card.id)
async def test_every_model_draws_as_its_card_says(card: ModelCard, hunyuan: Channel, ask: Make) -> None:
    done = await draw(ask(card, size=fit(AUTO, card.sizes)), hunyuan)
    assert len(await sides(done)) == 1


@pytest.mark.parametrize("card", TencentHunyuan.MODELS, ids=lambda card: card.id)
async def test_every_option_of_a_card_is_taken(card: ModelCard, hunyuan: Channel, ask: Make) -> None:
    options = {
        "watermark": True,
        "negative_prompt": "dogs",
        "style": "201",
        "seed": 7,
        "prompt_extend": False,
        "clarity": "x2",
    }
    params = {name: value for name, value in options.items() if name in card.params}
    assert await sides(await draw(ask(card, params=params), hunyuan))


@pytest.mark.parametrize(
    ("card", "size", "params", "expected"),
    [
        (JOB, "auto", {}, "1024x1024"),
        (JOB, "1280x768", {}, "1280x768"),
        (JOB, "3:4", {}, "768x1024"),
        (JOB, "768x768", {"clarity": "x2"}, "1536x1536"),
        (LITE, "1920x1080", {}, "1920x1080"),
        (LITE, "auto", {}, "768x768"),
        (CHAT, "auto", {}, "1024x1024"),
    ],
    ids=lambda value: getattr(value, "id", str(value)),
)
async def test_sizes_of_every_kind(
    card: ModelCard, size: str, params: Mapping[str, object], expected: str, hunyuan: Channel, ask: Make
) -> None:
    done = await draw(ask(card, size=fit(parse(size), card.sizes), params=params), hunyuan)
    assert await sides(done) == [expected]


async def test_several_pictures_and_the_prompts_they_were_drawn_from(hunyuan: Channel, ask: Make) -> None:
    done = await draw(ask(JOB, n=4), hunyuan)
    assert await sides(done) == ["1024x1024"] * 4
    assert {raw.revised_prompt for raw in done.pictures} == {"a fox (as painted in the sandbox)"}


async def test_a_seed_counts(hunyuan: Channel, ask: Make) -> None:
    drawn = [await draw(ask(JOB, params={"seed": seed}), hunyuan) for seed in (7, 7, 8)]
    first, again, other = [(await files(done))[0] for done in drawn]
    assert first == again != other


async def test_an_edit(hunyuan: Channel, ask: Make, picture: MakePicture) -> None:
    done = await draw(ask(JOB, images=(picture(640, 320),)), hunyuan)
    assert await sides(done) == ["1024x512"]
    plain = await draw(ask(JOB, images=(picture(),), size=parse("1024x768")), hunyuan)
    assert await sides(plain) == ["1024x768"]
    narrow = await fault(ask(JOB, images=(picture(),), size=parse("720x1280")), hunyuan)
    assert type(narrow) is BadRequest


async def test_a_chat_goes_on(hunyuan: Channel, ask: Make) -> None:
    first = await draw(ask(CHAT), hunyuan)
    second = await draw(ask(CHAT, prompt="now with a hat", params={"chat_id": first.echo["chat_id"]}), hunyuan)
    assert await sides(second) == ["1024x1024"]
    assert second.echo["chat_id"] not in ("", first.echo["chat_id"])
    assert type(await fault(ask(CHAT, params={"chat_id": "nobody's"}), hunyuan)) is BadRequest


TROUBLES = troubles(
    refuses="OperationDenied.TextIllegalDetected",
    by="tencent-hunyuan",
    refuses_late="OperationDenied.ImageIllegalDetected",
    breaks="FailedOperation.EngineServerError",
    fails={"upstream_code": "FailedOperation.EngineServerError", "possibly_billed": True},
)


@pytest.mark.parametrize("card", [JOB, LITE], ids=lambda card: card.id)
@pytest.mark.parametrize("trouble", TROUBLES, ids=[row[0] for row in TROUBLES])
async def test_what_goes_wrong_is_told(trouble: Trouble, card: ModelCard, hunyuan: Channel, ask: Make) -> None:
    await check_trouble(trouble, TencentHunyuan(), ask(card, prompt=f"a fox {trouble[0]}"), hunyuan)


async def test_slow_and_long_jobs_come_to_their_end(hunyuan: Channel, ask: Make) -> None:
    task = await TencentHunyuan().start(ask(JOB, prompt="[fault:slow 0.1] [fault:long 60]"), hunyuan)
    assert isinstance(task, Pending)
    assert await TencentHunyuan().check(task, hunyuan) == task
    assert task.poll_after_s >= 1


async def test_results_that_are_broken_or_gone(hunyuan: Channel, ask: Make) -> None:
    done = await draw(ask(JOB, prompt="[fault:truncated]"), hunyuan)
    (broken,) = await files(done)
    with pytest.raises(AssertionError):
        look(broken)
    done = await draw(ask(LITE, prompt="[fault:expired]"), hunyuan)
    assert await files(done) == [b""]


async def test_a_job_that_is_not_known_is_at_its_end(hunyuan: Channel) -> None:
    task = Pending(upstream_id="1300000000-made-up", poll_after_s=2, state={"query": "QueryHunyuanImageJob"})
    with pytest.raises(Failed):
        await TencentHunyuan().check(task, hunyuan)


# -- what is sent --


class Scripted:
    """A server that answers everything alike, and remembers what it was asked."""

    def __init__(self, **answer: object) -> None:
        self.answer = answer
        self.asked: list[tuple[str, dict[str, object]]] = []

    async def handler(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.headers["X-TC-Action"], await request.json()))
        assert (request.headers["X-TC-Version"], request.headers["X-TC-Region"]) == ("2023-09-01", "ap-guangzhou")
        return web.json_response({"Response": {**self.answer, "RequestId": "r"}})


SENT: list[tuple[ModelCard, dict[str, object], dict[str, object]]] = [
    (JOB, {}, {"LogoAdd": 0}),
    (JOB, {"params": {"watermark": False, "clarity": "auto"}}, {"LogoAdd": 0}),
    (JOB, {"params": {"seed": 5}}, {"LogoAdd": 0, "Seed": 5, "Revise": 0}),
    (JOB, {"params": {"seed": 5, "prompt_extend": True}}, {"LogoAdd": 0, "Seed": 5, "Revise": 1}),
    (
        JOB,
        {
            "n": 4,
            "size": parse("1280x720"),
            "params": {
                "watermark": True,
                "negative_prompt": "dogs",
                "style": "riman",
                "clarity": "x4",
                "prompt_extend": False,
            },
        },
        {
            "LogoAdd": 1,
            "Num": 4,
            "Resolution": "1280:720",
            "NegativePrompt": "dogs",
            "Style": "riman",
            "Clarity": "x4",
            "Revise": 0,
        },
    ),
    (CHAT, {"params": {"chat_id": "c-1"}}, {"LogoAdd": 0, "ChatId": "c-1"}),
    (LITE, {"params": {"style": "000"}}, {"LogoAdd": 0, "Style": "000", "RspImgType": "url"}),
]


@pytest.mark.parametrize(("card", "asked", "expected"), SENT)
async def test_what_is_sent(
    card: ModelCard, asked: dict[str, object], expected: dict[str, object], serve: Serve, ask: Make
) -> None:
    script = Scripted(JobId="j-1", ResultImage="https://files.example.com/1.png")
    await TencentHunyuan().start(ask(card, **asked), keyed(await serve(script.handler)))
    assert script.asked == [(card.native, {"Prompt": "a fox", **expected})]


async def test_a_picture_is_sent_as_base64(serve: Serve, ask: Make, picture: MakePicture) -> None:
    script, image = Scripted(JobId="j-1"), picture()
    await TencentHunyuan().start(ask(JOB, images=(image,)), keyed(await serve(script.handler)))
    encoded = base64.b64encode(image.source.read()).decode()
    assert script.asked[0][1] == {"Prompt": "a fox", "LogoAdd": 0, "ContentImage": {"ImageBase64": encoded}}


@pytest.mark.parametrize("card", TencentHunyuan.MODELS, ids=lambda card: card.id)
async def test_an_answer_without_a_job_or_a_picture(card: ModelCard, serve: Serve, ask: Make) -> None:
    with pytest.raises(Malformed):
        await TencentHunyuan().start(ask(card), keyed(await serve(Scripted().handler)))


# -- what comes back --

URL = "https://files.example.com/1.png"
REFUSAL, FAILURE = "FailedOperation.GenerateImageFailed", "FailedOperation.InnerError"
JOBS: list[tuple[Mapping[str, object], type[PicturaError] | type[Done] | type[Pending], str]] = [
    ({"JobStatusCode": "1"}, Pending, ""),
    ({"JobStatusCode": "2"}, Pending, ""),
    ({"JobStatusCode": 2}, Pending, ""),
    ({"JobStatusCode": "4", "JobErrorCode": FAILURE, "JobErrorMsg": "no"}, Failed, FAILURE),
    ({"JobStatusCode": "4", "JobErrorCode": REFUSAL, "JobErrorMsg": "no"}, Refused, REFUSAL),
    ({"JobStatusCode": "5", "ResultImage": [URL], "ResultDetails": ["Success"]}, Done, ""),
    ({"JobStatusCode": 5, "ResultImage": [URL]}, Done, ""),
    ({"JobStatusCode": "5", "ResultImage": [URL, ""], "ResultDetails": ["Success", REFUSAL]}, Done, ""),
    ({"JobStatusCode": "5", "ResultImage": [""], "ResultDetails": [REFUSAL]}, Refused, REFUSAL),
    ({"JobStatusCode": "5", "ResultImage": None, "ResultDetails": [FAILURE]}, Failed, FAILURE),
    ({"JobStatusCode": "5", "ResultImage": []}, Malformed, ""),
]


@pytest.mark.parametrize(("job", "kind", "code"), JOBS)
async def test_a_job_stands_as_its_codes_say(job: Mapping[str, object], kind: type, code: str, serve: Serve) -> None:
    script = Scripted(**job)
    task = Pending(upstream_id="j-1", poll_after_s=2, state={"query": "QueryHunyuanImageChatJob"})
    outcome: object
    try:
        outcome = await TencentHunyuan().check(task, keyed(await serve(script.handler)))
    except PicturaError as error:
        outcome = error
    assert type(outcome) is kind
    assert script.asked == [("QueryHunyuanImageChatJob", {"JobId": "j-1"})]
    if isinstance(outcome, Done):
        assert [raw.url for raw in outcome.pictures] == [URL]
    assert code == getattr(outcome, "upstream_code", getattr(outcome, "reason", ""))


@pytest.mark.parametrize(
    ("code", "config"), [("FailedOperation.EngineServerLimitExceeded", False), ("ResourceUnavailable.InArrears", True)]
)
async def test_a_job_that_never_ran_may_be_drawn_elsewhere(code: str, config: bool, serve: Serve) -> None:
    script = Scripted(JobStatusCode="4", JobErrorCode=code, JobErrorMsg="no")
    task = Pending(upstream_id="j-1", poll_after_s=2, state={"query": "QueryHunyuanImageJob"})
    with pytest.raises(Failed) as caught:
        await TencentHunyuan().check(task, keyed(await serve(script.handler)))
    assert (caught.value.safe_elsewhere, caught.value.config) == (True, config)


async def test_nothing_stays_open(hunyuan: Channel, ask: Make, open_spools: OpenSpools) -> None:
    for card in (JOB, LITE):
        await draw(ask(card), hunyuan)
        await fault(ask(card, prompt="[refuse]"), hunyuan)
    assert not open_spools()
