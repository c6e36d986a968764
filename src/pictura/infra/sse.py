"""Server-sent events, read as they arrive: a picture inside an event is cut out before the event is complete.

The format: https://html.spec.whatwg.org/#event-stream-interpretation (2025). Left out, because no image API uses it:
lines that end in a lone carriage return, `id` and `retry`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from pictura.core.errors import Malformed
from pictura.infra.extract import Cut, Extractor

#: Any line but a `data:` line is a short one.
_LINE_BYTES = 64 * 1024


class Event(msgspec.Struct, eq=False):
    """`name` is "message" where the sender gave none; `data` is a JSON skeleton whose pictures are in `pictures`.

    Whoever gets an event closes its pictures.
    """

    name: str
    data: bytes
    pictures: list[Cut]

    def json(self) -> object:
        """Raises Malformed where the data is not JSON (`[DONE]`, say)."""
        try:
            return msgspec.json.decode(self.data)
        except msgspec.DecodeError:
            raise Malformed("The provider sent an event that is not JSON.") from None

    def close(self) -> None:
        for cut in self.pictures:
            cut.spool.close()


class EventReader:
    """Bytes in, events out. `new_extractor` makes the one that an event's data flows through."""

    def __init__(self, new_extractor: Callable[[], Extractor]) -> None:
        self._new_extractor = new_extractor
        self._extractor: Extractor | None = None
        self._line = bytearray()
        self._inside_data = False
        self._name = ""

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that `chunk` completes. Take all of them before the next call."""
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            self._continue_line(chunk[start:end])
            if (event := self._end_line()) is not None:
                yield event
            start = end + 1
        if start < len(chunk):
            self._continue_line(chunk[start:])

    def finish(self) -> Event | None:
        """The last event, where the sender forgot the empty line behind it."""
        return self._end_line() or self._end_event()

    def close(self) -> None:
        if self._extractor is not None:
            self._extractor.close()
            self._extractor = None

    def _continue_line(self, piece: bytes) -> None:
        if self._inside_data:
            self._feed_data(piece)
            return
        self._line += piece
        if self._line.startswith(b"data:"):
            self._inside_data = True
            self._feed_data(bytes(self._line[5:]))
            self._line.clear()
        elif len(self._line) > _LINE_BYTES:
            raise Malformed("The provider sent an event stream with a line that is too long.")

    def _feed_data(self, piece: bytes) -> None:
        if self._extractor is None:
            self._extractor = self._new_extractor()
        self._extractor.feed(piece)

    def _end_line(self) -> Event | None:
        if self._inside_data:
            self._inside_data = False
            # Between two data lines stands a line end; behind the last one it is white space to JSON.
            self._feed_data(b"\n")
            return None
        line = bytes(self._line).rstrip(b"\r")
        self._line.clear()
        if not line:
            return self._end_event()
        if line.startswith(b"event:"):
            self._name = line[6:].strip().decode(errors="replace")
        return None

    def _end_event(self) -> Event | None:
        name, self._name = self._name or "message", ""
        if (extractor := self._extractor) is None:
            return None
        data = extractor.finish().strip()
        self._extractor = None
        return Event(name, data, extractor.cuts)
