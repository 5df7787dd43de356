"""The methods by name: which script, which environment, which settings."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from setup_env import interpreter


@dataclass(frozen=True)
class Method:
    """One row of the comparison.

    Attributes
    ----------
    name : str
        Also the name of its folder of results.
    script : str
        File in this folder; empty where nothing is run.
    environment : str
        Folder of the environment; empty for the one that runs this.
    settings : dict
        Keyword arguments of the script's ``run``.
    needs : str
        The setting that only the user can give, as a path; empty if there is none.
    """

    name: str
    script: str = ""
    environment: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    needs: str = ""

    def python(self, envs: Path) -> Path:
        """Interpreter that runs it.

        Raises
        ------
        FileNotFoundError
            Its environment has not been made, or what it needs is not there.
        """
        if self.needs:
            path = self.settings.get(self.needs)
            if not path or not Path(path).exists():
                found = f"{path} is not there" if path else "it is not known where"
                raise FileNotFoundError(
                    f"{self.name} needs a {self.needs}, and {found}; give "
                    f"--set {self.name}.{self.needs}=PATH"
                )
        if not self.environment:
            return Path(sys.executable)
        path = interpreter(envs, self.environment)
        if not path.exists():
            raise FileNotFoundError(
                f"{path}: no environment for {self.name}; run: python baselines/setup_env.py "
                f"{self.environment} --envs {envs}"
            )
        return path


# The best settings that `tune` found.
_FLUID = {"sigma_vox": 1.0, "iterations": [200, 120, 50], "update_sigma_vox": 1.0}
_BENT = {"bending": 1.0, "parameters": {"FinalGridSpacingInPhysicalUnits": ["5.0"]}}
_METHODS = (
    Method("none"),
    Method("affine", "affine.py"),
    Method("demons", "demons.py"),
    Method("demons-tuned", "demons.py", settings=_FLUID),
    Method("greedy-stock", "greedy.py", "greedy", {"variant": "stock"}),
    Method("greedy-tuned", "greedy.py", "greedy", {"variant": "tuned"}),
    Method("greedy-nmi", "greedy.py", "greedy", {"variant": "nmi"}),
    Method("ants-syn", "ants_syn.py", "ants"),
    Method("ants-syn-tuned", "ants_syn.py", "ants", {"variant": "tuned"}),
    Method("elastix", "elastix.py", "elastix"),
    Method("elastix-tuned", "elastix.py", "elastix", _BENT),
    Method("convexadam-default", "convex_adam.py", "convexadam", {"variant": "default"}),
    Method("convexadam-tuned", "convex_adam.py", "convexadam", {"variant": "tuned"}),
    Method("convexadam-brain", "convex_adam.py", "convexadam", {"lambda_weight": 0.6}),
    Method("fireants-greedy", "fire_ants.py", "fireants", {"variant": "greedy"}),
    Method("fireants-syn", "fire_ants.py", "fireants", {"variant": "syn"}),
    Method("deeds", "deeds.py", needs="binary"),
    Method("niftyreg", "niftyreg.py", needs="binary"),
    Method("niftyreg-tuned", "niftyreg.py", settings={"spacing_vox": 4.0}, needs="binary"),
    Method("fields", needs="folder"),
    Method("optreg-fast", "optreg_method.py", settings={"preset": "fast"}),
    Method("optreg-default", "optreg_method.py", settings={"preset": "default"}),
    Method("optreg-accurate", "optreg_method.py", settings={"preset": "accurate"}),
)
NAMES = tuple(method.name for method in _METHODS)

# First number after -s; the second, the smoothing of the field, is what a curve runs over.
_GREEDY_FORCE_SIGMA = {"stock": "1.732vox", "tuned": "1.5vox"}


def named(name: str, settings: Mapping[str, Any] | None = None) -> Method:
    """Method of a name from `NAMES`, or ``fields-ANYTHING``.

    Parameters
    ----------
    name : str
    settings : mapping, optional
        In addition to its own, or instead of them.

    Raises
    ------
    ValueError
        Unknown name.
    """
    known = "fields" if name.startswith("fields-") else name
    base = next((method for method in _METHODS if method.name == known), None)
    if base is None:
        raise ValueError(f"method '{name}' is unknown; use {', '.join(NAMES)}")
    return replace(base, name=name, settings={**base.settings, **(settings or {})})


def smoothed(name: str, value: float) -> Method:
    """Method with another smoothing of its field, for a curve of Dice against roughness.

    Parameters
    ----------
    name : str
        Of greedy, ANTs or optreg.
    value : float
        greedy: standard deviation in voxels of the field's Gaussian (the second number of ``-s``);
        ANTs: its ``total_sigma``; optreg: factor on all ``field_sigma_vox`` of the preset.

    Raises
    ------
    ValueError
        Unknown name, or a method without such a setting.
    """
    base = named(name)
    if base.script == "greedy.py":
        first = _GREEDY_FORCE_SIGMA[base.settings["variant"]]
        change: dict[str, Any] = {"smoothing": f"{first} {value:g}vox"}
    elif base.script == "ants_syn.py":
        change = {"total_sigma": value}
    elif base.script == "optreg_method.py":
        from optreg import RegistrationConfig

        sigmas = RegistrationConfig.preset(base.settings["preset"]).continuous.field_sigma_vox
        scaled = [round(value * sigma, 4) for sigma in sigmas]
        change = {"changes": {"continuous": {"field_sigma_vox": scaled}}}
    else:
        raise ValueError(f"method '{name}' has no smoothing to vary")
    return replace(base, name=f"{name}@{value:g}", settings={**base.settings, **change})
