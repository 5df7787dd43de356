"""Linear alignment of two images of any contrasts, from far away."""

from __future__ import annotations

import logging
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optreg.affine.correlation_ratio import CorrelationRatio
from optreg.affine.lattice import DARK, Lattice, find_foreground, make_lattice
from optreg.affine.local_correlation import LocalCorrelation
from optreg.affine.moments import align_moments
from optreg.affine.mutual_information import MutualInformation
from optreg.affine.objective import Measure, Objective
from optreg.affine.search import GROUPS, generators, minimize, rotations
from optreg.errors import ConfigError, GeometryError, InputError
from optreg.image import Image
from optreg.kernels import Backend, get_backend
from optreg.transform import Affine

__all__ = ["MODELS", "align"]

_log = logging.getLogger("optreg")

_SITK = "sitk-"
MODELS = ("moments", *GROUPS, *(_SITK + group for group in GROUPS))
"""What `align` can do."""

_ANGLE = 25.0
"""Degrees between the starts: about as far as the search reaches from one."""
_TRIED = 5
"""Starts that are searched from, of those that look best."""
_KEPT = 2
"""Results that go on to the fine lattice."""
_ROUNDS = 2
"""How often the fixed image is brought into the contrast of the moving one."""
_COARSE, _FINE = 10, 15
"""Iterations of a search, at the most."""
_COARSE_TOLERANCE_STEPS, _TOLERANCE_STEPS = 0.02, 0.005
"""A search ends with a step shorter than this, in steps of the fine lattice."""
_SAME_STEPS, _EQUAL_STEPS = 1.0, 0.1
"""Two results that differ by less are one: on the coarse lattice, and before they are refined."""
_SITK_FINER = 2
"""SimpleITK's lattice has steps shorter by this."""
_OVERLAP = 0.05
"""Part of the fixed foreground that must meet the moving one."""

_Found = tuple[NDArray[np.float64], float]


def align(
    fixed: Image | NDArray[Any],
    moving: Image | NDArray[Any],
    *,
    model: str = "affine",
    backend: Backend | None = None,
) -> Affine:
    """Linear map under which two images look most alike; contrasts and grids may differ.

    Rotations of up to about 40 degrees are found, and any translation: centres are matched first.
    The images count with their background, which is 0.

    Parameters
    ----------
    fixed, moving : Image or (X, Y, Z) ndarray
        Of any shape, spacing and orientation; arrays have 1 mm voxels and the same origin.
    model : {"affine", "similarity", "rigid", "translation", "moments"}
        "moments" matches centre and extent of the foregrounds only. "sitk-affine" and so on is
        SimpleITK's search by mutual information: another opinion, where one is wanted.
    backend : Backend, optional
        Device; the CPU by default.

    Returns
    -------
    Affine
        From the fixed to the moving world (RAS mm).

    Raises
    ------
    InputError
        An image without foreground, or what is no image.
    GeometryError
        No start brings the foregrounds together.
    ConfigError
        Unknown model.
    """
    if model not in MODELS:
        raise ConfigError(f"model '{model}' is unknown; use {', '.join(MODELS)}")
    fixed, moving = _image(fixed, "fixed"), _image(moving, "moving")
    if model == "moments":
        return align_moments(fixed, moving)
    backend = backend or get_backend("cpu")
    seen = [find_foreground(i, r, backend) for i, r in ((fixed, "fixed"), (moving, "moving"))]
    group, step_mm = model.removeprefix(_SITK), seen[0].step_mm(fixed.grid)

    def lattices(step_mm: float) -> tuple[Lattice, Lattice]:
        here = make_lattice(fixed, seen[0], step_mm, backend)
        return here, make_lattice(moving, seen[1], step_mm, backend)

    search = _Search(lattices(step_mm), GROUPS[: GROUPS.index(group) + 1], backend)
    if model == group:
        matrix = search.run()
    else:
        finer = lattices(max(step_mm / _SITK_FINER, float(fixed.grid.spacing.min())))
        try:
            matrix = search.run_sitk(*finer, group)
        except RuntimeError as err:
            raise _apart(fixed, moving) from err
    overlap = search.overlap(matrix)
    if not overlap > _OVERLAP:
        raise _apart(fixed, moving)
    _log.info("aligned (%s): overlap %.2f", model, overlap)
    return Affine(matrix @ _map(np.eye(3), -search.centre))


