"""Damaged and hostile image files: an error of one sentence, or the right image."""

import gzip

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from optreg.errors import InputError, OptregError
from optreg.io import load_image

SHAPE = (9, 10, 11)  # as in conftest.py


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mgz", ".mgh", ".mha", ".nrrd"])
def test_empty_text_and_missing_files(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    with pytest.raises(InputError, match="no such file"):
        load_image(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="is empty"):
        load_image(path)
    path.write_text("this is not an image\n" * 100)
    with pytest.raises(InputError, match=f"a{suffix}: (is not|file damaged or not)"):
        load_image(path)
    folder = tmp_path / f"folder{suffix}"
    folder.mkdir()
    with pytest.raises(InputError, match="is a directory"):
        load_image(folder)
    with pytest.raises(InputError, match=r"cannot be opened|no such file"):
        load_image(path / "below_a_file.nii")


def test_no_permission(write, monkeypatch):
    path = write()

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    # The tests may run as root, whom no file mode stops.
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(InputError, match="no permission to read it"):
        load_image(path)


def test_unknown_suffix_lists_the_known_ones(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(InputError, match=r"unknown image format.*\.nii\.gz"):
        load_image(tmp_path / "a.png")


def test_pair_of_header_and_voxels_is_refused(write):
    path = write()
    raw = bytearray(path.read_bytes())
    raw[344:348] = b"ni1\0"
    path.write_bytes(raw)
    with pytest.raises(InputError, match="pair"):
        load_image(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mgh", "a.mgz", "a.mha", "a.nrrd"])
@pytest.mark.parametrize("compress", [False, True])
def test_truncated_at_any_length(tmp_path, rng, name, compress):
    data = rng.random(SHAPE).astype(np.float32)
    if name.endswith((".mha", ".nrrd")):
        sitk.WriteImage(sitk.GetImageFromArray(data), str(tmp_path / name), compress)
    else:
        kind = nib.MGHImage if ".mg" in name else nib.Nifti1Image
        nib.save(kind(data, np.eye(4)), tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    # MGH ends in scan parameters that the image does not need.
    last = 284 + data.nbytes if name == "a.mgh" else len(whole)
    for length in [1, 2, 10, 100, 347, 360, len(whole) // 2, last - 9, last - 1]:
        (tmp_path / name).write_bytes(whole[:length])
        with pytest.raises(InputError, match=name):
            load_image(tmp_path / name)


def test_bad_checksum(write):
    path = write(name="scan.nii.gz")
    raw = bytearray(path.read_bytes())
    raw[-6] ^= 0xFF
    path.write_bytes(raw)
    with pytest.raises(InputError, match="file damaged"):
        load_image(path)


@pytest.mark.parametrize("name", ["huge.nii", "huge.nii.gz"])
def test_impossible_size_is_refused_before_memory_is_taken(write, monkeypatch, name):
    path = write(name="plain.nii", dim=[3, 32767, 32767, 32767, 1, 1, 1, 1])
    raw = path.read_bytes()[:400]
    path = path.with_name(name)
    path.write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)

    def explode(*_args, **_kwargs):
        raise AssertionError("memory was asked for")

    monkeypatch.setattr("optreg.io.files.np.empty", explode)
    with pytest.raises(InputError, match="cannot hold them"):
        load_image(path)


@pytest.mark.parametrize("axes", ["83", "-3", "0", "", "3 3", "3\nNDims = 1294"])
def test_number_of_axes_that_would_crash_itk(tmp_path, axes):
    (tmp_path / "a.mha").write_text(
        f"ObjectType = Image\nNDims = {axes}\nTransformMatrix = 1 0 0 0 1 0 0 0 1\n"
        "DimSize = 9 9 9\nElementType = MET_FLOAT\nElementDataFile = LOCAL\n1234"
    )
    with pytest.raises(InputError, match="no usable NDims"):
        load_image(tmp_path / "a.mha")


def test_empty_axis_of_a_metaimage(tmp_path):
    (tmp_path / "a.mha").write_text(
        "ObjectType = Image\nNDims = 3\nDimSize = 9 0 9\n"
        "ElementType = MET_FLOAT\nElementDataFile = LOCAL\n1234"
    )
    with pytest.raises(InputError, match="impossible dimensions"):
        load_image(tmp_path / "a.mha")


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_impossible_size_of_itk_formats(tmp_path, suffix):
    path = tmp_path / f"huge{suffix}"
    if suffix == ".mha":
        path.write_text(
            "ObjectType = Image\nNDims = 3\nDimSize = 32767 32767 32767\n"
            "ElementType = MET_FLOAT\nElementDataFile = LOCAL\n1234"
        )
    else:
        path.write_text(
            "NRRD0004\ntype: float\ndimension: 3\nsizes: 32767 32767 32767\n"
            "endian: little\nencoding: raw\n\n1234"
        )
    with pytest.raises(InputError, match="cannot hold"):
        load_image(path)


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        (".mha", "ObjectType = Image\nNDims = 3\nDimSize = 8 8 8\nElementType = MET_UCHAR\n"
                 "ElementDataFile = secret.raw\n"),
        (".nrrd", "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 8 8 8\nencoding: raw\n"
                  "data file: secret.raw\n\n"),
    ],
)  # fmt: skip
def test_header_that_points_to_another_file_is_refused(tmp_path, suffix, text):
    (tmp_path / "secret.raw").write_bytes(bytes(512))
    (tmp_path / f"a{suffix}").write_text(text)
    with pytest.raises(InputError, match="in another file"):
        load_image(tmp_path / f"a{suffix}")


def test_gzip_bomb_stops_at_the_stated_size(write, monkeypatch):
    path = write(name="plain.nii")
    whole = path.read_bytes()
    path = path.with_name("bomb.nii.gz")
    with gzip.open(path, "wb", 1) as file:
        file.write(whole)
        for _ in range(64):
            file.write(bytes(1 << 20))
    read = []
    original = gzip.GzipFile.read
    monkeypatch.setattr(
        gzip.GzipFile, "read", lambda self, n=-1: read.append(n) or original(self, n)
    )
    with pytest.raises(InputError, match="goes on long after"):
        load_image(path)
    assert -1 not in read
    assert sum(read) < 3 << 20


@pytest.mark.parametrize("offset", [100, -1, np.nan, 1e30])
def test_impossible_voxel_offset(write, offset):
    with pytest.raises(InputError):
        load_image(write(vox_offset=offset))


@pytest.mark.parametrize(
    "dim", [[0, 9, 10, 11, 1, 1, 1, 1], [9, 9, 10, 11, 1, 1, 1, 1], [3, 9, -10, 11, 1, 1, 1, 1]]
)
def test_impossible_dimensions(write, dim):
    with pytest.raises(InputError, match="impossible dimensions"):
        load_image(write(dim=dim))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 351), st.integers(1, 255))
