"""One resolution of the refinement: its work space and its iteration."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from optreg.config import ContinuousConfig
from optreg.continuous.region import Region
from optreg.continuous.similarity import Objective, Terms
from optreg.kernels import Backend

__all__ = ["Level"]


class Level:
    """Advances one or two half fields on one level; volumes are allocated once.

    Nothing of an iteration is known to the host: it waits for no number of the device, and what
    changes from one to the next is kept there. So a device may record one and play it again.

    Parameters
    ----------
    level : int
        Which entry of the tuples of the configuration.
    volumes : pair of (C, X, Y, Z) float32 array
        Features of the fixed and of the moving image.
    fields : tuple of (3, X, Y, Z) float32 array
        Displacements in voxels, changed in place: half fields (fixed, moving), or one field of the
        moving image.
    terms : Terms
        What is maximized.
    regions : pair of Region or None
        How much the voxels of either image count.
    still_axes : tuple of int
        Array axes along which nothing is displaced.

    Attributes
    ----------
    values : (iterations,) float64 array
        The similarity before each step that has been taken.
    """

    def __init__(
        self,
        level: int,
        volumes: tuple[Any, Any],
        fields: tuple[Any, ...],
        terms: Terms,
        config: ContinuousConfig,
        backend: Backend,
        regions: tuple[Region | None, Region | None],
        still_axes: tuple[int, ...],
    ):
        xp = backend.xp
        self._k, self._config, self._level = backend.kernels, config, level
        self._objective = Objective(*volumes, terms, level, config, backend, regions)
        self._fields, self._still = fields, still_axes
        shape = volumes[0].shape[1:]
        self._force = xp.empty((3, *shape), xp.float32)
        self._spare = xp.empty((3, *shape), xp.float32)
        self._work = xp.empty(shape, xp.float32)
        self.values = xp.zeros(config.iterations[level], xp.float64)
        self._steps, self._state = xp.zeros(3, xp.float32), xp.zeros(3, xp.float64)
        # The root mean square of forces is over all voxels; where some do not count, it is less.
        self._tau = config.step_tau
        for region in regions:
            if region is not None:
                weights = region.at(None).astype(xp.float64)
                # On coarse levels nothing may be left of a small mask.
                share = weights.mean() / xp.maximum(xp.sqrt((weights**2).mean()), 1e-30)
                self._tau /= max(float(share), 1e-3)
        self._repeated, self._structured = backend.repeated, terms.structure_iterations

    def run(self) -> Iterator[None]:
        """All iterations, one at a time."""
        # Not attributes: what refers to itself keeps the memory of the device for longer.
        plain, structured = (
            self._repeated(partial(self._iterate, term), self._work.size) for term in (False, True)
        )
        for left in reversed(range(len(self.values))):
            (structured if left < self._structured else plain)()
            yield

    def _iterate(self, structured: bool) -> None:
        k, c, i, force = self._k, self._config, self._level, self._force
        value = self._objective(self._fields, force, structured)
        k.gaussian_filter(force, c.force_sigma_vox[i], force, self._work)
        self._stop(force)
        # In units of its own r.m.s. the step does not depend on how the similarity is scaled.
        norm, course = k.root_mean_square(force), (c.step_vox[i], c.step_decay[i])
        progress = self._state, self.values, self._steps
        k.next_step(value, norm, *course, self._tau, c.step_floor, *progress)
        there, back, tau = self._steps
        # Opposite steps: separate forces would let both halves drift the same way, which changes
        # nothing between the images but bends the midpoint until it cannot be inverted.
        for field, step in zip(self._fields[::-1], (there, back)):  # noqa: B905 - one or two
            k.compose_step(force, step, tau, field, self._spare)
            if c.volume_weight[i]:
                # Before the Gaussian: central differences are blind to the shortest waves, which
                # this may leave behind and the Gaussian takes away.
                k.relax_volume(self._spare, c.volume_weight[i], self._work)
                self._stop(self._spare)
            k.gaussian_filter(self._spare, c.field_sigma_vox[i], field, self._work)

    def _stop(self, field: Any) -> None:
        for axis in self._still:
            field[axis] = 0
