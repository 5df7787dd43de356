"""The text of the CUDA kernels, and what it says about their parameters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Parameter", "parameters", "read_source"]

_FOLDER = Path(__file__).resolve().parents[1] / "cuda"
_FIRST = "common.cu"
_KERNEL = re.compile(r'extern "C" __global__ void (\w+)\(([^)]*)\)')
_PARAMETER = re.compile(r"(?:const )?([\w ]+?)\s*(\*?)\s*(\w+)$")

DTYPES = {
    "float": "float32",
    "double": "float64",
    "int": "int32",
    "long long": "int64",
    "unsigned char": "uint8",
}
"""Types that kernels may use, and their names in NumPy."""


@dataclass(frozen=True)
class Parameter:
    """Of a kernel.

    Attributes
    ----------
    name : str
    dtype : numpy.dtype
    pointer : bool
        An array, else a number.
    """

    name: str
    dtype: np.dtype[Any]
    pointer: bool


@cache
def read_source() -> str:
    """All files of ``kernels/cuda``, the shared one first, as one text."""
    paths = sorted(_FOLDER.glob("*.cu"), key=lambda p: (p.name != _FIRST, p.name))
    return "\n".join(p.read_text(encoding="utf-8") for p in paths)


@cache
def parameters() -> dict[str, tuple[Parameter, ...]]:
    """Parameters of every kernel, in order."""
    found = {}
    for name, text in _KERNEL.findall(read_source()):
        found[name] = tuple(_parse(part.strip()) for part in text.split(","))
    return found


def _parse(text: str) -> Parameter:
    match = _PARAMETER.match(" ".join(text.split()))
    if match is None or match[1] not in DTYPES:
        raise ValueError(f"kernel parameter '{text}' is not understood")
    return Parameter(match[3], np.dtype(DTYPES[match[1]]), bool(match[2]))