class _Search:
    """From many starts on a coarse lattice to one map on a fine one.

    The correlation ratio finds: it is smooth and has one optimum far and wide. The local
    correlation refines. Maps go from mm around the centre of the fixed image to RAS mm of the
    moving image.

    Parameters
    ----------
    fine : pair of Lattice
        Of both images.
    groups : tuple of str
        Of maps, each contained in the next.
    backend : Backend
    """

    def __init__(self, fine: tuple[Lattice, Lattice], groups: tuple[str, ...], backend: Backend):
        self._fine, self._backend = fine, backend
        self.centre, self._radius = fine[0].centre_and_radius(backend)
        self._step_mm = float(fine[0].grid.spacing[0])
        self._groups = [generators(g, self._radius) for g in groups]
        self._ratio = CorrelationRatio(fine[0], backend)
        self._by_ratio = self._objective(self._ratio, *fine)

    def overlap(self, matrix: NDArray[np.float64]) -> float:
        """Part of the fixed foreground that meets the moving one under a map."""
        met = self._by_ratio.sample(matrix)[0][self._fine[0].bright()]
        return float((met > DARK).mean())

    def run_sitk(self, fixed: Lattice, moving: Lattice, group: str) -> NDArray[np.float64]:
        """Best map of SimpleITK, from the same starts, on finer lattices."""
        to_centre = _map(np.eye(3), -self.centre)
        theirs = MutualInformation(fixed, moving, self.centre, self._backend)
        matrix = theirs.search([start @ to_centre for start in self._starts()], group)
        return matrix @ _map(np.eye(3), self.centre)

    def run(self) -> NDArray[np.float64]:
        """Best map."""
        found: list[NDArray[np.float64]] = []
        for matrix in self._candidates():
            # Free to scale, the correlation ratio may magnify the image in which less differs: the
            # rigid result is refined as well.
            found.append(matrix)
            for directions in self._groups[-2:]:
                matrix, _ = self._minimized(self._by_ratio, matrix, directions)
            found.append(matrix)
        different = self._different(found, _EQUAL_STEPS)
        matrix, value = min((self._refined(m) for m in different), key=lambda f: f[1])
        _log.info("dissimilarity %.3f", value)
        return matrix

    def _candidates(self) -> list[NDArray[np.float64]]:
        """The best different results on the coarse lattice, rigid where that is allowed."""
        fixed, moving = (lattice.halved(self._backend) for lattice in self._fine)
        objective = self._objective(CorrelationRatio(fixed, self._backend), fixed, moving)
        starts = sorted(self._starts(), key=objective.value)[:_TRIED]
        tolerance_mm = _COARSE_TOLERANCE_STEPS * self._step_mm
        rigid = self._groups[:2][-1]
        found = [minimize(objective, s, rigid, _COARSE, tolerance_mm) for s in starts]
        ordered = [matrix for matrix, _ in sorted(found, key=lambda f: f[1])]
        return self._different(ordered, _SAME_STEPS)[:_KEPT]

    def _refined(self, matrix: NDArray[np.float64]) -> _Found:
        """Best map by the local correlation near another."""
        value = np.inf
        for _ in range(_ROUNDS):
            alike = self._ratio.in_moving_contrast(*self._by_ratio.sample(matrix))
            local = LocalCorrelation(alike, self._fine[0].known, self._backend)
            objective = self._objective(local, *self._fine)
            matrix, value = self._minimized(objective, matrix, self._groups[-1])
        return matrix, value

    def _minimized(
        self, objective: Objective, matrix: NDArray[np.float64], directions: NDArray[np.float64]
    ) -> _Found:
        return minimize(objective, matrix, directions, _FINE, _TOLERANCE_STEPS * self._step_mm)

    def _different(
        self, found: list[NDArray[np.float64]], steps: float
    ) -> list[NDArray[np.float64]]:
        """Maps that move no point at the radius like an earlier one, by so many steps."""
        kept: list[NDArray[np.float64]] = []
        reach = np.diag([self._radius, self._radius, self._radius, 1.0])
        for matrix in found:
            apart_mm = (np.abs((matrix - other) @ reach).max() for other in kept)
            if all(mm > steps * self._step_mm for mm in apart_mm):
                kept.append(matrix)
        return kept

    def _starts(self) -> list[NDArray[np.float64]]:
        """The worlds as they are, and the centres on each other with every rotation."""
        there, _ = self._fine[1].centre_and_radius(self._backend)
        turns = rotations(_ANGLE) if len(self._groups) > 1 else [np.eye(3)]
        return [_map(np.eye(3), self.centre), *(_map(turn, there) for turn in turns)]

    def _objective(self, measure: Measure, fixed: Lattice, moving: Lattice) -> Objective:
        return Objective(measure, fixed, moving, self.centre, self._backend)


def _image(source: Any, role: str) -> Image:
    """Image, or that of an array; files are read elsewhere."""
    if isinstance(source, (str, os.PathLike)):
        raise InputError(f"{role}: {source} is a path; give optreg.io.load_image(path)")
    return source if isinstance(source, Image) else Image.from_array(source, role)


def _apart(fixed: Image, moving: Image) -> GeometryError:
    return GeometryError(
        f"{moving.name or 'moving'}: cannot be brought to overlap with "
        f"{fixed.name or 'fixed'}; check that both show the same object, or give a start"
    )


def _map(linear: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, shift
    return matrix
