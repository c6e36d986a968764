"""Ids that callers choose for their tasks. Such an id carries nothing, so what it stands for is written down beside it,
for a sandbox that is started anew in the same folder.

    names.give("5d9e6a4e-…", studio.tasks.begin(…))
    names.find("5d9e6a4e-…")        # None: nobody's
    names.meanings()                # all of them, in no order
"""

from __future__ import annotations

import hashlib
from pathlib import Path

#: Names that are kept; the oldest give way, some of them at a time.
PLACES, AT_A_TIME = 1000, 100


class Names:
    """One small file for each name, in `folder`."""

    def __init__(self, folder: Path, places: int = PLACES, at_a_time: int = AT_A_TIME) -> None:
        self._folder = folder
        self._places = places
        self._at_a_time = at_a_time
        self._given = 0

    def give(self, name: str, meaning: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._given % self._at_a_time == 0:
            self._forget()
        self._given += 1
        self._file(name).write_text(meaning)

    def find(self, name: str) -> str | None:
        try:
            return self._file(name).read_text()
        except FileNotFoundError:
            return None

    def meanings(self) -> list[str]:
        return [file.read_text() for file in self._files()]

    def _file(self, name: str) -> Path:
        """Callers' words are no names for files."""
        return self._folder / hashlib.blake2s(name.encode(), digest_size=16).hexdigest()

    def _files(self) -> list[Path]:
        return list(self._folder.iterdir()) if self._folder.exists() else []

    def _forget(self) -> None:
        newest_first = sorted(self._files(), key=lambda file: file.stat().st_mtime_ns, reverse=True)
        for file in newest_first[self._places :]:
            file.unlink()
