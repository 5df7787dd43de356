"""What CuPy is to the package, on the CPU: arrays that no function of NumPy takes.

A stage that hands a NumPy array to the device, or one of the device to NumPy, works where both are
the same, and fails on the first GPU. With these arrays it fails everywhere. Work on them can be
recorded and played like a CUDA graph, which knows the arrays and nothing of what Python decided.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

__all__ = ["FUNCTIONS", "DeviceArray", "asnumpy", "do", "record", "xp"]

FUNCTIONS = [
    "arange", "bincount", "clip", "concatenate", "diff", "einsum", "empty", "empty_like",
    "flatnonzero", "floor", "isfinite", "log", "maximum", "minimum", "moveaxis", "ones", "pad",
    "percentile", "rint", "sqrt", "square", "stack", "take", "where",
    "zeros", "zeros_like",
]  # fmt: skip
"""What the package uses of CuPy, besides types and conversions; there it means the same."""
_TYPES = ["float32", "float64", "int32", "int64", "uint8"]
_METHODS = [
    "all", "any", "astype", "copy", "max", "mean", "min", "ravel", "reshape", "std", "sum", "take",
]  # fmt: skip
_UNARY = ["neg", "invert", "abs"]
_BINARY = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor"]
_COMPARING = ["eq", "ne", "lt", "le", "gt", "ge"]
_SIZED = {"bincount", "flatnonzero"}
"""Functions that wait for the size of their result."""
_UNFILLED = {"empty", "empty_like"}


class DeviceArray:
    """Array on the stand-in for a device.

    Attributes
    ----------
    held : ndarray
        Its memory, which only kernels may look at.
    waits : int
        How often a number or a size was waited for so far, of any array.
    """

    waits: ClassVar[int] = 0
    # NumPy leaves operations of its arrays with these to the methods below, which refuse them.
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, held: Any):
        self.held = np.asarray(held)
        if not (self.held.dtype.isnative and self.held.itemsize <= 8):
            raise TypeError(f"the device has no {self.held.dtype}")

    shape = property(lambda self: self.held.shape)
    dtype = property(lambda self: self.held.dtype)
    size = property(lambda self: self.held.size)
    ndim = property(lambda self: self.held.ndim)
    nbytes = property(lambda self: self.held.nbytes)
    flags = property(lambda self: self.held.flags)

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise TypeError("implicit conversion of an array of the device to one of NumPy")

    def __len__(self) -> int:
        return len(self.held)

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> DeviceArray:
        index = _index(key)
        if isinstance(index, int):
            index = (index, ...)  # one element is a view, too
        return _made(lambda: self.held[index], self.held)

    def __setitem__(self, key: Any, value: Any) -> None:
        index, plain = _index(key), _plain(value)
        do(lambda: operator.setitem(self.held, index, plain))

    def __float__(self) -> float:
        return float(_waited(self))

    def __int__(self) -> int:
        return int(_waited(self))

    def __bool__(self) -> bool:
        return bool(_waited(self))

    def __index__(self) -> int:
        return operator.index(_waited(self))


_recorded: list[Callable[[], Any]] | None = None


def do(step: Callable[[], Any]) -> None:
    """Do something that changes arrays, or record it."""
    if _recorded is None:
        step()
    else:
        _recorded.append(step)


def record(work: Callable[[], None]) -> Callable[[], None]:
    """What plays the work. While it is recorded, nothing is done."""
    global _recorded
    assert _recorded is None
    steps = _recorded = []
    try:
        with np.errstate(all="ignore"):
            work()
    finally:
        _recorded = None
    return lambda: [step() for step in steps] and None


def _made(make: Callable[[], Any], *sources: Any) -> Any:
    """New array, or a view of a source."""
    result = make()
    if _recorded is None or any(np.may_share_memory(result, s) for s in sources):
        return _there(result)
    array = _there(result)
    if array.dtype.kind == "f":
        array.held[...] = np.nan  # nothing is there before it is played
    _recorded.append(lambda: operator.setitem(array.held, ..., make()))
    return array


def _wait() -> None:
    if _recorded is not None:
        raise RuntimeError("waiting for the device while it is recording")
    DeviceArray.waits += 1


def _waited(array: DeviceArray) -> Any:
    _wait()
    return array.held


def _plain(value: Any) -> Any:
    """Argument of a function of the device, as NumPy takes it."""
    if isinstance(value, DeviceArray):
        return value.held
    if isinstance(value, np.ndarray):
        raise TypeError(f"an array of NumPy, {value.dtype} {value.shape}, is not on the device")
    if isinstance(value, (tuple, list)):
        return type(value)(map(_plain, value))
    return value


def _arrays(values: Any) -> list[Any]:
    """Arrays among arguments, in lists too."""
    if isinstance(values, np.ndarray):
        return [values]
    return [a for v in values for a in _arrays(v)] if isinstance(values, (list, tuple)) else []


def _index(key: Any) -> Any:
    parts = key if isinstance(key, tuple) else (key,)
    if any(getattr(part, "dtype", None) == np.bool_ for part in parts):
        _wait()
    return _plain(key)


def _there(result: Any) -> Any:
    """Result of NumPy on the device, numbers too."""
    if isinstance(result, (np.ndarray, np.generic)):
        return DeviceArray(result)
    return tuple(map(_there, result)) if isinstance(result, tuple) else result


def _on_device(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    def run(*args: Any, **options: Any) -> Any:
        if name in _SIZED:
            _wait()
        plain = [_plain(value) for value in args]
        named = {key: _plain(value) for key, value in options.items()}
        if name in _UNFILLED:
            return _there(function(*plain, **named))
        return _made(lambda: function(*plain, **named), *_arrays(plain))

    return run


def _method(name: str) -> Callable[..., Any]:
    return _on_device(lambda array, *args, **options: getattr(array, name)(*args, **options), name)


def _in_place(name: str) -> Callable[[DeviceArray, Any], DeviceArray]:
    change = getattr(operator, f"__i{name}__")

    def run(array: DeviceArray, other: Any) -> DeviceArray:
        plain = _plain(other)
        do(lambda: change(array.held, plain))
        return array

    return run


def _swapped(name: str) -> Callable[..., Any]:
    function = getattr(operator, f"__{name}__")
    return _on_device(lambda array, other: function(other, array), name)


for _name in _METHODS:
    setattr(DeviceArray, _name, _method(_name))
for _name in _UNARY + _BINARY + _COMPARING:
    setattr(DeviceArray, f"__{_name}__", _on_device(getattr(operator, f"__{_name}__"), _name))
for _name in _BINARY:
    setattr(DeviceArray, f"__r{_name}__", _swapped(_name))
    setattr(DeviceArray, f"__i{_name}__", _in_place(_name))


def asnumpy(array: DeviceArray) -> Any:
    """Copy on the host, as `cupy.asnumpy`."""
    return np.array(_waited(array))


def asarray(array: Any, dtype: Any = None) -> DeviceArray:
    """Array on the device, as `cupy.asarray`: a copy, if it comes from the host."""
    if isinstance(array, DeviceArray):
        held = array.held
        return _made(lambda: held.astype(dtype or held.dtype, copy=False), held)
    if _recorded is not None:
        raise RuntimeError("copying from the host while the device is recording")
    return DeviceArray(np.array(array, dtype))


def ascontiguousarray(array: Any, dtype: Any = None) -> DeviceArray:
    """As `cupy.ascontiguousarray`."""
    held = asarray(array, dtype).held
    return _made(lambda: np.ascontiguousarray(held), held)


def _module(name: str, **contents: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(contents)
    return module


xp = _module(
    "device_arrays.xp",
    ndarray=DeviceArray,
    asarray=asarray,
    ascontiguousarray=ascontiguousarray,
    **{name: getattr(np, name) for name in _TYPES},
    **{name: _on_device(getattr(np, name), name) for name in FUNCTIONS},
)
"""Stands for CuPy; another function is one that nobody has looked up there."""
