from __future__ import annotations

import base64
from collections.abc import Callable
from functools import partial

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from pictura.core.errors import BadRequest, Failed, Lost, Malformed, PicturaError, Refused, Rejected, Throttled
from pictura.core.media import flaw, sniff
from pictura.core.model import ModelCard
from pictura.core.price import PerToken, Usage
from pictura.core.request import Turn
from pictura.core.result import Piece
from pictura.core.size import Size, allowed, fit, parse
from pictura.infra.http import Timeouts
from pictura.infra.spool import Spool
from pictura.providers.base import AskPicture, Done
from pictura.providers.gemini import Gemini
from tests.providers.conftest import KEY, Connect, Make, OpenSpools, Serve, fault_of, says

PICTURE = bytes(range(256)) * 40
BASE64 = base64.b64encode(PICTURE).decode()
CARDS = {card.id: card for card in Gemini.MODELS}
OLD, FLASH, IMAGEN = CARDS["gemini-2.5-flash-image"], CARDS["gemini-3.1-flash-image"], CARDS["imagen-4.0-generate-001"]

Asked = list[tuple[str, dict[str, str], dict[str, object]]]

fault = partial(fault_of, Gemini())


def blob(**beside: object) -> dict[str, object]:
    return {"inlineData": {"mimeType": "image/png", "data": BASE64}, **beside}


def drew(*parts: object, finish: object = "STOP", **beside: object) -> dict[str, object]:
    """An answer of generateContent."""
    candidate = {"content": {"role": "model", "parts": list(parts)}, "finishReason": finish, "index": 0}
    return {"candidates": [candidate], "modelVersion": "gemini", **beside}


def notes(asked: Asked) -> Handler:
    """A handler that notes what it was asked."""

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append((request.path, dict(request.headers), await request.json()))
        drawn = {**drew(blob()), "predictions": [{"bytesBase64Encoded": BASE64}]}
        return web.json_response(drawn)

    return handler


def content(spool: Spool | None) -> bytes:
    assert spool is not None
    return spool.read()


# -- what is sent --


async def test_a_generation(serve: Serve, ask: Make) -> None:
    asked: Asked = []
    params = {"seed": 7, "temperature": 0.5, "top_p": 0.9, "top_k": 20, "response_modalities": ["IMAGE", "TEXT"]}
    beside = {"tools": [{"googleSearch": {}}], "safetySettings": [{"category": "x", "threshold": "OFF"}]}
    thinking = {"thinkingConfig": {"thinkingLevel": "high"}}
    said = ask(FLASH, size=Size(aspect="16:9", tier="2K"), params={**params, **beside, **thinking})
    await Gemini().start(said, await serve(notes(asked)))
    path, headers, body = asked[0]
    assert path == "/v1/models/gemini-3.1-flash-image:generateContent"
    assert headers["x-goog-api-key"] == KEY
    assert body == {
        "contents": [{"role": "user", "parts": [{"text": "a fox"}]}],
        "generationConfig": {
            "responseModalities": ["TEXT", "IMAGE"],
            "imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"},
            "seed": 7,
            "temperature": 0.5,
            "topP": 0.9,
            "topK": 20,
            **thinking,
        },
        **beside,
    }


async def test_what_was_not_said_is_not_sent(serve: Serve, ask: Make) -> None:
    asked: Asked = []
    said = ask(OLD, params={"seed": "auto", "quality": "high"}, output_format="png", client_id="job_1-0")
    await Gemini().start(said, await serve(notes(asked)))
    assert asked[0][2] == {
        "contents": [{"role": "user", "parts": [{"text": "a fox"}]}],
        "generationConfig": {"responseModalities": ["IMAGE"]},
    }


async def test_a_model_with_one_tier_takes_no_word_about_it(serve: Serve, ask: Make) -> None:
    asked: Asked = []
    await Gemini().start(ask(OLD, size=Size(aspect="1:1", tier="1K")), await serve(notes(asked)))
    config = asked[0][2]["generationConfig"]
    assert config == {"responseModalities": ["IMAGE"], "imageConfig": {"aspectRatio": "1:1"}}


