"""What `tune` tries for each method, and why.

Every method gets the same number of settings. Those of its library or its authors come first, as
they are; then single changes, each made to the best setting so far. All of a method's settings are
arguments of the ``run`` of its script.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Candidate:
    """Settings, and a reason to try them."""

    settings: dict[str, Any]
    why: str


@dataclass(frozen=True)
class Space:
    """Settings of one method in the order in which they are tried.

    Attributes
    ----------
    base : str
        Name of the method in `methods` that the settings are added to.
    starts : tuple of Candidate
        Whole settings, the default first.
    moves : tuple of Candidate
        Changes of the best setting so far.
    """

    base: str
    starts: tuple[Candidate, ...]
    moves: tuple[Candidate, ...]


def _elastix(**parameters: object) -> dict[str, Any]:
    """Parameters of elastix as it wants them: lists of text."""
    return {"parameters": {name: [str(value)] for name, value in parameters.items()}}


SPACES = {
    "demons": Space(
        "demons",
        (
            Candidate(
                {},
                "as in the table: SimpleITK has no default for several resolutions, and one "
                "resolution of 10 iterations, its default, hardly moves a brain",
            ),
        ),
        (
            Candidate({"sigma_vox": 1.0}, "the library's default: a rougher field"),
            Candidate({"iterations": [200, 120, 50]}, "closer to convergence"),
            Candidate({"update_sigma_vox": 1.0}, "fluid as well as elastic smoothing"),
            Candidate({"sigma_vox": 1.25}, "between the two"),
            Candidate({"sigma_vox": 0.8}, "rougher still"),
            Candidate({"sigma_vox": 2.0}, "smoother"),
            Candidate({"iterations": [200, 200, 100]}, "at full resolution above all"),
        ),
    ),
    "elastix": Space(
        "elastix",
        (
            Candidate(
                {
                    **_elastix(
                        Metric="AdvancedMattesMutualInformation",
                        FinalGridSpacingInPhysicalUnits=10.0,
                        MaximumNumberOfIterations=256,
                        NumberOfSpatialSamples=2048,
                    ),
                    "bending": 1.0,
                },
                "the library's default B-spline map: mutual information with bending energy",
            ),
            Candidate(
                {}, "as in the table: correlation, finer, more samples, nothing that smooths"
            ),
            Candidate({"bending": 1.0}, "the same with the library's bending energy"),
        ),
        (
            Candidate(_elastix(FinalGridSpacingInPhysicalUnits=5.0), "cortex is thinner than 8 mm"),
            Candidate(_elastix(NumberOfSpatialSamples=15000), "less noise in the gradient"),
            Candidate({"bending": 5.0}, "smoother"),
            Candidate(_elastix(MaximumNumberOfIterations=2000), "closer to convergence"),
            Candidate(_elastix(FinalGridSpacingInPhysicalUnits=12.0), "smoother, so less folding"),
        ),
    ),
    "niftyreg": Space(
        "niftyreg",
        (
            Candidate({}, "the program's default: mutual information, control points every 5 mm"),
            Candidate({"velocity": True}, "its diffeomorphic model: a stationary velocity field"),
        ),
        (
            Candidate({"bending_weight": 0.0003}, "less bending energy, so more can be matched"),
            Candidate({"spacing_vox": 4.0}, "cortex is thinner than 5 mm"),
            Candidate({"lncc_sigma_mm": 2.5}, "local correlation, which leads on one contrast"),
            Candidate({"iterations": 300}, "closer to convergence"),
            Candidate({"bending_weight": 0.003}, "smoother, so less folding"),
            Candidate({"spacing_vox": 3.0}, "finer still"),
        ),
    ),
    "convexadam": Space(
        "convexadam-default",
        (
            Candidate({}, "the library's default"),
            Candidate({"variant": "tuned"}, "its authors' setting for the brains of LUMIR 2025"),
        ),
        (
            Candidate({"lambda_weight": 0.6}, "less diffusion, so more can be matched"),
            Candidate({"mind_d": 1}, "features of nearer neighbours: cortex is thin"),
            Candidate({"selected_smooth": 3}, "smooths the result, so less folding"),
            Candidate({"selected_niter": 160}, "closer to convergence"),
            Candidate(
                {"grid_sp": 4, "disp_hw": 3}, "finer discrete step, enough reach after affine"
            ),
            Candidate({"mind_r": 2}, "larger patches"),
            Candidate({"ic": False}, "without the symmetric discrete step"),
        ),
    ),
    "greedy": Space(
        "greedy-stock",
        (
            Candidate({}, "the example of its manual, with its default smoothing"),
            Candidate({"variant": "tuned"}, "the best of an earlier search on another pair"),
        ),
        (
            Candidate({"metric": "WNCC 3x3x3"}, "a larger window"),
            Candidate({"iterations": "100x100x80"}, "closer to convergence"),
            Candidate({"smoothing": "2vox 0.5vox"}, "smoother forces"),
            Candidate({"smoothing": "1vox 0.5vox"}, "rougher forces"),
            Candidate({"smoothing": "1.5vox 0.7071vox"}, "a smoother field"),
            Candidate({"metric": "WNCC 4x4x4"}, "a larger window still"),
        ),
    ),
}
