"""MIND-SSC: the modality independent neighbourhood descriptor with self-similarity context.

Twelve channels, one per pair of six-neighbours at squared distance 2: the patch-wise squared
difference of the two neighbours, minus the smallest over the channels, in units of the local mean,
through ``exp(-.)`` (Heinrich et al. 2013, doi 10.1007/978-3-642-40811-3_24).
"""

from __future__ import annotations

import itertools

import numpy as np
from scipy import ndimage

_NEIGHBOURS = ((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1))

PAIRS = tuple(
    (a, b)
    for a, b in itertools.combinations(_NEIGHBOURS, 2)
    if sum((i - j) ** 2 for i, j in zip(a, b, strict=True)) == 2
)
"""Offsets of the two neighbours of each channel."""

ALL = tuple(range(len(PAIRS)))
"""Every channel."""

CLAMP = 1e-3
"""The local mean is kept between this and its inverse, in units of the mean over the image."""


def mind_ssc(image, radius=1, dilation=2, channels=ALL):
    """Features (C, X, Y, Z) float32 of a volume (X, Y, Z); see ``kernels.cpu.mind``."""
    image = image.astype(np.float64)
    padded = np.pad(image, dilation, mode="edge")

    def shifted(offset):
        start = [dilation * (1 + o) for o in offset]
        return padded[tuple(slice(s, s + n) for s, n in zip(start, image.shape, strict=True))]

    size = 2 * radius + 1
    distance = np.stack(
        [
            ndimage.uniform_filter((shifted(a) - shifted(b)) ** 2, size, mode="nearest")
            for a, b in (PAIRS[c] for c in channels)
        ]
    )
    distance -= distance.min(axis=0)
    local = distance.mean(axis=0)
    overall = max(local.mean(), 1e-12)
    local = np.clip(local, CLAMP * overall, overall / CLAMP)
    return np.exp(-distance / local).astype(np.float32)