async def test_an_edit_shows_its_pictures_after_the_prompt(
    serve: Serve, ask: Make, picture: Callable[..., AskPicture]
) -> None:
    asked: Asked = []
    first, second = picture(64, 48), picture(32, 32)
    await Gemini().start(ask(FLASH, images=(first, second), operation="edit"), await serve(notes(asked)))
    blobs = [
        {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(image.source.read()).decode()}}
        for image in (first, second)
    ]
    assert asked[0][2]["contents"] == [{"role": "user", "parts": [{"text": "a fox"}, *blobs]}]


async def test_a_conversation_stays_one(serve: Serve, ask: Make, picture: Callable[..., AskPicture]) -> None:
    asked: Asked = []
    turns = (Turn("user", ("a fox",)), Turn("model", ("Here it is.", 0)), Turn("user", ("like this", 1, "but blue")))
    said = ask(FLASH, images=(picture(), picture(), picture()), turns=turns)
    await Gemini().start(said, await serve(notes(asked)))
    contents = asked[0][2]["contents"]
    assert isinstance(contents, list)
    assert [(turn["role"], [next(iter(part)) for part in turn["parts"]]) for turn in contents] == [
        ("user", ["text"]),
        ("model", ["text", "inlineData"]),
        ("user", ["text", "inlineData", "text", "inlineData"]),  # the third picture is in no turn
    ]
    signed = [part.get("thoughtSignature") for turn in contents for part in turn["parts"]]
    assert signed == [None, *["skip_thought_signature_validator"] * 2, *[None] * 4]


async def test_signatures_go_back_where_they_came_from(
    serve: Serve, ask: Make, picture: Callable[..., AskPicture]
) -> None:
    asked: Asked = []
    turns = (Turn("user", ("a fox",)), Turn("model", ("Here", 0), ("", "c2lnbmVk")), Turn("user", ("redder",)))
    await Gemini().start(ask(FLASH, images=(picture(),), turns=turns), await serve(notes(asked)))
    contents = asked[0][2]["contents"]
    assert isinstance(contents, list)
    signed = [part.get("thoughtSignature") for turn in contents for part in turn["parts"]]
    assert signed == [None, "skip_thought_signature_validator", "c2lnbmVk", None]


async def test_an_instruction_stands_beside_the_contents(serve: Serve, ask: Make) -> None:
    asked: Asked = []
    await Gemini().start(ask(FLASH, system="in blue"), await serve(notes(asked)))
    ((_, _, spoken),) = asked
    assert spoken["systemInstruction"] == {"parts": [{"text": "in blue"}]}
    assert spoken["contents"] == [{"role": "user", "parts": [{"text": "a fox"}]}]


async def test_a_prediction(serve: Serve, ask: Make) -> None:
    asked: Asked = []
    said = ask(
        IMAGEN,
        n=3,
        size=Size(aspect="3:4", tier="2K"),
        params={"personGeneration": "allow_adult"},
        output_format="jpeg",
        output_compression=80,
    )
    done = await Gemini().start(said, await serve(notes(asked)))
    path, _, body = asked[0]
    assert path == "/v1/models/imagen-4.0-generate-001:predict"
    assert body["instances"] == [{"prompt": "a fox"}]
    assert body["parameters"] == {
        "sampleCount": 3,
        "aspectRatio": "3:4",
        "sampleImageSize": "2K",
        "personGeneration": "allow_adult",
        "includeRaiReason": True,
        "outputOptions": {"mimeType": "image/jpeg", "compressionQuality": 80},
    }
    assert content(done.pictures[0].spool) == PICTURE
    assert done.usage is None


@pytest.mark.parametrize("native", ["imagen-4.0-generate-001", "house-imagen"])
def test_imagen_has_no_place_for_an_instruction(native: str) -> None:
    assert not Gemini().instructed(IMAGEN, native)
    assert Gemini().instructed(FLASH, native.replace("imagen", "gemini"))


