"""Bodies as the routers' own pages print them, every spelling of a picture, and whatever else JSON can say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pictura.core.errors import BadRequest, CallerError, Unsupported
from pictura.core.request import Body, ImageRequest, Turn, Upload, mark
from pictura.core.size import Size
from pictura.core.views import Call
from pictura.dialects.base import Habits, Limits
from pictura.dialects.union import OPTIONS, QUALITY_WORDS, decode_union

CALL = Call(request_id="req_1")
HABITS = Habits()


class Memory:
    """A picture's bytes, as far as decoding looks at them."""

    def __init__(self, content: bytes = b"picture") -> None:
        self._content = content

    @property
    def size(self) -> int:
        return len(self._content)

    def read(self, offset: int = 0, size: int = -1) -> bytes:
        return self._content[offset:] if size < 0 else self._content[offset : offset + size]

    def chunks(self, size: int = 65536) -> Iterator[bytes]:
        yield self._content


def upload(name: str = "", flaw: str = "", filename: str = "fox.png", content: bytes = b"picture") -> Upload:
    return Upload(name, Memory(content), "image/png", filename, flaw)


def decode(
    fields: Mapping[str, object], *uploads: Upload, habits: Habits = HABITS, form: bool = False, edit: bool = False
) -> ImageRequest:
    body = Body({"model": "gpt-image-2", **fields}, list(uploads), form)
    return decode_union(CALL, body, habits, edit=edit)


def refs(request: ImageRequest) -> list[str]:
    return [picture.ref for picture in request.images]


def complaint(fields: Mapping[str, object], *uploads: Upload, form: bool = False, edit: bool = False) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        decode(fields, *uploads, form=form, edit=edit)
    return caught.value


# -- bodies from the routers' pages --


def test_omnirouters_body() -> None:
    request = decode(
        {
            "model": "Nano-Banana2",
            "resolution": "4K",
            "prompt": "a girl smiles by the sea",
            "images": ["https://example.com/image1.png", "https://example.com/image2.png"],
            "aspect_ratio": "16:9",
            "input_region": "Mainland",
            "n": 3,
        }
    )
    assert request.model == "Nano-Banana2"
    assert request.operation == "edit"
    assert refs(request) == ["https://example.com/image1.png", "https://example.com/image2.png"]
    assert request.size == Size(aspect="16:9", tier="4K")
    assert request.params == {"input_region": "Mainland"}
    assert request.n == 3
    assert not request.extra


@pytest.mark.parametrize("model", ["Kling:3.0-omni", "Seedream:4.5", "Hunyuan-3d-2.0", "vendor/name:free"])
def test_model_ids_keep_colons_and_capitals(model: str) -> None:
    assert decode({"model": model, "prompt": "a cat"}).model == model


def test_quickrouter_body() -> None:
    fields = {
        "prompt": "a sunset",
        "model": "flux-1",
        "n": 1,
        "aspect_ratio": "21:9",
        "quality": "hd",
        "style": "vivid",
    }
    request = decode(fields, habits=Habits(words={"quality": QUALITY_WORDS}))
    assert request.size == Size(aspect="21:9")
    assert request.params == {"quality": "hd", "style": "vivid"}
    assert request.words == {"quality": {"hd": "high"}}


def test_mixroute_gemini_body() -> None:
    request = decode(
        {
            "model": "gemini-2.5-flash-image",
            "size": "16:9",
            "quality": "high",
            "temperature": 1.1,
            "top_p": 0.95,
            "response_format": "b64_json",
            "image_size": "2K",
            "mime_type": "image/png",
            "response_modalities": "image",
            "contents": [{"role": "user", "parts": [{"text": "the same from above"}, {"image": mark(0)}]}],
        },
        upload(),
    )
    assert request.prompt == "the same from above"
    assert refs(request) == ["upload:0"]
    assert request.size == Size(aspect="16:9", tier="2K")
    assert request.output_format == "png"
    assert request.delivery == "b64_json"
    assert request.params == {"quality": "high", "temperature": 1.1, "top_p": 0.95}
    assert not request.extra


