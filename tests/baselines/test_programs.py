"""Programs that the user points at: their fields, written by stand-ins, become ours."""

import hashlib
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

import deeds
import methods
import niftyreg
from program import fingerprint

SHAPE = (18, 23, 20)


def _stand_in(folder, name, body):
    path = folder / name
    path.write_text(f"#!{sys.executable}\nimport sys\nimport numpy as np\n{body}")
    path.chmod(0o755)
    return path


@pytest.fixture
def fixed(tmp_path, oblique_grid):
    path = tmp_path / "fixed.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros(SHAPE, np.float32), oblique_grid.affine), path)
    return path


def test_deeds(tmp_path, fixed):
    # Control points every 4 voxels: 4 x 5 x 5 of them, each component linear along another axis.
    body = """
values = dict(zip(sys.argv[1::2], sys.argv[2::2]))
print("deeds got", sorted(values))
i, j, k = np.indices((4, 5, 5), np.float32)
blocks = [100 + j, 200 + i, 300 + k]
with open(values["-O"] + "_displacements.dat", "wb") as file:
    for block in blocks:
        file.write(block.astype("<f4").tobytes(order="F"))
"""
    program = _stand_in(tmp_path, "deedsBCV", body)
    fields = deeds.run(fixed, fixed, threads=1, binary=str(program), options="-a 2")
    assert fields.disp.shape == (3, *SHAPE) and fields.disp.dtype == np.float32
    # Voxel n lies at control point n * points / voxels; beyond the last one the field is level.
    x, y, z = (
        np.minimum(np.arange(n) * m / n, m - 1) for n, m in zip(SHAPE, (4, 5, 5), strict=True)
    )
    np.testing.assert_allclose(
        fields.disp[0, :, 7, 9], 200 + x, rtol=1e-5
    )  # second block: first axis
    np.testing.assert_allclose(fields.disp[1, 3, :, 9], 100 + y, rtol=1e-5)
    np.testing.assert_allclose(fields.disp[2, 3, 7, :], 300 + z, rtol=1e-5)
    assert fields.notes["sha256"] == hashlib.sha256(program.read_bytes()).hexdigest()


@pytest.mark.parametrize("size", [0, 3, 3 * 4 * 5 * 5 - 3])
def test_a_file_that_deeds_did_not_write_is_refused(size):
    with pytest.raises(ValueError, match="no field of deeds"):
        deeds.to_voxels(np.zeros(size, np.float32), SHAPE)


def test_niftyreg(tmp_path, fixed, rng):
    # A displacement in voxels, and what it is in mm of the RAS world.
    truth = ndimage.gaussian_filter(rng.standard_normal((3, *SHAPE)), (0, 3, 3, 3)) * 20
    affine = nib.load(fixed).affine
    here = np.indices(SHAPE).reshape(3, -1)
    there = here + truth.reshape(3, -1)
    world = [nib.affines.apply_affine(affine, points.T) for points in (here, there)]
    vectors = (world[1] - world[0]).reshape(*SHAPE, 1, 3).astype(np.float32)
    image = nib.Nifti1Image(vectors, affine)
    image.header.set_intent("vector", (), "NREG_TRANS")
    nib.save(image, tmp_path / "known.nii")
    register = _stand_in(tmp_path, "reg_f3d", "open(sys.argv[sys.argv.index('-cpp') + 1], 'w')\n")
    body = f"""
import shutil
grid, field = sys.argv[sys.argv.index("-disp") + 1 :][:2]
assert open(grid).read() == ""
shutil.copy({str(tmp_path / "known.nii")!r}, field)
"""
    _stand_in(tmp_path, "reg_transform", body)
    fields = niftyreg.run(fixed, fixed, threads=1, binary=str(register))
    np.testing.assert_allclose(fields.disp, truth, atol=1e-4)


def test_settings_of_niftyreg_become_arguments():
    assert niftyreg.arguments() == []
    words = niftyreg.arguments(True, 4.0, 0.0003, 2.5, 300, "-le 0")
    assert " ".join(words) == "-vel -sx -4 -be 0.0003 --lncc 2.5 -maxit 300 -le 0"


@pytest.mark.parametrize("module", [deeds, niftyreg])
def test_a_program_that_fails_is_named(module, tmp_path, fixed):
    program = _stand_in(tmp_path, "broken", "sys.exit(3)\n")
    with pytest.raises(SystemExit, match="broken: ended with 3"):
        module.run(fixed, fixed, threads=1, binary=str(program))
    with pytest.raises(SystemExit, match="absent: cannot be read"):
        fingerprint(tmp_path / "absent")


@pytest.mark.parametrize("name", ["deeds", "niftyreg", "niftyreg-tuned", "fields"])
def test_what_only_the_user_can_give_is_asked_for(name, tmp_path):
    key = methods.named(name).needs
    with pytest.raises(FileNotFoundError, match=rf"--set {name}\.{key}=PATH"):
        methods.named(name).python(tmp_path)
    absent = methods.named(name, {key: str(tmp_path / "absent")})
    with pytest.raises(FileNotFoundError, match="absent is not there"):
        absent.python(tmp_path)
    given = methods.named(name, {key: str(tmp_path)})
    assert given.python(tmp_path) == Path(sys.executable)