async def test_a_channel_may_call_imagen_by_another_name(serve: Serve, ask: Make) -> None:
    asked: Asked = []
    await Gemini().start(ask(IMAGEN, native="house-imagen"), await serve(notes(asked)))
    assert asked[0][0] == "/v1/models/house-imagen:predict"


async def test_a_strange_name_stays_one_part_of_the_path(serve: Serve, ask: Make) -> None:
    asked: Asked = []
    await Gemini().start(ask(Gemini().generic("a/b?c"), size=Size(tier="4K")), await serve(notes(asked)))
    assert asked[0][0] == "/v1/models/a/b?c:generateContent"  # as the server decodes it
    assert asked[0][2]["generationConfig"] == {"responseModalities": ["IMAGE"], "imageConfig": {"imageSize": "4K"}}


# -- what comes back --


async def test_texts_and_no_thoughts(serve: Serve, ask: Make, open_spools: OpenSpools) -> None:
    thoughts = ({"text": "hm", "thought": True}, blob(thought=True))
    answer = drew(*thoughts, {"text": "A fox."}, blob(thoughtSignature=BASE64), {"text": ""}, {"text": "Done."})
    done = await Gemini().start(ask(FLASH), await serve(says(answer)))
    assert [content(raw.spool) for raw in done.pictures] == [PICTURE]
    assert done.texts == ("A fox.", "Done.")
    assert open_spools() == [done.pictures[0].spool]


async def test_of_several_pictures_the_last_goes_first(serve: Serve, ask: Make) -> None:
    drafts = [{"inlineData": {"data": base64.b64encode(name).decode()}} for name in (b"one", b"two", b"three")]
    done = await Gemini().start(ask(FLASH), await serve(says(drew(*drafts))))
    assert [content(raw.spool) for raw in done.pictures] == [b"three", b"one", b"two"]
    assert [piece.picture for piece in done.pieces] == [1, 2, 0]


async def test_texts_and_pictures_keep_their_order_and_signatures(serve: Serve, ask: Make) -> None:
    long = base64.b64encode(bytes(200_000)).decode()
    parts = ({"text": "One"}, blob(thoughtSignature=BASE64), {"text": "", "thoughtSignature": "c2lnbmVk"})
    answer = drew(*parts, {"text": "two", "thoughtSignature": long})
    done = await Gemini().start(ask(FLASH), await serve(says(answer)))
    assert done.pieces == (
        Piece(text="One"),
        Piece(picture=0, signature=BASE64),
        Piece(signature="c2lnbmVk"),
        Piece(text="two"),
    )
    assert done.texts == ("One", "two")


async def test_what_google_tells_beside_a_picture(serve: Serve, ask: Make) -> None:
    grounding = {"webSearchQueries": ["foxes"], "groundingChunks": [{"web": {"uri": "https://a.example"}}]}
    ratings = [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"}]
    answer = drew(blob(), usageMetadata=COUNTED)
    answer["candidates"][0] |= {"groundingMetadata": grounding, "safetyRatings": ratings}  # type: ignore[index]
    done = await Gemini().start(ask(FLASH), await serve(says(answer)))
    assert done.extras == {"groundingMetadata": grounding, "safetyRatings": ratings}
    assert done.thought_tokens == 208


@pytest.mark.parametrize("told", [None, "much", [], {"html": "x" * 40_000}])
async def test_what_is_none_or_too_much_is_left_out(told: object, serve: Serve, ask: Make) -> None:
    answer = drew(blob())
    answer["candidates"][0] |= {"groundingMetadata": told, "safetyRatings": told}  # type: ignore[index]
    assert (await Gemini().start(ask(FLASH), await serve(says(answer)))).extras == {}


COUNTED = {
    "promptTokenCount": 615,
    "candidatesTokenCount": 2478,
    "thoughtsTokenCount": 208,
    "toolUsePromptTokenCount": 10,
    "totalTokenCount": 3311,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 99}, {"modality": "IMAGE", "tokenCount": 516}],
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 2240}],
}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (COUNTED, Usage(text_in=109, image_in=516, image_out=2240, text_out=238 + 208)),
        ({"promptTokenCount": 9, "candidatesTokenCount": 1290}, Usage(text_in=9, image_out=1290)),
        ({"promptTokenCount": 9, "totalTokenCount": 9}, None),
        ({"promptTokenCount": -1, "candidatesTokenCount": 5}, None),
        ({"candidatesTokenCount": "many"}, None),
        ("free", None),
        (None, None),
    ],
)
async def test_usage(told: object, expected: Usage | None, serve: Serve, ask: Make) -> None:
    done = await Gemini().start(ask(FLASH), await serve(says(drew(blob(), usageMetadata=told))))
    assert done.usage == expected


