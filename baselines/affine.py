"""An affine transform and nothing else (SimpleITK): what deformable methods have to improve on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import process
from conventions import sitk_to_voxels

# Mutual information serves equal and different contrasts. Random samples, but the same every time.
_BINS, _SEED = 32, 1
_SHRINK, _SMOOTHING_VOX, _SAMPLED = (4, 2, 1), (2, 1, 0), (1.0, 1.0, 0.2)


def prepare(**settings) -> None:
    """Load the library; that time is not the method's."""
    import SimpleITK  # noqa: F401


def run(
    fixed_path: Path, moving_path: Path, *, threads: int = 2, iterations: int = 200
) -> process.Fields:
    """Displacement of one pair: centres of mass on each other, then an affine transform.

    Parameters
    ----------
    fixed_path, moving_path : path
        NIfTI images in one world.
    threads : int
        CPU threads.
    iterations : int
        Of gradient descent, at each of three resolutions, at most.
    """
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    fixed, moving = (
        sitk.ReadImage(str(path), sitk.sitkFloat32) for path in (fixed_path, moving_path)
    )
    start = sitk.CenteredTransformInitializer(
        fixed,
        moving,
        sitk.AffineTransform(3),
        sitk.CenteredTransformInitializerFilter.MOMENTS,
    )
    method = _method(iterations)
    method.SetInitialTransform(start, inPlace=False)
    found = method.Execute(fixed, moving)
    field = sitk.TransformToDisplacementField(
        found,
        sitk.sitkVectorFloat64,
        fixed.GetSize(),
        fixed.GetOrigin(),
        fixed.GetSpacing(),
        fixed.GetDirection(),
    )
    notes = {"ended": method.GetOptimizerStopConditionDescription()}
    return process.Fields(sitk_to_voxels(field), notes=notes)


def _method(iterations: int) -> Any:
    import SimpleITK as sitk

    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentagePerLevel(_SAMPLED, _SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=1.0, minStep=1e-3, numberOfIterations=iterations
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(_SHRINK)
    method.SetSmoothingSigmasPerLevel(_SMOOTHING_VOX)
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    return method


if __name__ == "__main__":
    process.main(run, ("SimpleITK",), prepare)
