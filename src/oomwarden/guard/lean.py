"""Keeps modules that the guard never uses out of its memory; to be imported before all others.

``dataclasses`` imports ``inspect``, for classes without a docstring, of which we have none, and
that brings ``ast`` and ``dis``: 0.9 MB of locked memory, and 4 ms of the start. ``traceback``, for
lines of source to be shown, brings ``textwrap`` and ``tokenize``: 0.2 MB. Stand-ins take their
places, each of which lets the real module in as soon as anybody asks for any of it.
"""

from __future__ import annotations

import sys
from types import ModuleType


class _StandIn(ModuleType):
    """Looks like a module, and becomes the real one at its first use."""

    def __getattr__(self, name: str) -> object:
        """Find what is asked for in the real module."""
        from importlib import import_module

        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


class _Inspect(_StandIn):
    """Knows by itself the one thing that ``dataclasses`` asks for from Python 3.12 on."""

    def get_annotations(self, thing: object, **how: object) -> object:
        """Tell the annotations of a class; anything else is for the real module."""
        if how or not isinstance(thing, type):
            return self.__getattr__("get_annotations")(thing, **how)  # type: ignore[operator]
        return dict(thing.__dict__.get("__annotations__", {}))  # noqa: RUF063 - we are it


for _stand_in in (_Inspect("inspect"), _StandIn("textwrap"), _StandIn("tokenize")):
    sys.modules.setdefault(_stand_in.__name__, _stand_in)