def test_mixroute_seedream_body_that_says_its_prompt_twice() -> None:
    request = decode(
        {
            "model": "doubao-seedream-4-0-250828",
            "prompt": "turn it into an oil painting",
            "size": "2048x2048",
            "watermark": False,
            "seed": 12345,
            "optimize_prompt_options": {"mode": "standard"},
            "sequential_image_generation": "auto",
            "contents": [{"role": "user", "parts": [{"image": mark(0)}, {"text": "turn it into an oil painting"}]}],
        },
        upload(),
    )
    assert request.prompt == "turn it into an oil painting"
    assert request.size == Size(width=2048, height=2048)
    assert request.params == {
        "watermark": False,
        "seed": 12345,
        "optimize_prompt_options": {"mode": "standard"},
        "sequential_image_generation": "auto",
    }


def test_a_conversation_wins_over_a_prompt_beside_it() -> None:
    request = decode({"prompt": "as a watercolour", "contents": [{"parts": [{"text": "a cat"}, {"text": "on a mat"}]}]})
    assert request.prompt == "a cat\non a mat"
    assert request.adjusted == ("prompt→the conversation's text",)


def test_a_conversation_of_pictures_alone_leaves_the_prompt() -> None:
    request = decode({"prompt": "a cat", "contents": [{"parts": [{"image": "https://a.example/1.png"}]}]})
    assert (request.prompt, request.adjusted, request.turns) == ("a cat", (), ())


def test_turns_keep_their_order_and_the_model_says_no_prompt() -> None:
    shown = [{"image": f"https://a.example/{number}.png"} for number in range(3)]
    request = decode(
        {
            "contents": [
                {"role": "user", "parts": [{"text": "the coat of"}, shown[0], {"text": "on"}, shown[1]]},
                {"role": "model", "parts": [{"text": "here it is"}, shown[2]]},
                {"role": "user", "parts": [{"text": "now in blue"}]},
            ]
        }
    )
    assert request.prompt == "the coat of\non\nnow in blue"
    assert [image.ref[-5] for image in request.images] == ["0", "1", "2"]
    assert request.turns == (
        Turn("user", ("the coat of", 0, "on", 1)),
        Turn("model", ("here it is", 2)),
        Turn("user", ("now in blue",)),
    )


def test_what_the_system_says_comes_first() -> None:
    messages = [
        {"role": "user", "content": "a cat"},
        {"role": "assistant", "content": "which?"},
        {"role": "system", "content": [{"text": "in blue"}]},
        {"role": "user", "content": "a red one"},
    ]
    request = decode({"messages": messages})
    assert request.prompt == "in blue\na cat\na red one"
    assert [turn.role for turn in request.turns] == ["user", "user", "model", "user"]
    assert request.turns[0].parts == ("in blue",)


@pytest.mark.parametrize("role", ["tool", "User", 7, ["user"]])
def test_roles_that_there_are_not(role: object) -> None:
    wrong = complaint({"messages": [{"role": role, "content": "a cat"}]})
    assert wrong.param == "messages[0].role"
    assert "assistant" in wrong.message


def test_mixroute_qwen_body() -> None:
    request = decode(
        {
            "model": "qwen-image-plus",
            "input": {
                "messages": [{"role": "user", "content": [{"image": "https://a.example/1.png"}, {"text": "对联"}]}]
            },
            "parameters": {
                "negative_prompt": "1",
                "prompt_extend": True,
                "seed": "4",
                "watermark": True,
                "size": "1328*1328",
                "n": 2,
            },
        }
    )
    assert request.prompt == "对联"
    assert refs(request) == ["https://a.example/1.png"]
    assert request.size == Size(width=1328, height=1328)
    assert request.n == 2
    assert request.params == {"negative_prompt": "1", "prompt_extend": True, "seed": 4, "watermark": True}