async def test_a_broken_picture_is_marked(serve: Serve, ask: Make) -> None:
    part = {"inlineData": {"data": BASE64[:-3] + "!!!"}}
    done = await Gemini().start(ask(FLASH), await serve(says(drew(part))))
    assert done.pictures[0].flaw


async def test_an_imagined_picture_tells_its_prompt_and_others_may_be_filtered(serve: Serve, ask: Make) -> None:
    predictions = [{"raiFilteredReason": "no"}, {"bytesBase64Encoded": BASE64, "prompt": "a red fox"}]
    done = await Gemini().start(ask(IMAGEN, n=2), await serve(says({"predictions": predictions})))
    assert [(raw.revised_prompt, content(raw.spool)) for raw in done.pictures] == [("a red fox", PICTURE)]


# -- answers without a picture --

SPENT: dict[str, object] = {
    "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 200, "thoughtsTokenCount": 200}
}
BLOCKS = ("SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY", "MODEL_ARMOR", "JAILBREAK")
REFUSALS = (
    *("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "ESCALATION", "MODEL_ARMOR"),
    *("IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"),
)
OTHER_ENDS = ("STOP", "NO_IMAGE", "IMAGE_OTHER", "OTHER", "MALFORMED_RESPONSE", "MAX_TOKENS", "LANGUAGE", "NEWLY_MADE")


@pytest.mark.parametrize("reason", BLOCKS)
async def test_a_blocked_prompt_is_refused(reason: str, serve: Serve, ask: Make) -> None:
    found = await fault(ask(FLASH), await serve(says({"promptFeedback": {"blockReason": reason}})))
    assert isinstance(found, Refused)
    assert (found.reason, found.by, found.possibly_billed) == (reason, "gemini", False)
    assert reason in found.message


@pytest.mark.parametrize("reason", REFUSALS)
async def test_a_candidate_may_be_refused(reason: str, serve: Serve, ask: Make) -> None:
    answer = drew(finish=reason, **SPENT)
    answer["candidates"][0]["finishMessage"] = "Try rephrasing the prompt."  # type: ignore[index]
    found = await fault(ask(FLASH), await serve(says(answer)))
    assert isinstance(found, Refused)
    assert (found.reason, found.message, found.possibly_billed) == (reason, "Try rephrasing the prompt.", True)


@pytest.mark.parametrize("reason", ["STOP", "NO_IMAGE", "IMAGE_OTHER"])
async def test_words_instead_of_a_picture(reason: str, serve: Serve, ask: Make) -> None:
    """It may have declined, or asked back: nobody but a reader can tell."""
    found = await fault(ask(FLASH), await serve(says(drew({"text": f"What\ncolour?{'!' * 900}"}, finish=reason))))
    assert isinstance(found, Malformed)
    assert found.message.startswith("the provider answered with words instead of a picture: What colour?!")
    assert len(found.message) < 600
    assert (found.upstream_code, found.possibly_billed) == (reason, True)


@pytest.mark.parametrize("reason", OTHER_ENDS)
async def test_other_ends_are_no_refusals(reason: str, serve: Serve, ask: Make) -> None:
    found = await fault(ask(FLASH), await serve(says(drew(finish=reason))))
    assert type(found) is Malformed
    assert found.upstream_code == reason


async def test_a_limited_account_is_the_operators_affair(serve: Serve, ask: Make) -> None:
    found = await fault(ask(FLASH), await serve(says(drew(finish="PUP_LIMITED_DISABLED"))))
    assert isinstance(found, Rejected) and found.config


@pytest.mark.parametrize(
    "body",
    [
        {"candidates": [{"content": {"parts": None}, "finishReason": "IMAGE_SAFETY"}]},
        {"candidates": [{"content": {}, "finishReason": "IMAGE_SAFETY"}]},
        {"candidates": [{"finishReason": "IMAGE_SAFETY"}]},
    ],
)
async def test_parts_may_be_missing(body: object, serve: Serve, ask: Make) -> None:
    assert type(await fault(ask(FLASH), await serve(says(body)))) is Refused


async def test_a_filtered_prediction_is_refused(serve: Serve, ask: Make) -> None:
    answer = {"predictions": [{"raiFilteredReason": "Filtered. Support codes: 89371032"}]}
    found = await fault(ask(IMAGEN), await serve(says(answer)))
    assert isinstance(found, Refused)
    assert (found.message, found.possibly_billed) == ("Filtered. Support codes: 89371032", False)


@pytest.mark.parametrize("card", [FLASH, IMAGEN], ids=lambda card: card.id)
@pytest.mark.parametrize("body", [{}, [], {"candidates": "x", "predictions": None}, "<html>welcome</html>", ""])
async def test_answers_in_nobodys_words(body: object, card: ModelCard, serve: Serve, ask: Make) -> None:
    assert type(await fault(ask(card), await serve(says(body)))) is Malformed


async def test_nothing_stays_open_after_a_refusal(
    serve: Serve, ask: Make, spools: list[Spool], open_spools: OpenSpools
) -> None:
    await fault(ask(FLASH), await serve(says(drew(blob(thought=True), finish="IMAGE_SAFETY"))))
    assert spools and not open_spools()


# -- errors --


def info(reason: str) -> dict[str, object]:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}


