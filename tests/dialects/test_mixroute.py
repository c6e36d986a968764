from __future__ import annotations

import pytest

from pictura.core import errors
from pictura.core.errors import BadRequest, Unsupported
from pictura.core.job import JobState
from pictura.core.request import ImageRequest, mark
from pictura.core.result import Delivered
from pictura.core.size import Size
from pictura.core.views import JobView
from pictura.dialects.mixroute import MixRoute
from pictura.dialects.union import IDLE
from tests.dialects.speaking import (
    BASE64,
    CALL,
    CHINESE,
    CREATED_MS,
    CREATED_S,
    HERE,
    as_sent,
    complaint,
    decode,
    refs,
    result,
    upload,
)

DIALECT = MixRoute()
PLAIN = MixRoute({"envelope": "plain"})
EMPTY = {"url": "", "b64_json": "", "revised_prompt": ""}
SEEDREAM = "doubao-seedream-4-0-250828"
GROUP = "sequential_image_generation_options"


# -- four vendors' bodies --


def test_gemini_by_prompt() -> None:
    request = decode(
        DIALECT,
        {
            "model": "gemini-2.5-flash-image",
            "prompt": "一隻可愛的橙色小貓坐在花園裡",
            "size": "16:9",
            "quality": "high",
            "n": 1,
            "temperature": 1.1,
            "top_p": 0.95,
            "response_format": "b64_json",
            "image_size": "2K",
            "mime_type": "image/png",
            "response_modalities": "image",
        },
    )
    assert request.size == Size(aspect="16:9", tier="2K")
    assert (request.output_format, request.delivery) == ("png", "b64_json")
    assert request.params == {"quality": "high", "temperature": 1.1, "top_p": 0.95}
    assert not request.extra


def test_gemini_by_contents() -> None:
    parts = [{"text": "根據這張圖生成一張俯瞰廣州塔的圖片"}, {"image": mark(0)}]
    fields = {"model": "gemini-2.5-flash-image", "image_size": "3K", "contents": [{"role": "user", "parts": parts}]}
    request = decode(DIALECT, fields, upload())
    assert (request.prompt, refs(request)) == ("根據這張圖生成一張俯瞰廣州塔的圖片", ["upload:0"])
    assert (request.size, request.size_fields) == (Size(tier="3K"), {"tier": "image_size"})


@pytest.mark.parametrize(
    ("prompt", "told"),
    [("in oil", ()), (" in oil ", ()), ("in water colours", ("prompt→the conversation's text",))],
)
def test_contents_win_over_a_prompt_beside_them(prompt: str, told: tuple[str, ...]) -> None:
    contents = [{"role": "user", "parts": [{"image": mark(0)}, {"text": "in oil"}]}]
    request = decode(DIALECT, {"model": SEEDREAM, "prompt": prompt, "contents": contents}, upload())
    assert (request.prompt, request.adjusted) == ("in oil", told)


def test_seedream() -> None:
    fields = {"model": SEEDREAM, "prompt": "p", "size": "2304x1728", "watermark": False, "seed": 12345}
    options = {"guidance_scale": 2.5, "optimize_prompt_options": {"mode": "standard"}}
    request = decode(DIALECT, {**fields, **options, "n": 3})
    assert (request.size, request.n) == (Size(width=2304, height=1728), 3)
    assert request.params == {"watermark": False, "seed": 12345, **options}


def test_gpt_with_a_picture() -> None:
    fields = {"model": "gpt-image-1", "prompt": "p", "quality": "high", "input_fidelity": "medium", "image": mark(0)}
    request = decode(DIALECT, fields, upload())
    assert (request.operation, refs(request)) == ("edit", ["upload:0"])
    assert request.params == {"quality": "high", "input_fidelity": "medium"}
    assert request.words == {"input_fidelity": {"medium": "low"}}


def test_qwen() -> None:
    messages = [{"role": "user", "content": [{"image": mark(0)}, {"text": "一副典雅莊重的對聯懸掛於廳堂之中"}]}]
    parameters = {"negative_prompt": "1", "prompt_extend": True, "seed": "4", "watermark": True, "size": "1328*1328"}
    fields = {"model": "qwen-image-plus", "input": {"messages": messages}, "parameters": {**parameters, "n": 2}}
    request = decode(DIALECT, fields, upload())
    assert (request.prompt, refs(request)) == ("一副典雅莊重的對聯懸掛於廳堂之中", ["upload:0"])
    assert (request.size, request.n) == (Size(width=1328, height=1328), 2)
    assert request.params == {"negative_prompt": "1", "prompt_extend": True, "seed": 4, "watermark": True}


def test_an_edit_without_a_picture_draws_from_its_text() -> None:
    assert decode(DIALECT, {"model": SEEDREAM, "prompt": "p"}, edit=True).operation == "generate"


def test_no_model() -> None:
    assert "e.g. gemini-2.5-flash-image" in complaint(DIALECT, {"prompt": "p"}).message


# -- habits by family --


@pytest.mark.parametrize(
    ("model", "delivery"),
    [
        ("gpt-image-1", "b64_json"),
        ("openai/GPT-image-1-mini", "b64_json"),
        ("gemini-3-pro-image-preview", "b64_json"),
        ("nano-banana-2", "b64_json"),
        (SEEDREAM, "url"),
        ("seedream-4.0-base", "url"),
        ("qwen-image-plus", "url"),
    ],
)
def test_usual_deliveries(model: str, delivery: str) -> None:
    assert decode(DIALECT, {"model": model, "prompt": "p"}).delivery == delivery
    other = "url" if delivery == "b64_json" else "b64_json"
    assert decode(DIALECT, {"model": model, "prompt": "p", "response_format": other}).delivery == other


