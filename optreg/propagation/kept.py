"""Registrations that are kept in a folder, and done again only if something has changed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import optreg
from optreg.batch.records import Records, discard_leftovers, file_hash
from optreg.errors import InputError
from optreg.image import Image
from optreg.io import read_field, write_field
from optreg.transform import DisplacementField

__all__ = ["Kept"]

_FIELD, _RECORD = "disp.nii.gz", "registration"


@dataclass(frozen=True)
class Kept:
    """Folder with one field and the record of how it was made.

    Attributes
    ----------
    folder : Path
        Gets ``disp.nii.gz`` and ``registration.json``.
    asked : dict
        What the record must say for the field to be the one that is wanted.
    """

    folder: Path
    asked: dict[str, Any]

    @classmethod
    def of(cls, folder: Path, fixed: Image, moving: Image, settings: dict[str, Any]) -> Kept:
        """For a pair that is registered with some settings, named as JSON has them."""
        inputs = {"fixed": _image_hash(fixed), "moving": _image_hash(moving)}
        asked = {"optreg": optreg.__version__, "inputs": inputs, **settings}
        # As it is when read back: tuples are lists there.
        return cls(folder, json.loads(json.dumps(asked)))

    def read(self, fixed: Image) -> tuple[DisplacementField, dict[str, Any]] | None:
        """Field and what was written with it; None where it is missing, damaged or another one."""
        path, record = self.folder / _FIELD, Records(self.folder).read(_RECORD)
        if any(record.get(key) != value for key, value in self.asked.items()):
            return None
        try:
            if file_hash(path) != record.get("output_sha256"):
                return None
            said = {k: v for k, v in record.items() if k not in {*self.asked, "output_sha256"}}
            return read_field(path, fixed.grid), said
        except (OSError, InputError):
            return None

    def write(self, field: DisplacementField, record: dict[str, Any]) -> None:
        """Keep a field; the record, which comes last, makes it count.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        records = Records(self.folder)
        discard_leftovers(self.folder, {_FIELD, f"{_RECORD}.json"})
        path = write_field(self.folder / _FIELD, field.disp, field.fixed_grid, overwrite=True)
        records.write(_RECORD, {**record, **self.asked, "output_sha256": file_hash(path)})


def _image_hash(image: Image) -> str:
    """Of the voxels and where they are, so that a file may be moved, or be no file at all."""
    digest = hashlib.sha256(f"{image.data.dtype.str} {image.shape} ".encode())
    digest.update(np.asarray(image.grid.affine, np.float64).tobytes())
    digest.update(np.ascontiguousarray(image.data).data)
    return digest.hexdigest()