VIOLATION = {"fieldViolations": [{"field": "generation_config.seed", "description": "x"}]}
RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "47.434392449s"}
ERRORS: list[tuple[int, str, list[object], type[PicturaError], dict[str, object]]] = [
    (
        400,
        "INVALID_ARGUMENT",
        [info("API_KEY_INVALID")],
        Rejected,
        {"config": True, "upstream_code": "API_KEY_INVALID"},
    ),
    (400, "FAILED_PRECONDITION", [], Rejected, {"config": True, "safe_elsewhere": True}),
    (400, "INVALID_ARGUMENT", [VIOLATION], BadRequest, {"param": "generation_config.seed"}),
    (400, "INVALID_ARGUMENT", [{"fieldViolations": [{"description": "x"}]}, "odd"], BadRequest, {"param": None}),
    (401, "UNAUTHENTICATED", [], Rejected, {"config": True}),
    (403, "PERMISSION_DENIED", [info("BILLING_DISABLED")], Rejected, {"config": True}),
    (404, "NOT_FOUND", [], Rejected, {"config": True, "upstream_status": 404}),
    (409, "ABORTED", [], Rejected, {"config": False}),
    (429, "RESOURCE_EXHAUSTED", [RETRY], Throttled, {"retry_after_s": 48, "config": False}),
    (429, "RESOURCE_EXHAUSTED", [{"retryDelay": "soon"}], Throttled, {"retry_after_s": 7}),
    (500, "INTERNAL", [], Failed, {"safe_elsewhere": True, "possibly_billed": False}),
    (503, "UNAVAILABLE", [RETRY], Failed, {"safe_elsewhere": True, "retry_after_s": 48}),
    (504, "DEADLINE_EXCEEDED", [], Failed, {"upstream_code": "DEADLINE_EXCEEDED"}),
    (500, "", [], Failed, {"safe_elsewhere": False, "possibly_billed": True}),
]


