"""Event streams, however they are cut into chunks."""

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from pictura.core.errors import Malformed
from pictura.infra.extract import Extractor
from pictura.infra.spool import Spool
from pictura.infra.sse import EventReader

PICTURE = bytes(range(256)) * 3
DATA = b'{"b64_json":"' + base64.b64encode(PICTURE) + b'"}'
STREAM = (
    b": welcome\n\n"
    b"event: partial\ndata: " + DATA + b"\n\n"
    b"id: 1\nretry: 5\nevent:no space\r\ndata:" + DATA + b"\r\n\r\n"
    b'data: {"two":\ndata: "lines"}\n\n'
    b"event: empty\n\n"
    b"data: [DONE]\n\n"
)
NAMES = ["partial", "no space", "message", "message"]

Found = tuple[str, bytes, list[bytes]]


@pytest.fixture
def new_extractor(tmp_path: Path) -> Callable[[], Extractor]:
    return lambda: Extractor(lambda: Spool(tmp_path), text_cap=1000, picture_cap=1000, picture_count_cap=4)


def read(reader: EventReader, stream: bytes, size: int) -> list[Found]:
    found: list[Found] = []
    for start in range(0, len(stream), size):
        for event in reader.feed(stream[start : start + size]):
            found.append((event.name, event.data, [cut.spool.read() for cut in event.pictures]))
            event.close()
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, 1000, len(STREAM)])
def test_every_cut_gives_the_same_events(new_extractor: Callable[[], Extractor], size: int) -> None:
    reader = EventReader(new_extractor)
    found = read(reader, STREAM, size)
    assert [name for name, _, _ in found] == NAMES
    assert [pictures for _, _, pictures in found] == [[PICTURE], [PICTURE], [], []]
    assert found[2][1].replace(b"\n", b"") == b'{"two": "lines"}'
    assert found[3][1] == b"[DONE]"
    assert reader.finish() is None
    reader.close()


def test_the_last_event_may_lack_its_empty_line(new_extractor: Callable[[], Extractor]) -> None:
    for end in (b"", b"\n", b"\r\n"):
        reader = EventReader(new_extractor)
        assert list(reader.feed(b'event: last\ndata: {"n":1}' + end)) == []
        event = reader.finish()
        assert event is not None
        assert (event.name, event.json()) == ("last", {"n": 1})


def test_an_event_that_is_not_json_is_malformed(new_extractor: Callable[[], Extractor]) -> None:
    [event] = EventReader(new_extractor).feed(b"data: [DONE]\n\n")
    with pytest.raises(Malformed):
        event.json()


def test_an_endless_line_is_malformed(new_extractor: Callable[[], Extractor]) -> None:
    reader = EventReader(new_extractor)
    with pytest.raises(Malformed):
        for _ in range(100):
            list(reader.feed(b":" * 1000))


def test_closing_forgets_half_an_event(tmp_path: Path, new_extractor: Callable[[], Extractor]) -> None:
    reader = EventReader(
        lambda: Extractor(lambda: Spool(tmp_path), text_cap=1000, picture_cap=1_000_000, picture_count_cap=1)
    )
    list(reader.feed(b'data: {"b64_json":"' + b"A" * 200_000))
    assert list(tmp_path.iterdir())
    reader.close()
    assert not list(tmp_path.iterdir())
