from __future__ import annotations

import pytest

from pictura.core import errors
from pictura.core.job import JobState
from pictura.core.request import ImageRequest
from pictura.core.result import Delivered
from pictura.core.size import Size
from pictura.core.views import JobView
from pictura.dialects.omnirouters import OmniRouters
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
)

DIALECT = OmniRouters()
REQUEST = ImageRequest(model="Nano-Banana2", prompt="a fox")
EMPTY = {"url": "", "b64_json": "", "revised_prompt": ""}


def test_the_page_s_fullest_example() -> None:
    request = decode(
        DIALECT,
        {
            "model": "Nano-Banana2",
            "resolution": "4K",
            "prompt": "将图1的服装换为图2的服装,整体自然协调,时尚杂志风格",
            "images": ["https://example.com/image1.png", "https://example.com/image2.png"],
            "aspect_ratio": "16:9",
            "input_region": "Mainland",
        },
    )
    assert (request.model, request.size) == ("Nano-Banana2", Size(aspect="16:9", tier="4K"))
    assert refs(request) == ["https://example.com/image1.png", "https://example.com/image2.png"]
    assert (request.params, request.delivery) == ({"input_region": "Mainland"}, "url")
    assert (request.size_fields, request.extra) == ({"aspect": "aspect_ratio", "tier": "resolution"}, {})


@pytest.mark.parametrize("tier", ["1K", "2K", "4K", "720P", "1080P", "4k", "1080p"])
def test_tiers(tier: str) -> None:
    assert decode(DIALECT, {"model": "m", "resolution": tier}).size == Size(tier=tier.upper())


def test_a_region_that_there_is_not() -> None:
    error = complaint(DIALECT, {"model": "m", "input_region": "Moon"})
    assert (error.param, error.allowed) == ("input_region", ("Mainland", "Oversea", "OverseaUSWest"))
    assert "Mainland, Oversea, OverseaUSWest" in error.message


def test_a_reference_must_be_a_url() -> None:
    assert complaint(DIALECT, {"model": "m", "images": ["image1.png"]}).param == "images[0]"


def test_no_model() -> None:
    assert "e.g. Nano-Banana2" in complaint(DIALECT, {"prompt": "a fox"}).message


def test_all_three_fields_are_always_there() -> None:
    pictures = (Delivered(key="a"), Delivered(key="b", revised_prompt="a red fox"))
    reply = DIALECT.picture(CALL, REQUEST, result(*pictures), HERE)
    assert reply.body == {
        "created": CREATED_S,
        "data": [
            {**EMPTY, "url": "https://img.example/a"},
            {**EMPTY, "url": "https://img.example/b", "revised_prompt": "a red fox"},
        ],
    }
    inline = DIALECT.picture(CALL, ImageRequest(model="m", delivery="b64_json"), result(pictures[0]), HERE)
    assert as_sent(inline.body) == {"created": CREATED_S, "data": [{**EMPTY, "b64_json": BASE64}]}


# -- tasks --


def task(state: JobState, **more: object) -> JobView:
    return JobView("job_1", "studio", state, REQUEST, CREATED_MS, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (JobState.QUEUED, "queued"),
        (JobState.SUBMITTING, "in_progress"),
        (JobState.WAITING, "in_progress"),
        (JobState.DELIVERING, "in_progress"),
    ],
)
def test_a_task_under_way(state: JobState, status: str) -> None:
    reply = DIALECT.task(CALL, task(state), HERE)
    told = {"id": "job_1", "task_id": "job_1", "object": "image.task", "status": status, "created": CREATED_S}
    assert (reply.status, reply.body) == (200, told)
    assert reply.headers == {"retry-after": "5"}


def test_a_task_that_is_done() -> None:
    view = task(JobState.SUCCEEDED, result=result(Delivered(key="a"), short="1 of 2 came"))
    reply = DIALECT.task(CALL, view, HERE)
    assert reply.body == {
        "id": "job_1",
        "task_id": "job_1",
        "object": "image.task",
        "status": "completed",
        "created": CREATED_S,
        "data": [{**EMPTY, "url": "https://img.example/a"}],
    }
    assert reply.headers["x-pictura-short"] == "1 of 2 came"
    assert "retry-after" not in reply.headers


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED, JobState.UNCERTAIN])
def test_a_task_that_failed(state: JobState) -> None:
    reply = DIALECT.task(CALL, task(state, error=errors.Refused("the provider refused")), HERE)
    assert (reply.status, dict(reply.headers)) == (200, {})
    assert isinstance(reply.body, dict)
    assert (reply.body["status"], reply.body["message"]) == ("failed", "the provider refused (request id: req_1)")
    assert reply.body["error"]["code"] == "content_policy_violation"


def test_a_task_that_nobody_knows_is_told_flatly() -> None:
    reply = DIALECT.error(CALL, errors.UnknownJob("there is no job job_9"))
    message = "there is no job job_9 (request id: req_1)"
    assert (reply.status, reply.body) == (404, {"code": "task_not_exist", "message": message, "data": None})
    assert reply.headers["x-oneapi-request-id"] == "req_1"
    in_chinese = DIALECT.error(CHINESE, errors.UnknownJob("there is no job job_9")).body
    assert isinstance(in_chinese, dict)
    assert in_chinese["message"].startswith("任务不存在")


def test_other_errors_are_told_as_the_family_tells_them() -> None:
    body = DIALECT.error(CALL, errors.NotFound("there is no such path")).body
    assert isinstance(body, dict)
    assert set(body) == {"error"}
