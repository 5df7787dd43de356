"""Learning-free, fold-free deformable registration of 3-D images.

Names are imported on first use: ``import optreg`` itself takes next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optreg.config import RegistrationConfig
    from optreg.grid import Grid
    from optreg.image import Image
    from optreg.metrics import evaluate
    from optreg.registration import register
    from optreg.result import Registration, Status
    from optreg.transform import Affine, DisplacementField

__version__ = "0.1.0"

_HOME = {
    "Affine": "optreg.transform",
    "DisplacementField": "optreg.transform",
    "Grid": "optreg.grid",
    "Image": "optreg.image",
    "Registration": "optreg.result",
    "RegistrationConfig": "optreg.config",
    "Status": "optreg.result",
    "evaluate": "optreg.metrics",
    "register": "optreg.registration",
}

__all__ = [
    "Affine",
    "DisplacementField",
    "Grid",
    "Image",
    "Registration",
    "RegistrationConfig",
    "Status",
    "evaluate",
    "register",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'optreg' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
