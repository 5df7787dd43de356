"""Files for the commands."""

import nibabel
import numpy as np
import pytest
from commands import command_line, fails, logger_given_back, succeeds  # noqa: F401

from optreg import cli
from optreg.grid import Grid
from optreg.image import Image
from optreg.io import load_image, save_image, write_field
from optreg.transform import DisplacementField


@pytest.fixture(scope="session")
def files(blobs, smooth_disp, tmp_path_factory):
    """Folder with a pair, its labels, the field that relates them and its inverse."""
    folder = tmp_path_factory.mktemp("pair")
    field = DisplacementField(smooth_disp, blobs.grid)
    labels = np.digitize(blobs.data, [0.01, 0.35, 0.6]).astype(np.int16)
    save_image(folder / "moving.nii.gz", blobs.data, blobs.grid)
    save_image(folder / "fixed.nii.gz", field.apply(blobs).data, blobs.grid)
    save_image(folder / "moving_seg.nii.gz", labels, blobs.grid)
    save_image(
        folder / "fixed_seg.nii.gz",
        field.apply(Image(labels, blobs.grid), "nearest").data,
        blobs.grid,
    )
    write_field(folder / "disp.nii.gz", smooth_disp, blobs.grid)
    # As other programs write it: it says nothing of the grids of the images.
    plain = nibabel.Nifti1Image(np.moveaxis(smooth_disp, 0, -1), np.eye(4))
    nibabel.save(plain, folder / "network.nii.gz")
    write_field(folder / "disp_itk.nii.gz", smooth_disp, blobs.grid, format="itk")
    write_field(folder / "inverse.nii.gz", field.invert().disp, blobs.grid)
    return folder


@pytest.fixture
def pair(files):
    """Options of ``optreg register`` that name the images, on one thread."""
    return {"fixed": files / "fixed.nii.gz", "moving": files / "moving.nii.gz", "threads": 1}


@pytest.fixture(scope="session")
def result(files, tmp_path_factory):
    """Folder that ``optreg register`` wrote, with labels and everything."""
    output = tmp_path_factory.mktemp("out") / "result"
    argv = command_line(
        "register",
        fixed=files / "fixed.nii.gz",
        moving=files / "moving.nii.gz",
        fixed_labels=files / "fixed_seg.nii.gz",
        moving_labels=files / "moving_seg.nii.gz",
        output=output,
        format="itk",
        threads=1,
    )
    assert cli.main(argv) == 0
    return output


@pytest.fixture
def series(files, tmp_path):
    """The moving image twice, in one file."""
    image = load_image(files / "moving.nii.gz")
    data = np.stack([image.data] * 2, axis=3)
    nibabel.save(nibabel.Nifti1Image(data, image.grid.affine), tmp_path / "series.nii.gz")
    return tmp_path / "series.nii.gz"


@pytest.fixture
def elsewhere(files, tmp_path):
    """Labels of the moving image, 500 mm away."""
    labels = load_image(files / "moving_seg.nii.gz")
    affine = labels.grid.affine.copy()
    affine[:3, 3] += 500
    return save_image(tmp_path / "away_seg.nii.gz", labels.data, Grid(labels.shape, affine))
