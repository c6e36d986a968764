"""Showing things: tables for people, JSON for programs, a spinner while something takes its time; and asking."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pictura.core.money import show, usd

#: Columns where nobody looks at a terminal: enough that nothing is cut.
WIDE = 220


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], nothing: str) -> None:
    """One line per row; `nothing` is said where there is none. Columns that end with `>` stand at the right."""
    if not rows:
        print(nothing)
        return
    grid = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for name in columns:
        grid.add_column(name.removesuffix(">"), justify="right" if name.endswith(">") else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(escape(cell) for cell in row))
    _console().print(grid)


def as_json(value: object) -> None:
    print(msgspec.json.format(msgspec.json.encode(value)).decode())


def facts(pairs: Sequence[tuple[str, str]]) -> None:
    """One thing, fact by fact; empty ones are left out."""
    width = max(len(name) for name, _ in pairs)
    for name, value in pairs:
        if value:
            print(f"{name:<{width}}  {value}")


def agreed(question: str) -> bool:
    """Only a yes is a yes: neither an empty line nor the end of the input."""
    try:
        answer = input(f"{question} [y/N] ")
    except EOFError:
        print()
        return False
    return answer.strip().lower() in ("y", "yes")


def money(text: str | None) -> str:
    """Dollars of the admin API as people read them."""
    return "unknown" if text is None else show(usd(text))


def moment(when: datetime | None) -> str:
    """In this machine's time zone."""
    return "" if when is None else f"{when.astimezone():%Y-%m-%d %H:%M:%S}"


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """A spinner with the time it takes, where somebody looks at it."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        progress.add_task(escape(what), total=None)
        yield


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)
