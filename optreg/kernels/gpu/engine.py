"""Launching kernels: arguments are checked against the kernel's own declaration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from optreg.errors import DeviceMemoryError
from optreg.kernels.gpu.source import Parameter, parameters
from optreg.kernels.reference.weights import gaussian_weights, spline_weights

__all__ = ["Engine"]

_THREADS = 256
_MOST = 2**31 - _THREADS
"""Threads are numbered in 32 bits."""

Function = Callable[[tuple[int], tuple[int], tuple[Any, ...]], None]
"""Compiled kernel: called with the grid, the block and the arguments."""


class Engine:
    """An array library and the compiled kernels that work on its arrays.

    Parameters
    ----------
    xp : module
        CuPy, or anything with its interface.
    function : callable
        Compiled kernel of a name.
    """

    def __init__(self, xp: Any, function: Callable[[str], Function]):
        self.xp = xp
        self._function = function
        self._functions: dict[str, Function] = {}
        self._weights: dict[tuple[str, float], Any] = {}

    def launch(self, name: str, count: int, *args: Any) -> None:
        """Run a kernel with (at least) `count` threads.

        Raises
        ------
        DeviceMemoryError
            More threads than can be numbered; another device may have room for so much.
        TypeError, ValueError
            An argument does not fit the kernel: wrong dtype, not contiguous, of another library.
        """
        if count >= _MOST:
            raise DeviceMemoryError(
                f"{count} values are too many for one kernel of a GPU; use --device cpu"
            )
        # Thousands of launches to a registration: what is said here twice costs milliseconds.
        checked, array = [], self.xp.ndarray
        for parameter, value in zip(parameters()[name], args, strict=True):
            if not parameter.pointer:
                checked.append(parameter.dtype.type(value))
                continue
            fits = isinstance(value, array) and value.dtype == parameter.dtype
            if not (fits and value.flags.c_contiguous):
                raise self._misfit(f"{name}, {parameter.name}", parameter, value)
            checked.append(value)
        if count:
            if name not in self._functions:
                self._functions[name] = self._function(name)
            self._functions[name]((-(-count // _THREADS),), (_THREADS,), tuple(checked))

    @staticmethod
    def require_shapes(name: str, *pairs: tuple[Any, tuple[int, ...]]) -> None:
        """Raise a ValueError where an array has another shape: a kernel would read or write beyond.

        Parameters
        ----------
        pairs : of array and shape
        """
        for array, shape in pairs:
            if array.shape != tuple(shape):
                raise ValueError(f"{name}: array of shape {array.shape}, not {tuple(shape)}")

    def _misfit(self, where: str, parameter: Parameter, value: Any) -> Exception:
        """What is wrong with an argument."""
        if not isinstance(value, self.xp.ndarray):
            return TypeError(f"{where}: {type(value).__name__} is no array of this device")
        if value.dtype != parameter.dtype:
            return TypeError(f"{where}: dtype {value.dtype}, not {parameter.dtype}")
        return ValueError(f"{where}: not C-contiguous")

    def empty(self, shape: tuple[int, ...], dtype: Any = np.float32) -> Any:
        """New array of undefined content."""
        return self.xp.empty(shape, dtype)

    def gaussian(self, sigma: float) -> Any:
        """Half of a Gaussian's weights on the device, copied there once."""
        return self._kept(("gaussian", sigma), lambda: gaussian_weights(sigma))

    def box(self, radius: int) -> Any:
        """Half of a box filter's weights on the device, copied there once."""
        size = 2 * radius + 1
        return self._kept(("box", radius), lambda: np.full(radius + 1, 1 / size, np.float32))

    def spline(self) -> Any:
        """Half of the filter for coefficients of a cubic B-spline."""
        return self._kept(("spline", 3.0), spline_weights)

    def _kept(self, key: tuple[str, float], make: Callable[[], Any]) -> Any:
        if key not in self._weights:
            self._weights[key] = self.xp.asarray(make())
        return self._weights[key]
