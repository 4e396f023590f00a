"""Remembered: what was made of objects that do not change, by their identity.

All layers of a network read the same masks and tables, and the pass backwards reads what the pass
forwards has read: neither need be worked out again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Remembered(Generic[_T]):
    """The latest few results, with the objects that they were made of."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._found: OrderedDict[Hashable, tuple[object, _T]] = OrderedDict()

    def of(self, objects: tuple[object, ...], make: Callable[[], _T], *numbers: Hashable) -> _T:
        """What ``make`` gives, or gave for these very objects and equal numbers."""
        key = (*map(id, objects), *numbers)
        if key not in self._found:
            self._found[key] = objects, make()  # objects that are kept keep their identity
            if len(self._found) > self.most:
                self._found.popitem(last=False)
        return self._found[key][1]