def test_gemini_body() -> None:
    request = decode(
        {
            "contents": [{"parts": [{"text": "a cat"}, {"inlineData": {"mimeType": "image/png", "data": mark(0)}}]}],
            "generationConfig": {
                "candidateCount": 2,
                "seed": 7,
                "responseModalities": ["TEXT", "IMAGE"],
                "imageConfig": {"aspectRatio": "4:5", "imageSize": "2K"},
            },
            "safetySettings": [],
        },
        upload(),
    )
    assert (request.prompt, request.n, refs(request)) == ("a cat", 2, ["upload:0"])
    assert request.size == Size(aspect="4:5", tier="2K")
    assert request.params == {"seed": 7, "response_modalities": ["IMAGE", "TEXT"]}
    assert request.extra == {"safetySettings": []}


def test_openopen8_body() -> None:
    request = decode({"prompt": "a panda", "size": "1024x1024", "output_compression": 80, "watermark": "true"})
    assert request.output_compression == 80
    assert request.params == {"watermark": True}


# -- pictures --


@pytest.mark.parametrize(
    "fields",
    [
        {"image": mark(0)},
        {"image": [mark(0)]},
        {"image[]": mark(0)},
        {"image[0]": mark(0)},
        {"images": [mark(0)]},
        {"images": [{"image_url": mark(0)}]},
        {"images": [{"image_url": {"url": mark(0)}}]},
        {"images[]": mark(0)},
        {"image_url": mark(0)},
        {"image_url": {"url": mark(0)}},
        {"messages": [{"content": [{"type": "image_url", "image_url": {"url": mark(0)}}]}]},
    ],
)
def test_every_spelling_of_a_picture(fields: Mapping[str, object]) -> None:
    assert refs(decode(fields, upload())) == ["upload:0"]


@pytest.mark.parametrize(
    "fields", [{"mask": mark(0)}, {"mask[]": mark(0)}, {"mask": {"image_url": mark(0)}}, {"mask": [mark(0)]}]
)
def test_every_spelling_of_a_mask(fields: Mapping[str, object]) -> None:
    request = decode(fields, upload())
    assert request.mask is not None
    assert request.mask.ref == "upload:0"
    assert not request.images


def test_pictures_keep_the_order_of_a_list() -> None:
    request = decode({"images": ["https://a.example/a", {"image_url": mark(1)}, mark(0)]}, upload(), upload())
    assert refs(request) == ["https://a.example/a", "upload:1", "upload:0"]


def test_files_of_a_form_keep_their_order() -> None:
    uploads = [upload("image[]"), upload("mask[]"), upload("image"), upload("image[7]")]
    request = decode({"prompt": "join them"}, *uploads, form=True)
    assert refs(request) == ["upload:0", "upload:2", "upload:3"]
    assert request.mask is not None
    assert request.mask.ref == "upload:1"


def test_a_form_may_hold_files_data_urls_and_urls() -> None:
    fields = {"image": [mark(0), "https://a.example/a.png"]}
    request = decode(fields, upload("image"), upload("image"), form=True)
    assert refs(request) == ["upload:0", "upload:1", "https://a.example/a.png"]


def test_a_file_input_left_empty_is_no_picture() -> None:
    request = decode({"prompt": "a cat"}, upload("mask", filename="", content=b""), form=True)
    assert request.mask is None


def test_two_masks() -> None:
    error = complaint({}, upload("image"), upload("mask"), upload("mask[]"), form=True)
    assert error.param == "mask"
    assert "one is taken" in error.message


def test_a_picture_that_cannot_be_read() -> None:
    error = complaint({"images": [{"image_url": mark(0)}]}, upload(flaw="invalid base64 at byte 12"))
    assert error.param == "images[0].image_url"
    assert "invalid base64 at byte 12" in error.message


def test_a_file_that_cannot_be_read() -> None:
    assert complaint({}, upload("image[]", flaw="cut short"), form=True).param == "image[]"


