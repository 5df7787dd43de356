"""Removal of folds from a field and its inverse: smooth where, and only where, one of them folds.

A fold of the inverse on its grid comes from strong compression in the forward field. It is undone
there, and the inverse is computed again around it: so both stay free of folds *and* each other's
inverse. Smoothing the inverse by itself would take many more voxels and break the bond.
"""

from __future__ import annotations

import logging
from typing import Any

from optreg.config import RepairConfig
from optreg.kernels import Backend
from optreg.transform.sampling import outside

__all__ = ["repair_folds", "repair_pair", "tighten_inverse"]

_log = logging.getLogger("optreg")
_PATIENCE = 2
"""Rounds without progress after which a wider neighbourhood is smoothed."""
_WIDEST = 8
"""Voxels around a fold that are smoothed at most."""


def _threshold(config: RepairConfig, volume: float) -> float:
    """Smallest determinant of a field whose linear part changes volumes by a factor `volume`.

    Where a field makes everything so small that this is most of the change, a small determinant
    is no sign of a fold. Up to a half, nothing is different.
    """
    return config.threshold * min(1.0, 2 * volume)


def _folded(disp: Any, threshold: float, backend: Backend, where: Any = None) -> Any:
    """Flat indices of voxels with a determinant that is too small: of all, or around `where`."""
    xp, k, shape = backend.xp, backend.kernels, disp.shape[1:]
    if where is None:
        return xp.flatnonzero(k.minimum_determinant(disp) <= threshold)
    around = k.spread([where], shape)
    return around[k.minimum_determinant_at(disp, around) <= threshold]


class _Widening:
    """How far around the folds to smooth: further when their number stops falling.

    Widening at once would push folds ahead of the rim instead of dissolving them.
    """

    def __init__(self) -> None:
        self._width, self._fewest, self._since = 1, 0, 0

    def marked(self, bad: Any, shape: Any, backend: Backend) -> Any:
        if not self._fewest or len(bad) < self._fewest:
            self._fewest, self._since = len(bad), 0
        else:
            self._since += 1
            if self._since == _PATIENCE:
                self._width, self._since = min(self._width + 1, _WIDEST), 0
        return backend.kernels.spread([bad], shape, corners=False, rounds=self._width)


def repair_pair(
    forward: Any, inverse: Any, config: RepairConfig, backend: Backend, volume: float = 1.0
) -> int:
    """Free a displacement and its inverse of folds, in place, keeping them inverse to each other.

    Voxels that come back far from where they started are smoothed first: there, the inverse bends
    too much for its grid.

    Parameters
    ----------
    forward, inverse : (3, X, Y, Z) float32 array
        Displacements in voxels, exactly as they will be exported.
    volume : float
        How many times as large the linear part of `forward` makes a volume, as far as it was
        given: what is that small then does not fold.

    Returns
    -------
    int
        Number of voxels whose forward displacement changed.
    """
    xp, k, shape = backend.xp, backend.kernels, forward.shape[1:]
    least, least_back = _threshold(config, volume), _threshold(config, 1 / volume)
    changed, widening = xp.zeros(forward[0].size, bool), _Widening()
    if config.largest_error_vox > 0:
        square = xp.square(k.compose(inverse, forward)).sum(axis=0)
        square[outside(forward, shape, xp)] = 0  # where no grid has an inverse
        rough = xp.flatnonzero(square > config.largest_error_vox**2)
        changed[rough] = True
        landed = _smooth(forward, rough, backend)
        k.invert_at(forward, k.spread(landed, shape), inverse)
    bad = _folded(forward, least, backend)
    bad_back = _folded(inverse, least_back, backend)
    for _ in range(config.max_rounds):
        if len(bad) + len(bad_back) == 0:
            break
        bad = k.spread([bad, k.landing(inverse, bad_back)], shape, rounds=0)
        marked = widening.marked(bad, shape, backend)
        changed[marked] = True
        landed = _smooth(forward, marked, backend)
        # The guesses at folds may be worthless: start from what is around them.
        k.smooth_marked(inverse, bad_back)
        touched = k.spread([*landed, bad_back], shape)
        k.invert_at(forward, touched, inverse)
        bad = _folded(forward, least, backend, marked)
        bad_back = _folded(inverse, least_back, backend, touched)
    if len(bad) + len(bad_back):
        # No common solution within the rounds: no fold matters more than a close inverse.
        left = (
            repair_folds(forward, config, backend, volume),
            repair_folds(inverse, config, backend, 1 / volume),
        )
        _log.info("folds repaired field by field: %d and %d voxels", *left)
    return int(changed.sum())


