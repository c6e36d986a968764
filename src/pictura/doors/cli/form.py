"""A form with files, read from disk as it is sent."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pictura.core.errors import BadRequest
from pictura.doors.cli.client import Body, measure

_CHUNK_BYTES = 256 * 1024


def form(fields: Mapping[str, object], files: Sequence[tuple[str, Path]]) -> Body:
    """multipart/form-data (RFC 7578). Raises BadRequest for a file that is no picture, OSError for one not there."""
    boundary = secrets.token_hex(16)
    heads: list[tuple[bytes, Path | None]] = [
        (_head(boundary, f'name="{name}"') + f"{value}\r\n".encode(), None) for name, value in fields.items()
    ]
    heads += [(_file_head(boundary, name, file), file) for name, file in files]
    tail = f"--{boundary}--\r\n".encode()
    size = sum(len(head) + (file.stat().st_size + 2 if file else 0) for head, file in heads) + len(tail)
    return Body(f"multipart/form-data; boundary={boundary}", size, _chunks(heads, tail))


def _chunks(heads: Sequence[tuple[bytes, Path | None]], tail: bytes) -> Iterator[bytes]:
    for head, file in heads:
        yield head
        if file is not None:
            with file.open("rb") as handle:
                while chunk := handle.read(_CHUNK_BYTES):
                    yield chunk
            yield b"\r\n"
    yield tail


def _head(boundary: str, disposition: str, media_type: str = "") -> bytes:
    kind = f"Content-Type: {media_type}\r\n" if media_type else ""
    return f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n{kind}\r\n".encode()


def _file_head(boundary: str, name: str, file: Path) -> bytes:
    try:
        media = measure(file)
    except BadRequest as error:
        raise BadRequest(f"{file}: {error.message}") from None
    return _head(boundary, f'name="{name}"; filename="image.{media.extension}"', media.type)
