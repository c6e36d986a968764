from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest

from pictura.core.errors import BadRequest
from pictura.core.media import sniff
from pictura.core.picture import InMemory
from pictura.sandbox.chance import occasion
from pictura.sandbox.tasks import KEPT, TEXT_CHARS, THUMBNAIL_SIDE, THUMBNAILS, Task, Tasks

LONG = {"prompt": "a fox [fault:long 60]", "seed": 7, "sizes": [64, 48]}


def aged(seconds: float, prompt: str = "a fox") -> Task:
    """A task of this age."""
    return Task("id", {"prompt": prompt}, (), round((time.time() - seconds) * 1000))


def test_a_task_is_found_by_its_id() -> None:
    tasks = Tasks()
    task = tasks.find(tasks.begin(LONG, [], prefix="task-"), "task-")
    assert task is not None
    assert (task.memo, task.inputs, task.prompt, task.cancelled) == (LONG, (), LONG["prompt"], False)
    assert 0 <= task.age_s < 60


def test_an_id_fits_into_a_url(picture: Callable[..., bytes]) -> None:
    memo = {**LONG, "prompt": "ein größerer Fuchs 🦊 " * 100}
    id = Tasks().begin(memo, [picture(2000, 1000)] * 3, prefix="task-")
    assert re.fullmatch(r"task-[A-Za-z0-9_-]{1,6000}", id)


def test_another_sandbox_knows_it_by_what_the_id_carries(picture: Callable[..., bytes]) -> None:
    inputs = [picture(400, 200), picture(100, 100), picture(50, 50)]
    memo = {**LONG, "prompt": "x" * (TEXT_CHARS + 1)}
    id = Tasks().begin(memo, inputs, prefix="task-")
    task = Tasks().find(id, "task-")
    assert task is not None
    assert task.memo == {**LONG, "prompt": "x" * TEXT_CHARS}
    assert len(task.inputs) == THUMBNAILS
    small = sniff(InMemory(task.inputs[0]).read, len(task.inputs[0]))
    assert (small.format, small.width, small.height) == ("webp", THUMBNAIL_SIDE, THUMBNAIL_SIDE // 2)


def test_it_is_drawn_as_on_the_occasion_on_which_it_began() -> None:
    tasks = Tasks()
    occasion.set("second")
    id = tasks.begin(LONG)
    for again in (tasks, Tasks()):
        occasion.set("")
        assert again.find(id) is not None and occasion.get() == "second"
    occasion.set("")


def test_the_oldest_are_forgotten_but_for_what_their_ids_carry(picture: Callable[..., bytes]) -> None:
    tasks, whole = Tasks(), picture(100, 100)
    first = tasks.begin(LONG, [whole])
    for number in range(KEPT):
        tasks.begin({"number": number})
    found = tasks.find(first)
    assert found is not None and found.memo == LONG
    assert found.inputs[0] != whole


@pytest.mark.parametrize("change", [lambda id: id[:-4], lambda id: id + "AAAA", lambda id: id.replace("task-", "job-")])
def test_an_id_that_somebody_made_up_is_none(change: Callable[[str], str]) -> None:
    id = Tasks().begin(LONG, prefix="task-")
    assert Tasks().find(change(id), "task-") is None


@pytest.mark.parametrize("id", ["", "task-", "task-ä", "task-AAAA", "task-AAAAAAAAAAAAAAAA"])
def test_nor_is_any_other_word(id: str) -> None:
    assert Tasks().find(id, "task-") is None


def test_what_is_cancelled_stays_so() -> None:
    tasks = Tasks()
    id, other = tasks.begin(LONG), tasks.begin({"prompt": "a hen [fault:long 60]"})
    tasks.cancel(id)
    found, spared = tasks.find(id), tasks.find(other)
    assert found is not None and found.phase == "cancelled"
    assert spared is not None and spared.phase != "cancelled"


@pytest.mark.parametrize(
    ("age_s", "prompt", "phase", "progress"),
    [
        (-1, "a fox", "queued", 0),
        (1, "a fox", "done", 100),
        (15, "a fox [fault:long 60]", "running", 25),
        (61, "a fox [fault:long 60.5]", "done", 100),
        (0.01, "a fox [fault:long 0]", "done", 100),
    ],
)
def test_how_far_it_is(age_s: float, prompt: str, phase: str, progress: int) -> None:
    task = aged(age_s, prompt)
    assert (task.phase, task.progress) == (phase, progress)


def test_an_input_that_is_no_picture_begins_nothing() -> None:
    with pytest.raises(BadRequest, match="no picture"):
        Tasks().begin(LONG, [b"a fox"])
