"""Tasks of vendors that answer later. A task's id carries its state, so that a sandbox started anew knows it still.

    id = studio.tasks.begin({"model": …, "prompt": …, "seed": 7}, inputs=[first.spool.read()])
    task = studio.tasks.find(id)        # None: no task of ours
    task.phase                          # "queued", "running", "done" or "cancelled"

The inputs' own bytes stay in memory for a while; the id carries a small picture of each of the first, and the
beginning of a long text.
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
import zlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from pictura.core.errors import BadRequest
from pictura.infra.vips import vips
from pictura.sandbox.chance import occasion
from pictura.sandbox.draw import UNDECODED

Phase = Literal["queued", "running", "done", "cancelled"]

#: Seconds after which a task is no longer queued, and after which it is done, unless `[fault:long <seconds>]` says so.
QUEUED_S, DONE_S = 0.05, 0.15
#: What an id carries: it has to fit into a URL.
TEXT_CHARS, THUMBNAILS, THUMBNAIL_SIDE = 500, 2, 40
#: Tasks whose inputs are kept whole.
KEPT = 200

_CHECK_BYTES = 6
_LONG = re.compile(r"\[fault:long (\d{1,4}(?:\.\d{1,3})?)\]")


class _State(msgspec.Struct, array_like=True):
    began_ms: int
    memo: dict[str, object]
    thumbnails: list[bytes] = []
    occasion: str = ""


class Task(msgspec.Struct, frozen=True):
    """`memo` as it was begun with; `inputs` as sent, or small where the sandbox was started anew since."""

    id: str
    memo: Mapping[str, object]
    inputs: Sequence[bytes]
    began_ms: int
    cancelled: bool = False
    occasion: str = ""

    @property
    def prompt(self) -> str:
        return str(self.memo.get("prompt", ""))

    @property
    def age_s(self) -> float:
        return time.time() - self.began_ms / 1000

    @property
    def phase(self) -> Phase:
        if self.cancelled:
            return "cancelled"
        if self.age_s >= self._done_s:
            return "done"
        return "running" if self.age_s >= QUEUED_S else "queued"

    @property
    def progress(self) -> int:
        """0 to 100."""
        return 100 if self.age_s >= self._done_s else max(0, round(100 * self.age_s / self._done_s))

    @property
    def _done_s(self) -> float:
        long = _LONG.search(self.prompt)
        return float(long[1]) if long else DONE_S


class Tasks:
    """All tasks of one sandbox."""

    def __init__(self) -> None:
        self._begun: OrderedDict[str, Task] = OrderedDict()
        self._cancelled: set[str] = set()

    def begin(self, memo: Mapping[str, object], inputs: Sequence[bytes] = (), prefix: str = "") -> str:
        """The id of a new task, in letters, digits, `-` and `_` after `prefix`; `memo` is what JSON can hold.

        Raises BadRequest for an input that is no picture.
        """
        began_ms = time.time_ns() // 1_000_000
        short = {name: _shortened(value) for name, value in memo.items()}
        state = _State(began_ms, short, [_thumbnail(data) for data in inputs[:THUMBNAILS]], occasion.get())
        packed = zlib.compress(msgspec.msgpack.encode(state), 9)
        id = prefix + _text(_check(packed) + packed)
        self._begun[id] = Task(id, dict(memo), tuple(inputs), began_ms, occasion=state.occasion)
        while len(self._begun) > KEPT:
            self._begun.popitem(last=False)
        return id

    def find(self, id: str, prefix: str = "") -> Task | None:
        """The task of this id, wherever it was begun; None for an id that is none.

        What is drawn from here on is drawn as on the occasion on which it began.
        """
        found = self._begun.get(id) or _carried(id, prefix)
        if found is not None:
            occasion.set(found.occasion)
        return found and msgspec.structs.replace(found, cancelled=id in self._cancelled)

    def cancel(self, id: str) -> None:
        self._cancelled.add(id)


def _carried(id: str, prefix: str) -> Task | None:
    if not id.startswith(prefix):
        return None
    try:
        body = id[len(prefix) :]
        data = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        check, packed = data[:_CHECK_BYTES], data[_CHECK_BYTES:]
        if check != _check(packed):
            return None
        state = msgspec.msgpack.decode(zlib.decompress(packed), type=_State)
    except (ValueError, zlib.error, msgspec.DecodeError):
        return None
    return Task(id, state.memo, tuple(state.thumbnails), state.began_ms, occasion=state.occasion)


def _shortened(value: object) -> object:
    return value[:TEXT_CHARS] if isinstance(value, str) else value


def _thumbnail(data: bytes) -> bytes:
    if data.startswith(UNDECODED):
        return data[:2]  # as good as the whole of it: its inside is imagined
    try:
        picture = vips().Image.thumbnail_buffer(data, THUMBNAIL_SIDE, height=THUMBNAIL_SIDE)
        small: bytes = picture.write_to_buffer(".webp", Q=50, keep="none")
    except vips().Error as error:
        raise BadRequest("An input is no picture that can be read.") from error
    return small


def _check(packed: bytes) -> bytes:
    """Tells an id of ours from one that somebody made up; it keeps no secret."""
    return hashlib.blake2s(packed, digest_size=_CHECK_BYTES).digest()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