@pytest.mark.parametrize(("status", "word", "details", "kind", "facts"), ERRORS)
async def test_errors_are_told_by_code_and_status(
    status: int,
    word: str,
    details: list[object],
    kind: type[PicturaError],
    facts: dict[str, object],
    serve: Serve,
    ask: Make,
) -> None:
    error = {"code": status, "message": f"Something is wrong with {KEY}.", "status": word, "details": details}
    found = await fault(ask(FLASH), await serve(says({"error": error}, status, {"Retry-After": "7"})))
    assert type(found) is kind
    assert found.message == "Something is wrong with ***."
    assert {name: getattr(found, name) for name in facts} == facts


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (502, "<html>Bad Gateway</html>", Lost),
        (503, {"message": "no healthy upstream"}, Lost),
        (404, "<html>nothing here</html>", Rejected),
        (429, "slow down", Throttled),
        (400, {}, Rejected),
    ],
)
async def test_errors_in_nobodys_words(
    status: int, body: object, kind: type[PicturaError], serve: Serve, ask: Make
) -> None:
    assert type(await fault(ask(FLASH), await serve(says(body, status)))) is kind


# -- against the sandbox, which is as strict as the vendor --


def pixels(done: Done) -> tuple[int, int]:
    spool = done.pictures[0].spool
    assert spool is not None
    media = sniff(spool.read, spool.size)
    assert flaw(spool.read, spool.size, media) == ""
    return media.width, media.height


@pytest.mark.parametrize("card", Gemini.MODELS, ids=lambda card: card.id)
async def test_every_model_draws_in_the_sandbox(card: ModelCard, sandbox: Connect, ask: Make) -> None:
    done = await Gemini().start(ask(card), sandbox(Gemini.sandbox_path))
    assert pixels(done) == (1024, 1024)
    assert (done.usage is not None) == isinstance(card.price, PerToken)


@pytest.mark.parametrize("card", Gemini.MODELS, ids=lambda card: card.id)
async def test_every_size_is_drawn_in_the_sandbox(card: ModelCard, sandbox: Connect, ask: Make) -> None:
    channel = sandbox(Gemini.sandbox_path)
    for word in allowed(card.sizes):
        size = fit(parse(word), card.sizes)
        width, height = pixels(await Gemini().start(ask(card, size=size), channel))
        if size.aspect:
            wide, high = map(int, size.aspect.split(":"))
            assert width / height == pytest.approx(wide / high, rel=0.08)
        if size.tier:
            assert width == height == {"512": 512, "1K": 1024, "2K": 2048, "4K": 4096}[size.tier]


@pytest.mark.parametrize("tier", ["512", "1K", "2K", "4K"])
async def test_tokens_of_the_sandbox_cost_what_the_card_says(tier: str, sandbox: Connect, ask: Make) -> None:
    done = await Gemini().start(ask(FLASH, size=Size(tier=tier)), sandbox(Gemini.sandbox_path))
    assert isinstance(FLASH.price, PerToken) and done.usage is not None
    assert done.usage.image_out == FLASH.price.output.tokens(Size(tier=tier), "")


async def test_every_option_passes_in_the_sandbox(sandbox: Connect, ask: Make) -> None:
    options = {
        "seed": 7,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 20,
        "response_modalities": ["IMAGE", "TEXT"],
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        "tools": [{"googleSearch": {}}],
        "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "high"},
    }
    assert options.keys() == FLASH.params.keys()
    done = await Gemini().start(ask(FLASH, params=options), sandbox(Gemini.sandbox_path))
    assert len(done.pictures) == 1
    assert done.texts == ("Here is a picture of a fox.",)
    assert pixels(done) == (1024, 1024)  # the draft has 512


async def test_a_seed_makes_the_picture(sandbox: Connect, ask: Make) -> None:
    channel = sandbox(Gemini.sandbox_path)
    first, again, other = [
        content((await Gemini().start(ask(OLD, params={"seed": seed}), channel)).pictures[0].spool)
        for seed in (1, 1, 2)
    ]
    assert first == again != other


async def test_an_edit_in_the_sandbox(sandbox: Connect, ask: Make, picture: Callable[..., AskPicture]) -> None:
    said = ask(OLD, images=(picture(160, 90), picture()), operation="edit")
    done = await Gemini().start(said, sandbox(Gemini.sandbox_path))
    assert pixels(done) == (1344, 768)
    assert done.usage is not None and done.usage.image_in


