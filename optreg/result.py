"""What a registration returns, and how it is kept."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from optreg.config import RegistrationConfig
from optreg.finish import unfolded_inverse
from optreg.image import Image
from optreg.intensities import find_intensities, foreground
from optreg.kernels import Backend
from optreg.transform import Affine, DisplacementField
from optreg.transform.sampling import outside

if TYPE_CHECKING:
    import os

__all__ = ["Registration", "Status"]


class Status(Enum):
    """How a registration ended; the value is the sentence for a person."""

    CONVERGED = "all levels were optimized"
    DIVERGED = "a level diverged; the result of the level before it is kept"


@dataclass(frozen=True, eq=False)
class Registration:
    """Displacement, inverse and the story of a registration.

    Attributes
    ----------
    disp : (3, X, Y, Z) float32 ndarray
        ``warped(x) = moving(x + disp(x))``, in voxels of the fixed grid.
    inverse : (3, X, Y, Z) float32 ndarray
        ``fixed(y + inverse(y))`` looks like ``moving(y)``; also on the fixed grid.
    fixed, moving : Image
        As given.
    status : Status
        How it ended.
    history : list of dict
        One entry per iteration: stage, level (down-sampling factor), iteration, loss.
    config : RegistrationConfig
        All parameters.
    similarity : str
        "lncc", "tissue" or "mind": what "auto" chose.
    quality : dict of str to float
        Folding, regularity and inverse consistency of the exported fields; "similarity_before" and
        "similarity_after" are those of the first and the last iteration at the finest level, where
        it has more than one: not those of the images before registration and of `warped`.
    device : str
        What did the work: "cpu", "cuda:0", ...
    timings : dict of str to float
        Seconds per stage and in total; the first time on a machine, also those of "compile".
    affine : Affine or None
        Linear map from the fixed to the moving world that the registration started from, found or
        given; `disp` contains it. None where there was none.
    """

    disp: NDArray[np.float32]
    inverse: NDArray[np.float32]
    fixed: Image
    moving: Image
    status: Status
    history: list[dict[str, Any]]
    config: RegistrationConfig
    similarity: str
    quality: dict[str, float]
    device: str = "cpu"
    timings: dict[str, float] = field(default_factory=dict)
    affine: Affine | None = None

    @classmethod
    def assemble(
        cls,
        fixed: Image,
        moving: Image,
        fields: tuple[Any, Any],
        status: Status,
        history: list[dict[str, Any]],
        config: RegistrationConfig,
        similarity: str,
        repaired_voxels: int,
        backend: Backend,
    ) -> Registration:
        """Result of the final fields (on the device), with the quality measured on them."""
        mask = foreground(backend.asarray(fixed.data), backend.xp)
        quality = _quality(*fields, mask, backend)
        quality["repaired_voxels"] = float(repaired_voxels)
        # Values of different resolutions cannot be compared, so both are of the finest.
        losses = [h["loss"] for h in history if h["level"] == history[-1]["level"]]
        if len(losses) > 1:  # of a single one they would be equal and say that nothing was gained
            quality["similarity_before"] = -losses[0]
            quality["similarity_after"] = -losses[-1]
        disp, inverse = (backend.asnumpy(f) for f in fields)
        return cls(
            disp,
            inverse,
            fixed,
            moving,
            status,
            history,
            config,
            similarity,
            quality,
            backend.name,
        )

    def __repr__(self) -> str:
        """What was registered and how it ended; not the arrays."""
        images = ", ".join(
            f"{role}={image.name!r} {image.shape}"
            for role, image in (("fixed", self.fixed), ("moving", self.moving))
        )
        how = f"similarity={self.similarity!r}, device={self.device!r}, status={self.status.name}"
        return f"Registration({images}, {how})"

    @cached_property
    def transform(self) -> DisplacementField:
        """From the fixed to the moving image: warps moving images, carries fixed points."""
        return DisplacementField(self.disp, self.fixed.grid, self.moving.grid)

    @cached_property
    def inverse_transform(self) -> DisplacementField:
        """From the moving to the fixed image: warps fixed images, carries moving points.

        It is on the grid of the moving image; where that is the grid of the fixed one, `inverse`.
        """
        if self.moving.grid.same_as(self.fixed.grid):
            return DisplacementField(self.inverse, self.moving.grid, self.fixed.grid)
        return unfolded_inverse(self.transform, self.moving.grid, self.config)

    @cached_property
    def warped(self) -> NDArray[np.float32]:
        """(X, Y, Z) the moving image on the fixed grid, in its own intensities."""
        background = find_intensities(self.moving.data, sparse=True).base
        return self.transform.apply(self.moving, "linear", fill=background).data

    def _affine_summary(self) -> dict[str, Any]:
        assert self.affine is not None
        parts = self.affine.parts(self.fixed.grid.center_mm)
        return {"matrix": self.affine.matrix.tolist(), **parts._asdict()}

    def save(
        self,
        folder: str | os.PathLike[str],
        overwrite: bool = False,
        outputs: Collection[str] = ("inverse", "warped"),
    ) -> None:
        """Write fields, warped image, configuration and a summary.

        ``disp.nii.gz`` (from the fixed to the moving image) and ``inverse.nii.gz`` (back, on the
        grid of the moving image), both in challenge format, ``warped.nii.gz``, where there is a
        linear map ``affine.tfm`` (ITK, ANTs, 3D Slicer) and ``affine_flirt.mat`` (FSL),
        ``config.toml`` and ``result.json``, which comes last: where it is, the rest is complete.

        Parameters
        ----------
        folder : path
        overwrite : bool
            Whether existing files may be replaced.
        outputs : collection of str
            Without "inverse" or "warped", that file is left out.

        Raises
        ------
        OutputError
            The folder cannot be written, or holds a result and `overwrite` is False.
        """
        from optreg import __version__
        from optreg.io import save_image, write_field, write_transform
        from optreg.io.files import make_folder, write_atomic

        target = make_folder(folder)
        summary = {
            "optreg": __version__,
            "status": self.status.name.lower(),
            "message": self.status.value,
            "similarity": self.similarity,
            "device": self.device,
            "fixed": self.fixed.name,
            "moving": self.moving.name,
            "quality": self.quality,
            "affine": self.affine and self._affine_summary(),
            "timings_s": self.timings,
            "config": self.config.to_dict(),
            "history": self.history,
        }
        write_field(target / "disp.nii.gz", self.transform, None, overwrite=overwrite)
        if "inverse" in outputs:
            back = self.inverse_transform
            write_field(target / "inverse.nii.gz", back, None, overwrite=overwrite)
        if "warped" in outputs:
            grid = self.fixed.grid
            save_image(target / "warped.nii.gz", self.warped, grid, overwrite=overwrite)
        if self.affine is not None:
            grids = self.fixed.grid, self.moving.grid
            for name, format in (("affine.tfm", "itk"), ("affine_flirt.mat", "flirt")):
                path = target / name
                write_transform(path, self.affine, *grids, format=format, overwrite=overwrite)
        for name, text in (
            ("config.toml", self.config.to_toml()),
            ("result.json", json.dumps(summary, indent=1)),
        ):
            write_atomic(target / name, [text.encode()], overwrite)


def _quality(disp: Any, inverse: Any, mask: Any, backend: Backend) -> dict[str, float]:
    """Folding and regularity in the whole grid and in the foreground of the fixed image.

    Definitions are those of `optreg.metrics`, which works on the CPU.
    """
    xp, k = backend.xp, backend.kernels
    ndv, folded = _folding(disp, k)
    interior = xp.zeros(mask.shape, bool)
    interior[1:-1, 1:-1, 1:-1] = mask[1:-1, 1:-1, 1:-1]
    determinant = k.jacobian_determinant(disp).take(xp.flatnonzero(interior))
    log_j = xp.log(xp.maximum(determinant, 1e-9)) if determinant.size else xp.zeros(1)
    inside = xp.flatnonzero(mask)
    back = k.compose(inverse, disp).reshape(3, -1)
    # What leaves the grid has no inverse on it.
    inside = inside[~outside(disp, disp.shape[1:], xp).reshape(-1).take(inside)]
    back = back.take(inside, axis=1)
    error = xp.sqrt(xp.square(back).sum(axis=0)) if inside.size else xp.zeros(1)
    return {
        "ndv_percent": ndv,
        "folded_voxels": folded,
        "inverse_folded_voxels": _folding(inverse, k)[1],
        "sdlogj": float(log_j.std()),
        "inverse_consistency_mean_vox": float(error.mean()),
        "inverse_consistency_p99_vox": float(xp.percentile(error, 99)),
    }


def _folding(disp: Any, k: Any) -> tuple[float, float]:
    """Non-diffeomorphic volume in percent and number of folded voxels."""
    if k.minimum_determinant(disp)[1:-1, 1:-1, 1:-1].min() > 0:  # half the time of the sums
        return 0.0, 0.0
    sums = k.folding_sums(disp)
    return 100.0 * sums.negative_volume / max(sums.mask_voxels, 1), float(sums.folded_voxels)
