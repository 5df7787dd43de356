"""The methods by name: which script, which environment, which settings."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from setup_env import interpreter

PRESETS = ("fast", "default", "accurate")
NAMES = ("none", "greedy-stock", "greedy-tuned", "ants-syn", *(f"optreg-{p}" for p in PRESETS))

# First number after -s; the second, the smoothing of the field, is what a curve runs over.
_GREEDY_FORCE_SIGMA = {"stock": "1.732vox", "tuned": "1.5vox"}


@dataclass(frozen=True)
class Method:
    """One row of the comparison.

    Attributes
    ----------
    name : str
        Also the name of its folder of results.
    script : str
        File in this folder; empty for no registration at all.
    environment : str
        Folder of the environment; empty for the one that runs this.
    settings : dict
        Keyword arguments of the script's ``run``.
    """

    name: str
    script: str = ""
    environment: str = ""
    settings: dict[str, Any] = field(default_factory=dict)

    def python(self, envs: Path) -> Path:
        """Interpreter that runs it.

        Raises
        ------
        FileNotFoundError
            Its environment has not been made.
        """
        if not self.environment:
            return Path(sys.executable)
        path = interpreter(envs, self.environment)
        if not path.exists():
            raise FileNotFoundError(
                f"{path}: no environment for {self.name}; run: python baselines/setup_env.py "
                f"{self.environment} --envs {envs}"
            )
        return path


def named(name: str) -> Method:
    """Method of a name from `NAMES`.

    Raises
    ------
    ValueError
        Unknown name.
    """
    family, _, variant = name.partition("-")
    if name not in NAMES:
        raise ValueError(f"method '{name}' is unknown; use {', '.join(NAMES)}")
    if family == "none":
        return Method(name)
    if family == "greedy":
        return Method(name, "greedy.py", "greedy", {"variant": variant})
    if family == "ants":
        return Method(name, "ants_syn.py", "ants")
    return Method(name, "optreg_method.py", "", {"preset": variant})


def smoothed(name: str, value: float) -> Method:
    """Method with another smoothing of its field, for a curve of Dice against roughness.

    Parameters
    ----------
    name : str
        From `NAMES`.
    value : float
        greedy: standard deviation in voxels of the field's Gaussian (the second number of ``-s``);
        ANTs: its ``total_sigma``; optreg: factor on all ``field_sigma_vox`` of the preset.
    """
    base = named(name)
    if not base.script:
        raise ValueError(f"method '{name}' has no smoothing to vary")
    if base.environment == "greedy":
        first = _GREEDY_FORCE_SIGMA[base.settings["variant"]]
        change: dict[str, Any] = {"smoothing": f"{first} {value:g}vox"}
    elif base.environment == "ants":
        change = {"total_sigma": value}
    else:
        from optreg import RegistrationConfig

        sigmas = RegistrationConfig.preset(base.settings["preset"]).continuous.field_sigma_vox
        scaled = [round(value * sigma, 4) for sigma in sigmas]
        change = {"changes": {"continuous": {"field_sigma_vox": scaled}}}
    label = f"{name}@{value:g}"
    return Method(label, base.script, base.environment, {**base.settings, **change})