def test_flipped_header_byte_gives_an_error_or_the_image(write, voxels, position, mask):
    path = write(name="flip.nii")
    raw = bytearray(path.read_bytes())
    raw[position] ^= mask
    path.write_bytes(raw)
    try:
        image = load_image(path)
    except OptregError as err:
        assert str(err).startswith(str(path))
        assert "\n" not in str(err)
        return
    assert np.isfinite(image.grid.affine).all()
    assert np.isfinite(image.data).all()
    # Voxels change only where the header says how to read them: type, scaling, offset, sizes.
    if not any(low <= position < high for low, high in [(40, 56), (70, 72), (108, 120)]):
        assert_array_equal(image.data, voxels)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, 10_000), st.integers(1, 255), st.sampled_from(["nii.gz", "mgz", "mha", "nrrd"])
)
def test_flipped_byte_of_a_compressed_file(tmp_path, voxels, position, mask, suffix):
    name = f"a.{suffix}"
    if suffix in ("mha", "nrrd"):
        sitk.WriteImage(sitk.GetImageFromArray(voxels.T), str(tmp_path / name), True)
    else:
        kind = nib.MGHImage if suffix == "mgz" else nib.Nifti1Image
        nib.save(kind(voxels, np.eye(4)), tmp_path / name)
    raw = bytearray((tmp_path / name).read_bytes())
    # Behind the header, which these two formats keep in plain text.
    first = {"mha": raw.find(b"LOCAL") + 6, "nrrd": raw.find(b"\n\n") + 2}.get(suffix, 0)
    raw[first + position % (len(raw) - first)] ^= mask
    (tmp_path / name).write_bytes(raw)
    try:
        image = load_image(tmp_path / name)
    except OptregError:
        return
    assert_array_equal(image.data, voxels)  # e.g. the time stamp of gzip was hit
