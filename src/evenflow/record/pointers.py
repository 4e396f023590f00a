"""Memory that is known by its address, in compiled code."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def _pointer(_typing: Any, address: Any) -> Any:

    def made(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(address), made


pointer: Any = intrinsic(_pointer)
"""``pointer(address)``: a plain number as what ``numba.carray`` makes an array of."""
