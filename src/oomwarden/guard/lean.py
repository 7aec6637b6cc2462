"""Keeps modules that the guard never uses out of its memory; to be imported before all others.

``dataclasses`` imports ``inspect``, for classes without a docstring, of which we have none, and
that brings ``ast`` and ``dis``: 0.9 MB of locked memory, and 4 ms of the start. ``logging`` brings
``traceback``, for exceptions, and that ``textwrap`` and ``tokenize``, for lines of source.
``socket`` and ``threading`` have much more than the little that the guard uses, and a pickle is
read by its C half alone, without 0.2 MB of what Python 2 called things.
JSON is for who asks for the status, and a testimony for who was killed. Stand-ins take their
places, each of which lets the real module in as soon as anybody asks for what it has not.

A frozen dataclass has methods of its own for what is the same in all, and by two of them keeps
the class alive from which its slotted one was made: 10 KiB each, of which we have about a hundred.
From here on they share these methods.
"""

from __future__ import annotations

import _socket
import _thread
import os
import sys
from collections.abc import Callable, Mapping
from operator import attrgetter
from types import ModuleType


class _StandIn(ModuleType):
    """Looks like a module, and becomes the real one at its first use."""

    def __getattr__(self, name: str) -> object:
        """Find what is asked for in the real module."""
        if name == "__path__":
            # Every "from module import name" asks for it.
            raise AttributeError(name)
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


class _Socket(_StandIn):
    """Has the sockets of ``_socket``; whatever else ``socket`` adds is in the real module.

    That one turns hundreds of constants into enums, for a repr that nobody looks at.
    """

    def __getattr__(self, name: str) -> object:
        """Take it from ``_socket`` if it is there; a constant is a plain number."""
        if hasattr(_socket, name):
            return getattr(_socket, name)
        return super().__getattr__(name)

    class socket(_socket.socket):  # noqa: N801 - it is that class
        """One that takes clients in, and is closed at the end of a ``with``."""

        __slots__ = ()

        def accept(self) -> tuple[_socket.socket, object]:
            """Take a client in."""
            fd, address = self._accept()  # type: ignore[attr-defined]
            return _Socket.socket(fileno=fd), address

        def __enter__(self) -> _Socket.socket:
            """Use it."""
            return self

        def __exit__(self, *_: object) -> None:
            """Close it."""
            self.close()

        def set_inheritable(self, inheritable: bool) -> None:  # noqa: FBT001 - as it is called
            """Have it open, or not, in the programs that we start."""
            os.set_inheritable(self.fileno(), inheritable)


class _Threading(_StandIn):
    """Has what ``logging`` needs of it; our only threads are bare ones, of ``_thread``."""

    RLock = staticmethod(_thread.RLock)
    get_ident = staticmethod(_thread.get_ident)

    @staticmethod
    def _shutdown() -> None:
        """Wait for nobody at the end, as the interpreter asks."""


class _CompatPickle(_StandIn):
    """Knows no names of Python 2: what the guard reads was written by the same Python."""

    NAME_MAPPING: Mapping[object, object] = {}
    IMPORT_MAPPING = REVERSE_NAME_MAPPING = REVERSE_IMPORT_MAPPING = NAME_MAPPING


_NAMES = (
    "textwrap",
    "tokenize",
    "traceback",
    "copy",
    "json",
    "oomwarden.guard.testimony",
)
for _stand_in in (
    _Inspect("inspect"),
    _Socket("socket"),
    _Threading("threading"),
    _CompatPickle("_compat_pickle"),
    *map(_StandIn, _NAMES),
):
    sys.modules.setdefault(_stand_in.__name__, _stand_in)

import dataclasses  # noqa: E402 - the stand-ins come first

_whole_dataclass = dataclasses.dataclass


def _dataclass(cls: type | None = None, /, **how: bool) -> object:
    """Do what ``dataclasses.dataclass`` does, with methods that are shared."""
    if cls is None:
        return lambda cls: _dataclass(cls, **how)
    has_repr = how.pop("repr", True) and "__repr__" not in cls.__dict__
    has_eq = (
        {"frozen", "slots"} == {name for name, is_on in how.items() if is_on}
        and "eq" not in how
        and not {"__eq__", "__hash__"} & cls.__dict__.keys()
    )
    if has_eq:
        how["eq"] = False
    made: type = _whole_dataclass(cls, repr=False, **how)
    methods: dict[str, object] = {}
    if has_repr:
        methods["__repr__"] = _repr
    if has_eq:
        methods["__eq__"], methods["__hash__"] = _comparing(made)
    if how.get("frozen"):
        methods["__setattr__"], methods["__delattr__"] = _set, _delete
    for name, method in methods.items():
        setattr(made, name, method)
    return made


def _repr(self: object) -> str:
    fields = (each.name for each in dataclasses.fields(self) if each.repr)  # type: ignore[arg-type]
    values = ", ".join(f"{name}={getattr(self, name)!r}" for name in fields)
    return f"{type(self).__qualname__}({values})"


def _set(self: object, name: str, value: object) -> None:  # noqa: ARG001 - as it is called
    message = f"cannot assign to field {name!r}"
    raise dataclasses.FrozenInstanceError(message)


def _delete(self: object, name: str) -> None:  # noqa: ARG001 - as it is called
    message = f"cannot delete field {name!r}"
    raise dataclasses.FrozenInstanceError(message)


def _comparing(cls: type) -> tuple[Callable[[object, object], bool], Callable[[object], int]]:
    """Make what compares two of a class, and what hashes one: as tuples of their fields."""
    names = [each.name for each in dataclasses.fields(cls) if each.compare]
    take = attrgetter(*names) if names else lambda _: ()

    def __eq__(self: object, other: object) -> bool:  # noqa: N807 - it becomes that method
        if other.__class__ is not self.__class__:
            return NotImplemented
        return bool(take(self) == take(other))

    def __hash__(self: object) -> int:  # noqa: N807
        return hash(take(self))

    return __eq__, __hash__


import logging  # noqa: E402 - it too

# No line of ours names a thread; whoever asks for the name needs the real module.
logging.logThreads = False

dataclasses.dataclass = _dataclass  # type: ignore[assignment]
