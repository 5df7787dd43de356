"""Jacobian determinants of ``x + disp(x)`` by finite differences."""

from __future__ import annotations

from optreg.kernels.reference.jacobian import FoldingSums

__all__ = [
    "folding_sums",
    "jacobian_determinant",
    "jacobian_determinants",
    "minimum_determinant",
    "minimum_determinant_at",
]


def jacobian_determinant(engine, disp, out=None):
    """Central-difference determinant (X, Y, Z); see ``kernels.reference.jacobian``."""
    return _volume(engine, "jacobian_determinant", disp, out)


def minimum_determinant(engine, disp, out=None):
    """Smallest of the ten determinants (X, Y, Z); see ``kernels.reference.jacobian``."""
    return _volume(engine, "minimum_determinant", disp, out)


def _volume(engine, name, disp, out):
    out = engine.empty(disp.shape[1:]) if out is None else out
    engine.launch(name, disp[0].size, disp, *disp.shape[1:], out)
    return out


def jacobian_determinants(engine, disp):
    """All ten determinants (10, X, Y, Z); see ``kernels.reference.jacobian``."""
    out = engine.empty((10, *disp.shape[1:]))
    engine.launch("jacobian_determinants", disp[0].size, disp, *disp.shape[1:], out)
    return out


def minimum_determinant_at(engine, disp, marked):
    """`minimum_determinant` at some voxels (N,), float64; see ``kernels.cpu.unfold``."""
    out, count, shape = engine.empty(marked.shape, "float64"), len(marked), disp.shape[1:]
    engine.launch("minimum_determinant_at", count, disp, marked, count, *shape, out)
    return out


def folding_sums(engine, disp, mask=None):
    """``FoldingSums`` over a mask; see ``kernels.reference.jacobian``."""
    xp, shape = engine.xp, disp.shape[1:]
    counted = xp.ones(shape, xp.uint8) if mask is None else (mask != 0).astype(xp.uint8)
    volume = engine.empty(shape, xp.float64)
    tetrahedra, central = engine.empty(shape, xp.uint8), engine.empty(shape, xp.uint8)
    engine.launch(
        "folding", volume.size, disp, counted, *shape, volume, tetrahedra, central
    )  # fmt: skip
    return FoldingSums(
        int(counted[1:-1, 1:-1, 1:-1].sum()),
        float(volume.sum()) / 12.0,
        int(tetrahedra.sum()),
        int((tetrahedra > 0).sum()),
        int(central.sum()),
    )