def test_file_ids() -> None:
    error = complaint({"images": [{"file_id": "file-abc"}]})
    assert isinstance(error, Unsupported)
    assert error.param == "images[0].file_id"
    assert "files are not kept here; send image_url" in error.message


@pytest.mark.parametrize(
    "value", ["cat.png", "ftp://a.example/a", "upload:0", "file:///etc/passwd", 3, True, {}, [None]]
)
def test_what_is_no_picture(value: object) -> None:
    assert str(complaint({"image": value}).param).startswith("image")


def test_a_mark_that_names_no_upload_is_a_text() -> None:
    assert decode({"prompt": mark(3)}).prompt == mark(3)
    assert complaint({"image": mark(3)}).param == "image"


@pytest.mark.parametrize("name", ["prompt", "quality", "user", "markup", "unheard_of"])
def test_a_picture_where_none_is_taken(name: str) -> None:
    assert complaint({name: mark(0)}, upload()).param == name


def test_a_picture_deep_in_an_unknown_field() -> None:
    assert complaint({"unheard_of": {"a": [mark(0)]}}, upload()).param == "unheard_of"


def test_a_file_under_a_name_that_nobody_knows() -> None:
    error = complaint({}, upload("attachment"), form=True)
    assert error.param == "attachment"
    assert "send it as image or mask" in error.message


def test_too_many_pictures() -> None:
    error = complaint({"images": [f"https://a.example/{number}.png" for number in range(17)]})
    assert error.message == "17 pictures were sent; at most 16 are taken"
    assert error.param == "image"


def test_an_edit_without_a_picture() -> None:
    assert complaint({"prompt": "a cat"}, edit=True).param == "image"
    assert decode({"prompt": "a cat"}, edit=True, habits=Habits(bare_edits=True)).operation == "generate"


def test_a_picture_makes_it_an_edit() -> None:
    assert decode({"image": "https://a.example/a.png"}).operation == "edit"


@pytest.mark.parametrize(
    ("contents", "param"),
    [
        ([{"parts": [{"functionCall": {}}]}], "contents[0].parts[0]"),
        (["hello"], "contents[0]"),
        ([{"parts": 3}], "contents[0].parts"),
        ([{"parts": [{"text": 3}]}], "contents[0].parts[0].text"),
        ([{}], "contents[0].parts"),
    ],
)
def test_conversations_that_nobody_understands(contents: object, param: str) -> None:
    assert complaint({"contents": contents}).param == param


# -- values --


@pytest.mark.parametrize(("sent", "n"), [(3, 3), ("3", 3), (2.0, 2), (" 4 ", 4), (None, 1), ("", 1)])
def test_n(sent: object, n: int) -> None:
    assert decode({"n": sent}).n == n


@pytest.mark.parametrize(
    "sent", [0, 11, -1, "two", 1.5, "1.5", True, [1], {}, float("nan"), float("inf"), 10**400, "9" * 400, "٣", "²"]
)
def test_n_that_is_none(sent: object) -> None:
    assert complaint({"n": sent}).param == "n"


def test_n_is_named_as_it_was_written() -> None:
    assert complaint({"parameters": {"n": "two"}}).param == "parameters.n"
    assert complaint({"n": "two"}).message == "n must be an integer from 1 to 10, not 'two'"
    assert complaint({"n": 0}).message == "n must be an integer from 1 to 10, not 0"


def test_a_dialect_may_take_fewer() -> None:
    with pytest.raises(BadRequest, match="from 1 to 4"):
        decode({"n": 5}, habits=Habits(limits=Limits(n=4)))


def test_texts_of_a_form_become_values() -> None:
    fields = {"n": "2", "stream": "True", "partial_images": "3", "seed": "-5", "watermark": "false", "strength": "0.5"}
    request = decode(fields, form=True)
    assert (request.n, request.stream, request.partial_images) == (2, True, 3)
    assert request.params == {"seed": -5, "watermark": False, "strength": 0.5}


