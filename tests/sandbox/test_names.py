from __future__ import annotations

import os
from pathlib import Path

from pictura.sandbox.names import Names


def test_a_name_is_known_to_whoever_comes_later(tmp_path: Path) -> None:
    Names(tmp_path / "acme").give("../fox 狐", "a task")
    later = Names(tmp_path / "acme")
    assert (later.find("../fox 狐"), later.find("a hare")) == ("a task", None)
    assert later.meanings() == ["a task"]
    assert [path.name for path in tmp_path.iterdir()] == ["acme"]


def test_the_oldest_give_way(tmp_path: Path) -> None:
    names = Names(tmp_path, places=2, at_a_time=2)
    for second, name in enumerate("abcde"):
        names.give(name, name)
        os.utime(names._file(name), (second, second))
    assert [name for name in "abcde" if names.find(name)] == ["c", "d", "e"]
