"""What a propagation of labels returns, and how it is kept."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import optreg
from optreg.config import RegistrationConfig
from optreg.image import Image

if TYPE_CHECKING:
    import os

__all__ = ["LabelFusion", "LabelVolume"]


class LabelVolume(NamedTuple):
    """Size of a label, and the mean agreement of its voxels, 0 to 1 (NaN without any)."""

    label: int
    voxels: int
    volume_mm3: float
    agreement: float


@dataclass(frozen=True, eq=False)
class LabelFusion:
    """Labels of a subject that one or several atlases have voted for.

    Attributes
    ----------
    target : Image
        As given.
    labels : Image
        On the grid of the target, in the integer type of the atlases.
    agreement : (X, Y, Z) float32 ndarray
        Share of the votes that the label has which won, 0 to 1.
    label_list : tuple of int
        All labels of the atlases, even those that no voxel got, and 0.
    fusion : dict
        ``method``, and of weighted votes ``radius_vox``, ``power`` and ``own_factor``.
    atlases : list of dict
        For each its ``name``, ``image`` and ``labels`` as given; ``vote_share`` (in the foreground
        of the target, of all votes) and ``same_label`` (in how much of what is labelled it has the
        label that won); ``registration`` (what its record says) and ``kept`` (whether that was
        there already); ``seconds`` by step.
    config : RegistrationConfig
        Of the registrations.
    init : str or None
        How they were started.
    timings : dict of str to float
        Seconds of the fusion and in total.
    """

    target: Image
    labels: Image
    agreement: NDArray[np.float32]
    label_list: tuple[int, ...]
    fusion: dict[str, Any]
    atlases: list[dict[str, Any]]
    config: RegistrationConfig
    init: str | None = None
    timings: dict[str, float] = field(default_factory=dict)

    def volumes(self) -> list[LabelVolume]:
        """Volume and mean agreement of every label of the atlases but 0, the background."""
        index = np.searchsorted(self.label_list, self.labels.data).ravel()
        voxels = np.bincount(index, minlength=len(self.label_list))
        sums = np.bincount(index, self.agreement.ravel().astype(np.float64), len(voxels))
        voxel_mm3 = float(abs(np.linalg.det(self.labels.grid.affine[:3, :3])))
        return [
            LabelVolume(label, int(n), float(n * voxel_mm3), float(total / n) if n else math.nan)
            for label, n, total in zip(self.label_list, voxels, sums, strict=True)
            if label
        ]

    def save(self, folder: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write labels, agreement, volumes, configuration and a summary.

        ``labels.nii.gz``, ``agreement.nii.gz``, ``volumes.csv`` (label, voxels, volume_mm3,
        agreement), ``config.toml`` and ``result.json``, which comes last: where it is, the rest is
        complete.

        Raises
        ------
        OutputError
            The folder cannot be written, or holds a result and `overwrite` is False.
        """
        from optreg.io import save_image
        from optreg.io.files import make_folder, write_atomic
        from optreg.io.tables import csv_text, json_text

        target, grid = make_folder(folder), self.target.grid
        summary = {
            "optreg": optreg.__version__,
            "target": self.target.name,
            "fusion": self.fusion,
            "init": self.init,
            "atlases": self.atlases,
            "timings_s": self.timings,
            "config": self.config.to_dict(),
        }
        rows = [
            (v.label, v.voxels, f"{v.volume_mm3:.3f}", f"{v.agreement:.4f}" if v.voxels else None)
            for v in self.volumes()
        ]
        save_image(target / "labels.nii.gz", self.labels.data, grid, overwrite=overwrite)
        save_image(target / "agreement.nii.gz", self.agreement, grid, overwrite=overwrite)
        for name, text in (
            ("volumes.csv", csv_text(LabelVolume._fields, rows)),
            ("config.toml", self.config.to_toml()),
            ("result.json", json_text(summary)),
        ):
            write_atomic(target / name, [text.encode()], overwrite)
