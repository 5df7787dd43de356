"""A small scan, and ways to write it with a header of one's choice."""

import nibabel as nib
import numpy as np
import pytest

SHAPE = (9, 10, 11)


@pytest.fixture
def voxels(rng):
    return rng.integers(-500, 500, SHAPE).astype(np.int16)


@pytest.fixture
def write(tmp_path, oblique_grid, voxels):
    """Function that saves an array with nibabel, after changing its header, and gives the path."""

    def save(data=voxels, name="scan.nii", affine=oblique_grid.affine, **fields):
        image = nib.Nifti1Image(data, affine)
        image.header.set_xyzt_units("mm")
        nib.save(image, tmp_path / name)
        if fields:
            raw = bytearray((tmp_path / name).read_bytes())
            for field, value in fields.items():
                dtype, offset = nib.Nifti1Header.template_dtype.fields[field][:2]
                raw[offset : offset + dtype.itemsize] = np.array(value, dtype.base).tobytes()
            (tmp_path / name).write_bytes(raw)
        return tmp_path / name

    return save