def test_branches_of_a_form() -> None:
    fields = {"svg[model]": "gpt-5", "svg[reasoning][effort]": "low"}
    assert decode(fields, form=True).params == {"svg": {"model": "gpt-5", "reasoning": {"effort": "low"}}}
    assert complaint({"svg": "x", "svg[model]": "gpt-5"}, form=True).param == "svg[model]"


def test_a_form_field_sent_twice() -> None:
    assert complaint({"quality": ["low", "high"]}, form=True).message == "quality must be text, not a list"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stream", "yes"),
        ("stream", 1),
        ("partial_images", 4),
        ("output_compression", 101),
        ("output_compression", -1),
        ("output_format", "docx"),
        ("output_format", 3),
        ("response_format", "base64"),
        ("response_format", {"type": "json_object"}),
        ("quality", 3),
        ("seed", "four"),
        ("seed", 1.5),
        ("seed", 2**63),
        ("strength", "0,5"),
        ("guidance_scale", True),
        ("guidance_scale", float("nan")),
        ("response_modalities", "text"),
        ("response_modalities", [3]),
        ("size", "large"),
        ("size", 1024),
        ("resolution", "sharp"),
        ("prompt", 3),
        ("prompt", ["a", "b"]),
        ("prompt", "\ud800"),
        ("prompt", "a\x00b"),
        ("user", {}),
        ("model", "gpt image"),
        ("model", "gpt\nimage"),
        ("model", "x" * 201),
        ("model", 7),
        ("input", "a cat"),
        ("parameters", [1]),
    ],
)
def test_values_that_nobody_understands(name: str, value: object) -> None:
    assert complaint({name: value}).param == name


def test_a_name_that_is_no_text() -> None:
    assert complaint({"\udfff": 1}).param == "the body"
    assert complaint({"a": {"\x00": 1}}).param == "a"


def test_nesting_without_end() -> None:
    deep: object = 1
    for _ in range(5_000):
        deep = [deep]
    assert "nested" in complaint({"unheard_of": deep}).message


@pytest.mark.parametrize(("asked", "given"), [("jpg", "jpeg"), ("image/jpeg", "jpeg"), ("PNG", "png"), ("gif", "gif")])
def test_formats_have_one_name(asked: str, given: str) -> None:
    assert decode({"output_format": asked}).output_format == given


def test_two_spellings_that_agree_and_two_that_do_not() -> None:
    assert decode({"output_format": "jpg", "mime_type": "image/jpeg"}).output_format == "jpeg"
    error = complaint({"seed": 1, "parameters": {"seed": "2"}})
    assert error.message == "seed and parameters.seed say different things; send one of them"


def test_user() -> None:
    def said(fields: dict[str, object]) -> tuple[str, str]:
        request = decode(fields)
        return request.user, request.user_field

    assert said({"user": "u", "safety_identifier": "s"}) == ("s", "safety_identifier")
    assert said({"user": "u", "safety_identifier": ""}) == ("u", "user")
    assert said({"user_id": "u"}) == ("u", "user_id")
    assert said({}) == ("", "")


@pytest.mark.parametrize(
    ("said", "format", "named"),
    [({}, "webp", False), ({"output_format": "auto"}, "webp", False), ({"output_format": "image/WebP"}, "webp", True)],
)
def test_a_format_that_is_named(said: Mapping[str, object], format: str, named: bool) -> None:
    request = decode(said, habits=Habits(output_format="webp"))
    assert (request.output_format, request.format_named) == (format, named)


def test_a_delivery_that_is_named() -> None:
    request = decode({"response_format": "b64_ephemeral"})
    assert (request.delivery, request.delivery_named) == ("b64_ephemeral", True)
    assert not decode({}).delivery_named


def test_delivery_by_model() -> None:
    habits = Habits(delivery="b64_json", deliveries={"dall-e-": "url"})
    assert decode({"model": "openai/DALL-E-3"}, habits=habits).delivery == "url"
    assert decode({"model": "gpt-image-2"}, habits=habits).delivery == "b64_json"
    assert decode({"model": "dall-e-3", "response_format": "b64_json"}, habits=habits).delivery == "b64_json"


