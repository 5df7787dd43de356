"""Diffeomorphic demons with symmetric forces (SimpleITK), coarse to fine.

Vercauteren et al. 2009, doi 10.1016/j.neuroimage.2008.10.040. It compares intensities, so both
images need one contrast.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import process
from conventions import sitk_to_voxels

_SHRINK = (4, 2, 1)


def prepare(**settings) -> None:
    """Load the library; that time is not the method's."""
    import SimpleITK  # noqa: F401


def run(
    fixed_path: Path,
    moving_path: Path,
    *,
    threads: int = 2,
    iterations: Sequence[int] = (100, 60, 30),
    sigma_vox: float = 1.5,
    update_sigma_vox: float = 0.0,
) -> process.Fields:
    """Displacement of one pair.

    Parameters
    ----------
    fixed_path, moving_path, threads
        See `process.Run`.
    iterations : sequence of 3 int
        At a quarter, half and full resolution.
    sigma_vox : float
        Gaussian that smooths the field after each iteration, in voxels of the resolution.
    update_sigma_vox : float
        The same for what each iteration adds to the field; 0 for none.
    """
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
    fixed, moving = (
        sitk.ReadImage(str(path), sitk.sitkFloat32) for path in (fixed_path, moving_path)
    )
    moving = sitk.HistogramMatching(
        moving, fixed, numberOfHistogramLevels=256, numberOfMatchPoints=15
    )
    field = None
    for shrink, count in zip(_SHRINK, iterations, strict=True):
        level = [_coarser(image, shrink) for image in (fixed, moving)]
        demons = sitk.DiffeomorphicDemonsRegistrationFilter()
        demons.SetNumberOfIterations(count)
        demons.SetSmoothDisplacementField(True)
        demons.SetStandardDeviations(sigma_vox)
        demons.SetSmoothUpdateField(update_sigma_vox > 0)
        demons.SetUpdateFieldStandardDeviations(update_sigma_vox)
        if field is None:
            field = demons.Execute(*level)
        else:
            field = demons.Execute(*level, _onto(field, level[0]))
    return process.Fields(sitk_to_voxels(field))


def _coarser(image: Any, shrink: int) -> Any:
    """Smoothed and sampled at every so many voxels."""
    import SimpleITK as sitk

    if shrink == 1:
        return image
    variances = [(0.5 * shrink * size) ** 2 for size in image.GetSpacing()]
    return sitk.Shrink(sitk.DiscreteGaussian(image, variances), [shrink] * 3)


def _onto(field: Any, image: Any) -> Any:
    """A field on the grid of an image; it goes on level beyond the border of its own grid."""
    import SimpleITK as sitk

    resampler = sitk.ResampleImageFilter()
    resampler.SetReferenceImage(image)
    resampler.SetUseNearestNeighborExtrapolator(True)
    return resampler.Execute(field)


if __name__ == "__main__":
    process.main(run, ("SimpleITK",), prepare)
