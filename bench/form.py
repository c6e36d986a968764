"""How long it takes to read a file out of a multipart form, in milliseconds.

    python bench/form.py [--megabytes 4 8] [--rounds 25]

Pictura's parser, and beside it PushMultipartParser of the package multipart, where that is installed (it is no
dependency: pip install multipart). Both hand the file on to something that drops it, so what it costs to write it is
not in the figures. *Search* is the floor: the delimiter looked for in every chunk, and nothing else. The file is noise
as JPEG and PNG are, with a boundary as browsers write it; *hostile* is a file full of beginnings of that boundary.
Every round measures all of them one after the other, so that a busy machine is unfair to none; the best round counts,
and the ratios mean more than the milliseconds.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import random
import time
from collections.abc import Callable, Sequence
from functools import partial

from pictura.infra.form import FormParser

BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
CHUNK_SIZES = (64 << 10, 256 << 10)


class Counter:
    """Drops what it is handed, and remembers how much it was."""

    size = 0

    def begin(self, name: str, filename: str | None, content_type: str) -> None:
        self.size = 0

    def data(self, data: memoryview) -> None:
        self.size += len(data)

    def end(self) -> None:
        pass


def ours(chunks: Sequence[bytes], size: int) -> None:
    counter = Counter()
    parser = FormParser(BOUNDARY, counter, part_cap=128)
    for chunk in chunks:
        parser.feed(chunk)
    parser.finish()
    assert counter.size == size


def multipart_s(chunks: Sequence[bytes], size: int) -> None:
    parser = importlib.import_module("multipart").PushMultipartParser(BOUNDARY, max_segment_count=128)
    taken = 0
    for chunk in chunks:
        for event in parser.parse(chunk):
            taken += len(event) if isinstance(event, bytes | bytearray) else 0
    parser.close()
    assert taken == size


def search(chunks: Sequence[bytes], _size: int) -> None:
    delimiter = b"\r\n--" + BOUNDARY.encode()
    for chunk in chunks:
        chunk.find(delimiter)


def body(file: bytes) -> bytes:
    head = b'Content-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png'
    boundary = BOUNDARY.encode()
    return b"--%b\r\n%b\r\n\r\n%b\r\n--%b--\r\n" % (boundary, head, file, boundary)


def in_chunks(whole: bytes, size: int) -> list[bytes]:
    return [whole[position : position + size] for position in range(0, len(whole), size)]


def best_ms(runs: Sequence[Callable[[], None]], rounds: int) -> list[float]:
    best = [float("inf")] * len(runs)
    for _ in range(rounds):
        for index, run in enumerate(runs):
            start = time.perf_counter()
            run()
            best[index] = min(best[index], (time.perf_counter() - start) * 1000)
    return best


def measure(kind: str, file: bytes, chunk_size: int, rounds: int) -> None:
    chunks = in_chunks(body(file), chunk_size)
    readers = [ours, search] + ([multipart_s] if importlib.util.find_spec("multipart") else [])
    mine, floor, *others = best_ms([partial(reader, chunks, len(file)) for reader in readers], rounds)
    other = f"{others[0]:12.3f} {others[0] / mine:7.2f}x" if others else f"{'-':>12}"
    print(f"{len(file) / (1 << 20):5.0f} MB  {kind:8}{chunk_size >> 10:5} KB{mine:11.3f}{floor:11.3f}{other}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[4, 8], help="sizes of the file (MiB)")
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    print(f"ms per file, the best of {options.rounds} rounds")
    print("    file  kind       chunk    Pictura     search   multipart   ratio")
    start = b"\r\n--" + BOUNDARY[:-1].encode()
    for size in (megabytes << 20 for megabytes in options.megabytes):
        hostile = (start * (size // len(start) + 1))[:size]
        for kind, file in (("noise", random.Random(1).randbytes(size)), ("hostile", hostile)):
            for chunk_size in CHUNK_SIZES:
                measure(kind, file, chunk_size, options.rounds)


if __name__ == "__main__":
    main()
