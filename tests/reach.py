"""The memory that an object holds, as the garbage collector sees it: for bounds that the program does not count."""

import gc
import sys
from types import FunctionType, MethodType, ModuleType
from typing import Any

_SHARED = (type, ModuleType, FunctionType, MethodType)  # code, through which everything is reached


def reached(of: object) -> list[Any]:
    """Return all objects that can be reached from this one, code apart, itself included."""
    seen: dict[int, Any] = {}
    stack = [of]
    while stack:
        found = stack.pop()
        if id(found) not in seen and not isinstance(found, _SHARED):
            seen[id(found)] = found
            stack += gc.get_referents(found)
    return list(seen.values())


def octets(of: object) -> int:
    """Return how much memory all of them take."""
    return sum(map(sys.getsizeof, reached(of)))