def test_a_dialects_own_format_counts_as_asked() -> None:
    assert decode({}, habits=Habits(output_format="webp")).output_format == "webp"
    assert decode({"output_format": "png"}, habits=Habits(output_format="webp")).output_format == "png"


def test_words_of_the_router_are_carried_only_where_said() -> None:
    habits = Habits(words={"quality": QUALITY_WORDS})
    assert decode({"quality": "high"}, habits=habits).words == {}
    assert decode({"quality": "standard"}, habits=habits).words == {"quality": {"standard": "medium"}}


def test_a_body_without_a_model() -> None:
    body = Body({"created": 1589478378, "data": [{"url": "https://..."}]})
    with pytest.raises(BadRequest, match="model is required") as caught:
        decode_union(CALL, body, HABITS, edit=False)
    assert caught.value.param == "model"
    assert decode_union(CALL, body, Habits(model="flux-1"), edit=False).model == "flux-1"


def test_the_model_may_stand_in_the_path() -> None:
    call = Call(request_id="req_1", place={"model": "gemini-2.5-flash-image"})
    assert decode_union(call, Body({}), HABITS, edit=False).model == "gemini-2.5-flash-image"


def test_fields_that_no_dialect_knows() -> None:
    fields = {"frobnicate": {"a": [1, None]}, "parameters": {"loras": "x"}, "nothing": None}
    assert decode(fields).extra == {"frobnicate": {"a": [1, None]}, "loras": "x"}


# -- sizes --


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({}, Size()),
        ({"size": "auto"}, Size()),
        ({"size": "1024×768"}, Size(width=1024, height=768)),
        ({"size": "2K"}, Size(tier="2K")),
        ({"size": "16:9", "image_size": "2K"}, Size(aspect="16:9", tier="2K")),
        ({"resolution": "1024x1024"}, Size(width=1024, height=1024)),
        ({"size": "1344x768", "aspect_ratio": "16:9"}, Size(width=1344, height=768)),
        ({"size": "3840x2160", "resolution": "4K", "aspect_ratio": "16:9"}, Size(width=3840, height=2160)),
        ({"size": "auto", "aspect_ratio": "1:1"}, Size(aspect="1:1")),
    ],
)
def test_sizes(fields: Mapping[str, object], size: Size) -> None:
    assert decode(fields).size == size


@pytest.mark.parametrize(
    "fields",
    [
        {"size": "1024x1024", "aspect_ratio": "16:9"},
        {"size": "1024x1024", "resolution": "4K"},
        {"size": "1024x1024", "resolution": "1024x1536"},
        {"size": "16:9", "aspect_ratio": "4:3"},
        {"resolution": "2K", "image_size": "4K"},
    ],
)
def test_sizes_that_contradict_each_other(fields: Mapping[str, object]) -> None:
    assert "contradict each other; send one of them" in complaint(fields).message


# -- anything at all --

PLACES = "model prompt n size image images image[] mask image_url contents messages input parameters parts content text"
MORE_PLACES = "url file_id aspect_ratio resolution image_size response_format output_format stream user svg[a]"
NAMES = st.sampled_from([*PLACES.split(), *MORE_PLACES.split(), *OPTIONS])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.sampled_from([mark(0), mark(1), "https://a.example/a", "3", "1024x1024", "16:9", "url", "\ud800", 10**400])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(NAMES | st.text(max_size=3), VALUES, max_size=6), st.booleans(), st.booleans())
def test_whatever_comes_is_decoded_or_the_callers_error(fields: dict[str, object], form: bool, edit: bool) -> None:
    body = Body({"model": "gpt-image-2", **fields}, [upload("image"), upload("mask", flaw="cut short")], form)
    try:
        request = decode_union(CALL, body, HABITS, edit=edit)
    except CallerError as error:
        error.message.encode()
        str(error.param).encode()
    else:
        assert msgspec.json.decode(msgspec.json.encode(request), type=ImageRequest).model == request.model
