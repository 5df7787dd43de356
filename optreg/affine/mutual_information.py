"""SimpleITK's linear registration as another way to a start: it looks at intensities in pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from optreg.affine.lattice import Lattice
from optreg.kernels import Backend
from optreg.transform.itk import LPS, matrix_of, scalar_image

__all__ = ["MutualInformation"]

_BINS = 32
_SAMPLED = 0.25
"""Part of the voxels that are looked at."""
_SEED = 1
_ITERATIONS = 100
_FIRST_STEP_MM, _LAST_STEP_MM = 1.0, 1e-3
_TRIED = 2
"""Starts that are searched from, of those that look best."""
_HALF, _FULL = 2, 1


class MutualInformation:
    """Mutual information of Mattes et al. 2003 (doi 10.1109/TMI.2003.809072), by SimpleITK.

    Parameters
    ----------
    fixed, moving : Lattice
    centre_mm : (3,) ndarray
        RAS mm of the fixed image; turns and scales are about it.
    backend : Backend
    """

    def __init__(
        self, fixed: Lattice, moving: Lattice, centre_mm: NDArray[np.float64], backend: Backend
    ):
        self._images, self._known = [], []
        for lattice in (fixed, moving):
            values, known = backend.asnumpy(lattice.values), backend.asnumpy(lattice.known)
            self._images.append(scalar_image(values, lattice.grid.affine))
            self._known.append(scalar_image(known.astype(np.uint8), lattice.grid.affine))
        self._centre = centre_mm * LPS

    def search(self, starts: list[NDArray[np.float64]], group: str) -> NDArray[np.float64]:
        """Best map of a group, (4, 4) from RAS mm to RAS mm, near the best of some starts.

        Raises
        ------
        RuntimeError
            SimpleITK finds no overlap.
        """
        rigid = "translation" if group == "translation" else "rigid"
        ordered = sorted(starts, key=lambda start: self._value(start, rigid))[:_TRIED]
        found = [self._minimized(start, rigid, _HALF) for start in ordered]
        matrix, _ = min(found, key=lambda f: f[1])
        return self._minimized(matrix, group, _FULL)[0]

    def _value(self, matrix: NDArray[np.float64], group: str) -> float:
        method = self._method(_HALF)
        method.SetInitialTransform(self._transform(matrix, group))
        try:
            return float(method.MetricEvaluate(*self._images))
        except RuntimeError:  # no overlap
            return np.inf

    def _minimized(
        self, matrix: NDArray[np.float64], group: str, shrink: int
    ) -> tuple[NDArray[np.float64], float]:
        transform, method = self._transform(matrix, group), self._method(shrink)
        method.SetInitialTransform(transform, inPlace=True)
        method.Execute(*self._images)
        return matrix_of(transform), float(method.GetMetricValue())

    def _method(self, shrink: int) -> Any:
        import SimpleITK as sitk

        method = sitk.ImageRegistrationMethod()
        method.SetMetricAsMattesMutualInformation(_BINS)
        method.SetMetricFixedMask(self._known[0])
        method.SetMetricMovingMask(self._known[1])
        # The points are shifted at random, the same way every time.
        method.SetMetricSamplingStrategy(method.REGULAR)
        method.SetMetricSamplingPercentage(_SAMPLED, _SEED)
        method.SetNumberOfThreads(1)
        method.SetInterpolator(sitk.sitkLinear)
        method.SetOptimizerAsRegularStepGradientDescent(
            _FIRST_STEP_MM, _LAST_STEP_MM, _ITERATIONS, relaxationFactor=0.6
        )
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetShrinkFactorsPerLevel([shrink])
        method.SetSmoothingSigmasPerLevel([0.5 * shrink if shrink > 1 else 0])
        method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
        return method

    def _transform(self, matrix: NDArray[np.float64], group: str) -> Any:
        """SimpleITK's transform of a group with the parameters of a matrix."""
        import SimpleITK as sitk

        lps = matrix * np.outer([*LPS, 1.0], [*LPS, 1.0])
        linear, shift = lps[:3, :3], lps[:3, 3]
        if group == "translation":
            return sitk.TranslationTransform(3, shift.tolist())
        made: dict[str, Any] = {
            "rigid": sitk.Euler3DTransform(),
            "similarity": sitk.Similarity3DTransform(),
            "affine": sitk.AffineTransform(3),
        }
        transform = made[group]
        transform.SetCenter(self._centre.tolist())
        transform.SetMatrix(linear.ravel().tolist())
        transform.SetTranslation((linear @ self._centre + shift - self._centre).tolist())
        return transform
