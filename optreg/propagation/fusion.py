"""Several label maps of one image made into one, by votes in every voxel.

Votes are whole numbers, so their sums are exact: the result does not depend on the order of the
maps, and a tie is a tie.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optreg import kernels
from optreg.errors import ConfigError, InputError

__all__ = [
    "OWN_FACTOR",
    "POWER",
    "RADIUS_VOX",
    "Fused",
    "check_weighting",
    "fuse",
    "similarity_weights",
]

RADIUS_VOX, POWER = 2, 1.0
"""Defaults of `similarity_weights`."""
OWN_FACTOR = 3
"""`fuse` with such weights: they differ from voxel to voxel by chance, neighbours even that out."""

_FACES = ((-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, -1), (0, 0, 1))
_FULL = np.iinfo(np.uint16).max
_SMALLEST_VARIANCE = 1e-5
"""Share of the image's variance below which a neighbourhood counts as flat."""

_SLAB_VOXELS = 1 << 17
"""Voxels that are voted on together: what a vote needs beside its input stays small."""


class Fused(NamedTuple):
    """Result of a vote.

    Attributes
    ----------
    labels : (X, Y, Z) integer ndarray
        The winners; a type that holds those of all maps.
    agreement : (X, Y, Z) float32 ndarray
        Share of all votes that the winner has, 0 to 1.
    """

    labels: NDArray[Any]
    agreement: NDArray[np.float32]


def fuse(
    maps: Sequence[NDArray[Any]],
    weights: Sequence[NDArray[np.uint16]] | None = None,
    own_factor: int | None = None,
) -> Fused:
    """Label with the most votes in every voxel.

    Each map has one vote in each voxel, or as many as its weight there. The votes in the six
    voxels that share a face count as well, less or only where there is a tie: labels are connected,
    so what is voted for around a voxel says something about it. Of labels that are equal even then
    the smallest number wins. A label that no map has in a voxel cannot win there.

    No volume is made for a label: beside the input and the result there are never more than about
    a hundred bytes a map for each of 2^17 voxels.

    Parameters
    ----------
    maps : sequence of (X, Y, Z) integer ndarray
        One at least.
    weights : sequence of (X, Y, Z) uint16 ndarray, optional
        Votes of each map.
    own_factor : int, optional
        How many times as much as in each of the six neighbours (the edge repeated) a vote counts in
        its own voxel. None lets the neighbours decide between equal votes only.

    Raises
    ------
    InputError
        No map, shapes that differ, or another number of weights than of maps.
    """
    shape = _common_shape(maps, weights)
    flat = [np.ascontiguousarray(m).reshape(-1) for m in maps]
    one = np.broadcast_to(np.uint16(1), flat[0].shape)
    votes = [one] * len(flat) if weights is None else [w.reshape(-1) for w in weights]
    ballot = _Ballot(flat, votes, shape, own_factor)
    labels = np.empty(flat[0].shape, np.result_type(*flat))
    agreement = np.ones(flat[0].shape, np.float32)
    for start in range(0, labels.size, _SLAB_VOXELS):
        part = slice(start, start + _SLAB_VOXELS)
        labels[part] = flat[0][part]
        mixed = np.zeros(labels[part].shape, bool)
        for other in flat[1:]:
            mixed |= other[part] != labels[part]
        # Where all maps agree, which is in most voxels, there is nothing to count.
        index = start + np.flatnonzero(mixed)
        labels[index], agreement[index] = ballot.elect(index)
    return Fused(labels.reshape(shape), agreement.reshape(shape))


def check_weighting(radius_vox: int, power: float) -> None:
    """Raise the ConfigError of `similarity_weights`."""
    if radius_vox < 1 or not power >= 0:
        raise ConfigError(f"radius {radius_vox} and power {power}: at least 1 and 0 are needed")