def test_gpt_has_a_usual_size_and_takes_gifs() -> None:
    gpt = decode(DIALECT, {"model": "gpt-image-1", "prompt": "p"})
    assert (gpt.size, gpt.takes) == (Size(width=1024, height=1024), ("gif",))
    assert decode(DIALECT, {"model": "gpt-image-1", "size": "1024x1536"}).size == Size(width=1024, height=1536)
    other = decode(DIALECT, {"model": SEEDREAM, "prompt": "p"})
    assert (other.size, other.takes) == (Size(), ())


def test_what_is_adjusted() -> None:
    assert decode(DIALECT, {"model": "m"}).adjustable == IDLE | {"size", "quality", "input_fidelity"}


@pytest.mark.parametrize("n", [0, 11])
def test_one_to_ten_pictures(n: int) -> None:
    assert "an integer from 1 to 10" in complaint(DIALECT, {"model": "gpt-image-1", "n": n}).message


# -- groups --


@pytest.mark.parametrize(
    ("options", "most"),
    [({}, 4), ({GROUP: {}}, 4), ({GROUP: {"max_images": 1}}, 1), ({GROUP: {"max_images": "3"}}, 3)],
)
def test_a_group_has_one_to_four_pictures(options: dict[str, object], most: int) -> None:
    request = decode(DIALECT, {"model": SEEDREAM, "prompt": "p", "sequential_image_generation": "auto", **options})
    assert request.params == {"sequential_image_generation": "auto", GROUP: {"max_images": most}}
    assert request.n == 1


@pytest.mark.parametrize("most", [0, 5, -1, 1.5, True, None, "many", [3]])
def test_a_group_of_another_size(most: object) -> None:
    group = {"sequential_image_generation": "auto", GROUP: {"max_images": most}}
    error = complaint(DIALECT, {"model": SEEDREAM, "prompt": "p", **group})
    assert error.param == f"{GROUP}.max_images"
    assert error.message.startswith(f"{GROUP}.max_images must be an integer from 1 to 4, not ")


def test_options_of_a_group_that_are_none() -> None:
    group = {"sequential_image_generation": "auto", GROUP: [4]}
    assert complaint(DIALECT, {"model": SEEDREAM, **group}).message == f"{GROUP} must be an object, not a list"


def test_no_group() -> None:
    fields = {"model": SEEDREAM, "prompt": "p", "sequential_image_generation": "disabled"}
    assert decode(DIALECT, fields).params == {"sequential_image_generation": "disabled"}
    assert decode(DIALECT, {"model": SEEDREAM, "prompt": "p"}).params == {}


# -- two envelopes --

REQUEST = ImageRequest(model="gpt-image-1", delivery="b64_json")
DRAWN = {"created": CREATED_S, "data": [{**EMPTY, "b64_json": BASE64}]}


def test_the_wrapped_answer() -> None:
    reply = DIALECT.picture(CALL, REQUEST, result(Delivered(key="a"), adjusted=("image_size=3K→2K",)), HERE)
    assert as_sent(reply.body) == {"code": 200, "msg": "操作成功", "data": DRAWN}
    assert reply.headers["x-pictura-adjusted"].encode("latin-1").decode() == "image_size=3K→2K"
    assert reply.headers["x-oneapi-request-id"] == "req_1"


def test_the_plain_answer() -> None:
    assert as_sent(PLAIN.picture(CALL, REQUEST, result(Delivered(key="a")), HERE).body) == DRAWN
    revised = result(Delivered(key="a", revised_prompt="a cat"))
    assert PLAIN.picture(CALL, ImageRequest(model="m"), revised, HERE).body == {
        "created": CREATED_S,
        "data": [{"url": "https://img.example/a", "b64_json": "", "revised_prompt": "a cat"}],
    }


def test_errors_in_either_envelope() -> None:
    error = Unsupported("size 1x1 is too small", param="size")
    message = "size 1x1 is too small (request id: req_1)"
    inner = {"error": {"message": message, "type": "new_api_error", "param": "size", "code": "invalid_request"}}
    wrapped, plain = DIALECT.error(CALL, error), PLAIN.error(CALL, error)
    assert (wrapped.status, wrapped.body) == (400, {"code": 400, "msg": message, "data": None, **inner})
    assert (plain.status, plain.body) == (400, inner)
    assert wrapped.headers == plain.headers == {"x-oneapi-request-id": "req_1"}


def test_an_error_in_chinese() -> None:
    body = DIALECT.error(CHINESE, errors.InsufficientBalance("no", needed=40_000)).body
    assert isinstance(body, dict)
    assert body["msg"] == body["error"]["message"] == "用户额度不足：剩余 $0.00，需要 $0.04 (request id: req_1)"


def test_a_task_ends_in_the_same_envelope() -> None:
    view = JobView("job_1", "studio", JobState.SUCCEEDED, REQUEST, CREATED_MS, result=result(Delivered(key="a")))
    told = {"id": "job_1", "task_id": "job_1", "object": "image.task", "status": "completed"}
    assert as_sent(DIALECT.task(CALL, view, HERE).body) == {**told, "code": 200, "msg": "操作成功", "data": DRAWN}
    assert as_sent(PLAIN.task(CALL, view, HERE).body) == {**told, **DRAWN}


@pytest.mark.parametrize("settings", [{"envelope": "bare"}, {"envelop": "plain"}, {"envelope": 1}])
def test_settings_that_nobody_understands(settings: dict[str, object]) -> None:
    with pytest.raises(BadRequest, match=r"^\[dialects\.mixroute\]: "):
        MixRoute(settings)
