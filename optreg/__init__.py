"""Training-free, diffeomorphic registration of brain MRI.

The names below are imported on first use, so that ``import optreg`` costs nothing and a machine
that lacks an optional library can still use the rest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optreg.config import RegistrationConfig
    from optreg.grid import Grid
    from optreg.image import Image
    from optreg.metrics import evaluate
    from optreg.propagation import propagate
    from optreg.registration import register
    from optreg.result import Registration
    from optreg.transform import DisplacementField
    from optreg.warmup import warm_up

__version__ = "0.1.0"

__all__ = [
    "DisplacementField",
    "Grid",
    "Image",
    "Registration",
    "RegistrationConfig",
    "__version__",
    "evaluate",
    "propagate",
    "register",
    "warm_up",
]

_HOMES = {
    "DisplacementField": "transform",
    "Grid": "grid",
    "Image": "image",
    "Registration": "result",
    "RegistrationConfig": "config",
    "evaluate": "metrics",
    "propagate": "propagation",
    "register": "registration",
    "warm_up": "warmup",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'optreg' has no attribute '{name}'")
    value = getattr(import_module(f"optreg.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