def similarity_weights(
    target: NDArray[Any],
    warped: NDArray[Any],
    *,
    radius_vox: int = RADIUS_VOX,
    power: float = POWER,
) -> NDArray[np.uint16]:
    """Votes of an atlas in every voxel, from how much its image looks like the target there.

    A power of the squared correlation of the intensities in a cube around the voxel, which is the
    same for images of two contrasts, from 1 where they have nothing in common (or one is flat) to
    65535 where they fit exactly. Never 0: where no atlas fits, all have equal votes.

    Parameters
    ----------
    target, warped : (X, Y, Z) ndarray
        Intensities; of the atlas, on the grid of the target.
    radius_vox : int
        The cube has an edge of ``2 * radius_vox + 1`` voxels.
    power : float
        0 gives all the same votes; the larger, the more the most similar atlas decides alone.

    Raises
    ------
    ConfigError
        A radius below 1, or a power below 0.
    InputError
        Shapes that differ.

    References
    ----------
    Artaechevarria, Munoz-Barrutia and Ortiz-de-Solorzano 2009, doi 10.1109/TMI.2009.2014372: the
    power of a local similarity as weight of a vote.
    """
    check_weighting(radius_vox, power)
    if np.shape(target) != np.shape(warped):
        raise InputError(f"atlas of shape {np.shape(warped)}, target of {np.shape(target)}")
    a, b = _standardized(target), _standardized(warped)
    mean = kernels.get_backend("cpu").kernels.box_filter
    mean_a, mean_b = mean(a, radius_vox), mean(b, radius_vox)
    covariance = mean(a * b, radius_vox) - mean_a * mean_b
    variance_a = mean(a * a, radius_vox) - mean_a**2
    variance_b = mean(b * b, radius_vox) - mean_b**2
    says = (variance_a > _SMALLEST_VARIANCE) & (variance_b > _SMALLEST_VARIANCE)
    squared = np.zeros_like(a)
    np.divide(covariance**2, variance_a * variance_b, out=squared, where=says)
    np.power(squared.clip(0, 1, out=squared), np.float32(power), out=squared)
    return np.rint(1 + (_FULL - 1) * squared).astype(np.uint16)


def _common_shape(
    maps: Sequence[NDArray[Any]], weights: Sequence[NDArray[np.uint16]] | None
) -> tuple[int, ...]:
    if not maps:
        raise InputError("no label maps; at least one is needed")
    if weights is not None and len(weights) != len(maps):
        raise InputError(f"{len(weights)} weights for {len(maps)} label maps; give one for each")
    if any(np.asarray(m).dtype.kind not in "iu" for m in maps):
        raise InputError("label maps of real numbers; labels are integers")
    shapes = sorted({np.shape(volume) for volume in (*maps, *(weights or ()))})
    if len(shapes) > 1:
        raise InputError(f"label maps and weights of shapes {shapes}; one grid is needed")
    return shapes[0]


def _standardized(image: NDArray[Any]) -> NDArray[np.float32]:
    """The image with mean 0 and variance 1: in float32 its products then keep their digits."""
    values = np.asarray(image, np.float32)
    scale = float(values.std(dtype=np.float64)) or 1.0
    return (values - np.float32(values.mean(dtype=np.float64))) / np.float32(scale)


class _Ballot:
    """Maps and their votes, flat, and how they are counted."""

    def __init__(
        self,
        maps: list[NDArray[Any]],
        votes: list[NDArray[np.uint16]],
        shape: tuple[int, ...],
        own_factor: int | None,
    ):
        self._maps, self._votes, self._shape = maps, votes, shape
        # More than this the neighbours cannot add to a label.
        self._most_around = len(_FACES) * sum(int(v.max(initial=0)) for v in votes)
        self._own_factor = self._most_around + 1 if own_factor is None else own_factor

    def elect(self, index: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Winners in some voxels, and their shares of the votes there."""
        candidates, own = (
            np.stack([v[index] for v in volumes]) for volumes in (self._maps, self._votes)
        )
        own = own.astype(np.int64)
        counts = np.stack([np.where(candidates == c, own, 0).sum(axis=0) for c in candidates])
        scores = self._own_factor * counts
        rivals = scores + self._most_around >= scores.max(axis=0)
        # Voxels with one rival alone are decided: nobody else can reach it.
        leader = np.take_along_axis(candidates, scores.argmax(axis=0)[None], axis=0)
        rivals &= (rivals & (candidates != leader)).any(axis=0)
        for number, labels in enumerate(candidates):
            # Each label once, for the first map that has it; for the others it stays behind.
            ask = rivals[number] & (candidates[:number] != labels).all(axis=0)
            scores[number, ask] += self._around(labels[ask], index[ask])
        place, best = np.zeros((1, len(index)), np.int64), scores[0].copy()
        winners = candidates[0].copy()
        for number, (labels, score) in enumerate(zip(candidates, scores, strict=True)):
            better = (score > best) | ((score == best) & (labels < winners))
            winners[better], best[better], place[0, better] = labels[better], score[better], number
        most = np.take_along_axis(counts, place, axis=0)[0]
        return winners, (most / np.maximum(own.sum(axis=0), 1)).astype(np.float32)

    def _around(self, labels: NDArray[Any], index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Votes for a label in the six voxels around each voxel."""
        position = np.unravel_index(index, self._shape)
        sums = np.zeros(labels.shape, np.int64)
        for offset in _FACES:
            moved = tuple(p + o for p, o in zip(position, offset, strict=True))
            near = np.ravel_multi_index(moved, self._shape, mode="clip")
            for volume, share in zip(self._maps, self._votes, strict=True):
                sums += np.where(labels == volume[near], share[near], 0)
        return sums
