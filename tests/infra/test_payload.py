"""Streamed request bodies: their bytes, their length, and what cannot slip into them."""

import base64
import email.parser
import email.policy
import json
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from pictura.core.picture import Inline, data_url
from pictura.infra.payload import Part, Payload, bytes_payload, field, json_payload, multipart_payload
from pictura.infra.spool import CHUNK_BYTES, Spool

BIG = bytes(range(256)) * 4096  # 1 MB, in a file
SIZES = [0, 1, 2, 3, 1000, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, len(BIG)]


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path, "image/png")
    yield spool
    spool.close()


async def read(payload: Payload) -> bytes:
    body = b"".join(payload.chunks())
    assert len(body) == payload.size
    return body


async def parse(payload: Payload) -> list[EmailMessage]:
    head = f"Content-Type: {payload.content_type}\r\n\r\n".encode()
    form = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + await read(payload))
    assert not form.defects
    return [part for part in form.iter_parts() if isinstance(part, EmailMessage)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("data_url", [False, True])
async def test_a_spool_in_json_is_base64(spool: Spool, size: int, data_url: bool) -> None:
    spool.write(BIG[:size])
    payload = json_payload(
        {
            "prompt": 'ü "quoted"',
            "images": [{"image": Inline(spool, "data:image/png;base64," if data_url else "")}],
            "n": 1,
        }
    )
    document = json.loads(await read(payload))
    encoded = base64.b64encode(BIG[:size]).decode()
    image = f"data:image/png;base64,{encoded}" if data_url else encoded
    assert document == {"prompt": 'ü "quoted"', "images": [{"image": image}], "n": 1}
    assert payload.content_type == "application/json"


async def test_several_spools_keep_their_places(tmp_path: Path) -> None:
    spools = [Spool(tmp_path) for _ in range(3)]
    for number, spool in enumerate(spools):
        spool.write(b"%d" % number * 10)
    payload = json_payload({"b": Inline(spools[1]), "a": [Inline(spools[0]), Inline(spools[2]), Inline(spools[0])]})
    document = json.loads(await read(payload))
    zero, one, two = (base64.b64encode(b"%d" % number * 10).decode() for number in range(3))
    assert document == {"b": one, "a": [zero, two, zero]}
    for spool in spools:
        spool.close()


async def test_no_chunk_holds_a_whole_picture(spool: Spool) -> None:
    spool.write(BIG)
    sizes = [len(chunk) for chunk in json_payload({"image": Inline(spool)}).chunks()]
    assert max(sizes) <= CHUNK_BYTES * 4 // 3


async def test_a_payload_can_be_read_again(spool: Spool) -> None:
    spool.write(BIG)
    for payload in (json_payload({"image": Inline(spool)}), multipart_payload([Part("image", spool)])):
        assert await read(payload) == await read(payload)


async def test_plain_documents_and_bytes() -> None:
    assert await read(json_payload({"prompt": "a fox"})) == b'{"prompt":"a fox"}'
    payload = bytes_payload(b"a=1", "application/x-www-form-urlencoded")
    assert await read(payload) == b"a=1"
    assert payload.content_type == "application/x-www-form-urlencoded"


def test_what_json_cannot_say_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot hold a Spool"):
        json_payload({"image": Spool(Path())})


@pytest.mark.parametrize("claim", ['image/png","admin":"', "image/png\r\nX: y", "png", ""])
async def test_a_claimed_type_cannot_leave_its_string(spool: Spool, claim: str) -> None:
    spool.media_type = claim
    document = json.loads(await read(json_payload({"image": data_url(spool, "image/png")})))
    assert list(document) == ["image"]
    [part] = await parse(multipart_payload([Part("image", spool)]))
    assert set(part.keys()) == {"Content-Disposition", "Content-Type"}


async def test_a_form_of_text_and_files(spool: Spool) -> None:
    spool.write(BIG)
    parts = [
        Part("prompt", "ein Fuchs, größer"),
        Part("image", spool, filename="fox.png", content_type="image/png"),
        Part("n", "2"),
    ]
    prompt, image, number = await parse(multipart_payload(parts))
    assert prompt.get_param("name", header="Content-Disposition") == "prompt"
    assert prompt.get_payload(decode=True) == "ein Fuchs, größer".encode()
    assert number.get_payload(decode=True) == b"2"
    assert image.get_filename() == "fox.png"
    assert image.get_content_type() == "image/png"
    assert image.get_payload(decode=True) == BIG


def test_a_field_is_text_or_json() -> None:
    values = {"prompt": 'a "fox"', "n": 2, "strength": 0.5, "raw": True, "loras": [{"path": "ä"}]}
    texts = [field(name, value).value for name, value in values.items()]
    assert texts == ['a "fox"', "2", "0.5", "true", '[{"path":"ä"}]']


async def test_a_part_s_own_type_goes_before_the_spool_s(spool: Spool) -> None:
    [part] = await parse(multipart_payload([Part("mask", spool, content_type="image/webp")]))
    assert part.get_content_type() == "image/webp"
    assert part.get_filename() == "mask"


async def test_names_are_quoted_as_browsers_quote_them(spool: Spool) -> None:
    body = await read(multipart_payload([Part("image[]", spool, filename='Füchse "1"\r\nX-Evil: 1.png')]))
    line = 'Content-Disposition: form-data; name="image[]"; filename="Füchse %221%22%0D%0AX-Evil: 1.png"\r\n'
    assert line.encode() in body


async def test_boundaries_differ(spool: Spool) -> None:
    first, second = (multipart_payload([Part("image", spool)]) for _ in range(2))
    assert first.content_type != second.content_type