def _smooth(forward: Any, marked: Any, backend: Backend) -> list[Any]:
    """Smooth some voxels; where they landed before and after: the inverse has changed around it."""
    k = backend.kernels
    before = k.landing(forward, marked)
    k.smooth_marked(forward, marked)
    return [before, k.landing(forward, marked)]


def tighten_inverse(
    forward: Any, inverse: Any, config: RepairConfig, backend: Backend, volume: float = 1.0
) -> None:
    """Make ``inverse(forward(x))`` come closer to x, in place, without a fold.

    Newton's method makes the inverse exact at its own voxels; between them interpolation errs
    where the inverse bends. The error at the voxels of the fixed image, carried to those of the
    inverse, is subtracted once (a step of the iteration for the least-squares inverse); where
    that would fold, less of it, or nothing. For `volume` see `repair_pair`.
    """
    k, shape = backend.kernels, forward.shape[1:]
    least = _threshold(config, 1 / volume)
    tight = inverse - k.warp(k.compose(inverse, forward), inverse)
    near, far = tight.reshape(3, -1), inverse.reshape(3, -1)
    bad = _folded(tight, least, backend)
    for share in (0.5, 0.5, 0.5):
        marked = k.spread([bad], shape, corners=False)
        near[:, marked] = far[:, marked] + share * (near[:, marked] - far[:, marked])
        bad = _folded(tight, least, backend, marked)
    while len(bad):
        # Where all is taken back already, the fold is due to a neighbour further on.
        bad = k.spread([bad], shape)
        near[:, bad] = far[:, bad]
        bad = _folded(tight, least, backend, bad)
    inverse[...] = tight


def repair_folds(disp: Any, config: RepairConfig, backend: Backend, volume: float = 1.0) -> int:
    """Make all ten finite-difference determinants exceed the threshold, in place.

    Voxels with a determinant below the threshold and their neighbours are averaged with what is
    around them until none is left; only the surroundings of changed voxels are looked at again.
    Smoothing drives a field towards a locally constant displacement, whose determinants are one,
    so this ends; should the local rounds run out, the whole field is smoothed ever wider.

    Parameters
    ----------
    disp : (3, X, Y, Z) float32 array
        Displacement in voxels, exactly as it will be exported.
    volume : float
        How many times as large its linear part makes a volume, as far as it was given.

    Returns
    -------
    int
        Number of voxels whose displacement changed.
    """
    xp, k, shape = backend.xp, backend.kernels, disp.shape[1:]
    changed, widening = xp.zeros(disp[0].size, bool), _Widening()
    least = _threshold(config, volume)
    bad = _folded(disp, least, backend)
    for _ in range(config.max_rounds):
        if len(bad) == 0:
            return int(changed.sum())
        marked = widening.marked(bad, shape, backend)
        changed[marked] = True
        k.smooth_marked(disp, marked)
        bad = _folded(disp, least, backend, marked)
    sigma = 0.5
    while bool((k.minimum_determinant(disp) <= least).any()):
        _log.warning("folds left after the local rounds; the whole field is smoothed")
        k.gaussian_filter(disp, sigma, disp)
        sigma *= 1.5
        changed[:] = True
    return int(changed.sum())
