"""Coupled convex optimization of a displacement over a discrete window.

Search and smoothness are decoupled: an auxiliary smooth field pulls the per-voxel minimum of the
cost towards it, ever more strongly (Heinrich et al. 2014, doi 10.1007/978-3-319-10404-1_34;
Siebert et al. 2024, doi 10.1109/TMI.2024.3462248). It is solved in both directions and the two are
made consistent.
"""

from __future__ import annotations

from typing import Any

from optreg.config import DiscreteConfig
from optreg.kernels import Backend

__all__ = ["make_consistent", "solve_discrete"]

_CONSISTENCY_ROUNDS = 10


def _one_way(fixed: Any, moving: Any, config: DiscreteConfig, backend: Backend) -> Any:
    """Smooth displacement (3, x, y, z) in grid steps from one feature volume to the other."""
    k, xp = backend.kernels, backend.xp
    cost = k.cost_volume(fixed, moving, config.radius)
    smooth = xp.zeros((3, *fixed.shape[1:]), xp.float32)
    for coupling in config.couplings:
        smooth = k.gaussian_filter(k.convex_step(cost, smooth, coupling), 1.0)
    return smooth


def make_consistent(forward: Any, backward: Any, backend: Backend) -> tuple[Any, Any]:
    """Two fields that are closer to being inverse to each other.

    Each is averaged with the negative of the other at the place it points to, repeatedly.
    """
    k = backend.kernels
    for _ in range(_CONSISTENCY_ROUNDS):
        forward, backward = (
            # compose(b, f) = f + b(x + f), so f - compose / 2 is the mean of f and -b(x + f).
            forward - 0.5 * k.compose(backward, forward),
            backward - 0.5 * k.compose(forward, backward),
        )
    return forward, backward


def solve_discrete(
    fixed: Any, moving: Any, backend: Backend, config: DiscreteConfig
) -> tuple[Any, Any]:
    """Coarse displacement of a pair of volumes and its inverse.

    Parameters
    ----------
    fixed, moving : (X, Y, Z) float32 array
        Sizes divisible by ``config.grid_vox``.

    Returns
    -------
    forward, backward : (3, X, Y, Z) float32 array
        Voxels; ``moving(x + forward(x))`` looks like ``fixed(x)``.
    """
    k = backend.kernels
    halvings = config.grid_vox.bit_length() - 1
    pooled = []
    for volume in (fixed, moving):
        features = k.mind_ssc(volume, config.mind_radius, config.mind_dilation)
        for _ in range(halvings):
            features = k.downsample(features)
        pooled.append(features)
    there, _back = make_consistent(
        _one_way(pooled[0], pooled[1], config, backend),
        _one_way(pooled[1], pooled[0], config, backend),
        backend,
    )
    forward = k.gaussian_filter(there, 1.0)
    for _ in range(halvings):
        forward = k.upsample(forward, 2.0)
    return forward, k.invert(forward)
