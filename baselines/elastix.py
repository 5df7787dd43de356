"""elastix (itk-elastix from PyPI): B-splines by stochastic gradient descent.

Klein et al. 2010, doi 10.1109/TMI.2009.2035616. Runs in an environment of its own:
``python baselines/setup_env.py elastix``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import process
from conventions import itk_to_voxels

# What differs from the library's default B-spline map, which is made for larger and smoother
# motion: mutual information and bending energy, control points every 10 mm, 256 iterations of 2048
# samples. For two contrasts, set Metric to AdvancedMattesMutualInformation.
BRAIN = {
    "Registration": ["MultiResolutionRegistration"],
    "Metric": ["AdvancedNormalizedCorrelation"],
    "FinalGridSpacingInPhysicalUnits": ["8.0"],
    "MaximumNumberOfIterations": ["1000"],
    "NumberOfSpatialSamples": ["5000"],
    "WriteResultImage": ["false"],
}


def prepare(**settings) -> None:
    """Load the library, which does so at first use; that time is not the method's."""
    import itk

    itk.ParameterObject.New()


def run(
    fixed_path: Path,
    moving_path: Path,
    *,
    threads: int = 2,
    parameters: dict[str, list[str]] | None = None,
    bending: float = 0.0,
) -> process.Fields:
    """Displacement of one pair.

    Parameters
    ----------
    fixed_path, moving_path, threads
        See `process.Run`.
    parameters : dict, optional
        Of elastix, instead of those above.
    bending : float
        Weight of a bending energy beside the metric, whose weight is 1; 0 for none.
    """
    import itk

    fixed, moving = (itk.imread(str(path), itk.F) for path in (fixed_path, moving_path))
    chosen = chosen_parameters(parameters, bending)
    maps = itk.ParameterObject.New()
    spline = maps.GetDefaultParameterMap("bspline", 4)
    for weight in ("Metric0Weight", "Metric1Weight"):
        spline.erase(weight)
    for name, values in chosen.items():
        spline[name] = values
    maps.AddParameterMap(spline)
    _, found = itk.elastix_registration_method(
        fixed, moving, parameter_object=maps, number_of_threads=threads, log_to_console=False
    )
    with tempfile.TemporaryDirectory() as folder:  # it also writes the field where it is told
        field = itk.transformix_deformation_field(moving, found, output_directory=folder)
    vectors = np.transpose(itk.array_view_from_image(field), (2, 1, 0, 3))
    direction = itk.array_from_matrix(field.GetDirection())
    disp = itk_to_voxels(vectors, direction, np.array(field.GetSpacing()))
    return process.Fields(disp, notes={"parameters": chosen})


def chosen_parameters(
    parameters: dict[str, list[str]] | None = None, bending: float = 0.0
) -> dict[str, list[str]]:
    """Parameters that differ from the library's default; see `run`."""
    chosen = {**BRAIN, **(parameters or {})}
    if bending:
        chosen["Registration"] = ["MultiMetricMultiResolutionRegistration"]
        chosen["Metric"] = [*chosen["Metric"], "TransformBendingEnergyPenalty"]
        chosen |= {"Metric0Weight": ["1.0"], "Metric1Weight": [f"{bending:g}"]}
        # With two metrics and more than one thread the library ends with a segmentation fault
        # (itk-elastix 0.25.4, ITKElastix issue 160) unless each metric runs in one thread.
        chosen["UseMultiThreadingForMetrics"] = ["false"]
    return chosen


if __name__ == "__main__":
    process.main(run, ("itk-elastix",), prepare)
