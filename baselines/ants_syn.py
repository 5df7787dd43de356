"""ANTs SyN (antspyx from PyPI), called as in the LUMIR challenge, or more carefully.

Runs in an environment of its own: ``python baselines/setup_env.py ants``. The file is not called
``ants.py`` because it would hide the library.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import process
from conventions import itk_to_voxels

# The challenge passes syn_metric and reg_iterations as well, but ANTsPy ignores both for this name.
# What it does run: SyN[0.2, 3, 0], local correlation of radius 2, 100x70x50x20 iterations until
# 1e-6 over 10, shrink factors 8x4x2x1, smoothing 3x2x1x0 voxels, no linear stage.
CHALLENGE = "antsRegistrationSyN[so]"
# The same through the general interface (whose convergence test is 1e-7 over 8, which cannot be
# changed), and what a careful user runs: a larger window, a smaller step, and the field smoothed.
VARIANTS = {
    "challenge": {"syn_sampling": 2, "grad_step": 0.2, "flow_sigma": 3.0, "total_sigma": 0.0},
    "tuned": {"syn_sampling": 4, "grad_step": 0.1, "flow_sigma": 3.0, "total_sigma": 0.5},
}


def arguments(
    variant: str = "challenge",
    flow_sigma: float | None = None,
    total_sigma: float | None = None,
    iterations: Any = None,
) -> dict:
    """Keyword arguments of ``ants.registration``.

    The transform of the challenge has no parameter for its smoothing, so a change of it needs the
    general interface with the same metric, step, levels and iterations.
    """
    given = {"flow_sigma": flow_sigma, "total_sigma": total_sigma}
    given = {key: value for key, value in given.items() if value is not None}
    if variant == "challenge" and not given and iterations is None:
        return {"type_of_transform": CHALLENGE}
    return {
        "type_of_transform": "SyNOnly",
        "syn_metric": "CC",
        "reg_iterations": tuple(iterations or (100, 70, 50, 20)),
        **VARIANTS[variant],
        **given,
    }


def prepare(**settings) -> None:
    """Load the library; that time is not the method's."""
    import ants  # noqa: F401


def run(
    fixed_path: Path,
    moving_path: Path,
    *,
    threads: int = 2,
    variant: str = "challenge",
    **overrides,
) -> process.Fields:
    """Displacement and inverse of one pair.

    Parameters
    ----------
    fixed_path, moving_path : path
        NIfTI images, affinely aligned, in one world.
    threads : int
        Only recorded: ITK takes the number from the environment when it is loaded.
    variant : {"challenge", "tuned"}
        Which of the settings above.
    **overrides
        ``flow_sigma``, ``total_sigma``: smoothing of the update and of the field, as ANTs has it
        (variances in voxels). ``iterations``: list of int, per level, coarse to fine.
    """
    import ants

    fixed, moving = (ants.image_read(str(path)) for path in (fixed_path, moving_path))
    chosen = arguments(variant, **overrides)
    with tempfile.TemporaryDirectory() as folder:
        result = ants.registration(fixed, moving, outprefix=f"{folder}/out", **chosen)
        forward = _field(fixed, moving, result["fwdtransforms"], f"{folder}/forward")
        inverse = _field(moving, fixed, result["invtransforms"], f"{folder}/inverse")
    return process.Fields(forward, inverse, {"call": repr(chosen)})


def _field(fixed: Any, moving: Any, transforms: list[str], prefix: str) -> Any:
    """The composition of a list of transforms as displacement in voxels."""
    import ants

    path = ants.apply_transforms(fixed, moving, transformlist=transforms, compose=prefix)
    warp = ants.image_read(path)
    return itk_to_voxels(warp.numpy(), warp.direction, warp.spacing)


if __name__ == "__main__":
    process.main(run, ("antspyx",), prepare)
