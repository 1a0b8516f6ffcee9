"""How far a network is in a scan, told to whoever listens in the same thread."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
#: Hears the stage's name and how much of it is done, from 0 to 1.
Listener = Callable[[str, float], None]
_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextlib.contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Tell `listener` about every patch while the block lasts."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def told(steps: Iterable[T], stage: str) -> Iterator[T]:
    """The same steps; each is told when it is done.

    >>> with heard_by(lambda stage, share: print(stage, share)):
    ...     for step in told("ab", "stage1_spine"):
    ...         print(step)
    a
    stage1_spine 0.5
    b
    stage1_spine 1.0
    """
    listed, listener = list(steps), _LISTENER.get()
    for number, step in enumerate(listed, start=1):
        yield step
        if listener:
            listener(stage, number / len(listed))
