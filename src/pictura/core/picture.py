"""Picture bytes as the pure floors see them: something that can be read, and a mark where it shall stand in JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class Bytes(Protocol):
    """Readable bytes of known size; `infra.spool.Spool` and stored blobs are such."""

    @property
    def size(self) -> int: ...
    def read(self, offset: int = 0, size: int = -1) -> bytes: ...
    def chunks(self, size: int = ...) -> Iterator[bytes]: ...


class InMemory:
    """Bytes in memory, as `Bytes`."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        return len(self._data)

    def read(self, offset: int = 0, size: int = -1) -> bytes:
        data = self._data[offset:]
        return data if size < 0 else data[:size]

    def chunks(self, size: int = 128 * 1024) -> Iterator[bytes]:
        for offset in range(0, len(self._data), size):
            yield self._data[offset : offset + size]


class Inline:
    """Stands for a JSON string: the base64 of `source`, written as the body flows out, never built as a whole.

    `prefix` goes before it, e.g. `data:image/png;base64,`.
    """

    # Neither a Struct nor a dataclass: those msgspec would encode by itself, and never ask us.
    __slots__ = ("prefix", "source")

    def __init__(self, source: Bytes, prefix: str = "") -> None:
        self.source = source
        self.prefix = prefix


def data_url(source: Bytes, media_type: str) -> Inline:
    return Inline(source, f"data:{media_type};base64,")
