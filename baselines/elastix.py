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
# motion: mutual information, control points every 10 mm, 256 iterations of 2048 samples. Its second
# metric, bending energy, is left out because the library crashed with two (itk-elastix 0.25.4:
# segmentation fault, every time). For two contrasts, set Metric to AdvancedMattesMutualInformation.
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
) -> process.Fields:
    """Displacement of one pair.

    Parameters
    ----------
    fixed_path, moving_path, threads
        See `process.Run`.
    parameters : dict, optional
        Of elastix, instead of those above.
    """
    import itk

    fixed, moving = (itk.imread(str(path), itk.F) for path in (fixed_path, moving_path))
    chosen = {**BRAIN, **(parameters or {})}
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


if __name__ == "__main__":
    process.main(run, ("itk-elastix",), prepare)