async def test_a_conversation_in_the_sandbox(sandbox: Connect, ask: Make, picture: Callable[..., AskPicture]) -> None:
    turns = (Turn("user", ("a fox",)), Turn("model", (0,)), Turn("user", ("make it blue",)))
    said = ask(FLASH, prompt="a fox\nmake it blue", images=(picture(90, 160),), turns=turns)
    assert pixels(await Gemini().start(said, sandbox(Gemini.sandbox_path))) == (768, 1376)


async def test_imagen_draws_as_many_as_asked(sandbox: Connect, ask: Make) -> None:
    done = await Gemini().start(ask(IMAGEN, n=4, output_format="jpeg"), sandbox(Gemini.sandbox_path))
    assert len({content(raw.spool) for raw in done.pictures}) == 4


@pytest.mark.parametrize(
    ("card", "prompt", "kind", "facts"),
    [
        (FLASH, "[refuse]", Refused, {"reason": "PROHIBITED_CONTENT", "possibly_billed": False}),
        (FLASH, "[refuse late]", Refused, {"reason": "IMAGE_SAFETY", "possibly_billed": True}),
        (OLD, "[refuse late]", Refused, {"reason": "IMAGE_SAFETY", "possibly_billed": False}),
        (IMAGEN, "[refuse]", Refused, {"reason": "raiFilteredReason"}),
        (FLASH, "[fault:failed]", Malformed, {"upstream_code": "IMAGE_OTHER"}),
        (FLASH, "[fault:empty]", Malformed, {"upstream_code": "NO_IMAGE"}),
        (IMAGEN, "[fault:empty]", Malformed, {}),
        (IMAGEN, "[fault:failed]", Failed, {"safe_elsewhere": True}),
        (FLASH, "[fault:401]", Rejected, {"config": True, "upstream_code": "ACCESS_TOKEN_TYPE_UNSUPPORTED"}),
        (FLASH, "[fault:402]", Rejected, {"config": True, "upstream_code": "BILLING_DISABLED"}),
        (FLASH, "[fault:429]", Throttled, {"retry_after_s": 2}),
        (FLASH, "[fault:500]", Failed, {"safe_elsewhere": True}),
        (FLASH, "[fault:502page]", Lost, {}),
        (FLASH, "[fault:garbage]", Malformed, {}),
        (FLASH, "[fault:reset]", Lost, {}),
        (FLASH, "[fault:stall]", Lost, {}),
    ],
)
async def test_trouble_in_the_sandbox(
    card: ModelCard,
    prompt: str,
    kind: type[PicturaError],
    facts: dict[str, object],
    sandbox: Connect,
    ask: Make,
    open_spools: OpenSpools,
) -> None:
    channel = sandbox(Gemini.sandbox_path)
    channel.timeouts = Timeouts(read_s=1 if "stall" in prompt else 30)
    found = await fault(ask(card, prompt=f"a fox {prompt}"), channel)
    assert type(found) is kind
    assert {name: getattr(found, name) for name in facts} == facts
    assert not open_spools()


async def test_slow_and_broken_pictures_in_the_sandbox(sandbox: Connect, ask: Make) -> None:
    prompt = "a fox [fault:slow 0.1] [fault:truncated]"
    done = await Gemini().start(ask(OLD, prompt=prompt), sandbox(Gemini.sandbox_path))
    spool = done.pictures[0].spool
    assert spool is not None
    assert flaw(spool.read, spool.size, sniff(spool.read, spool.size))


async def test_a_wrong_key_in_the_sandbox(sandbox: Connect, ask: Make) -> None:
    channel = sandbox(Gemini.sandbox_path)
    channel.secrets = {"api_key": "sk-test-wrong"}
    found = await fault(ask(OLD), channel)
    assert isinstance(found, Rejected)
    assert (found.config, found.upstream_code) == (True, "API_KEY_INVALID")
    channel.secrets = {}
    found = await fault(ask(OLD), channel)
    assert isinstance(found, Rejected) and found.config
