import csv

import numpy as np
import pytest
from numpy.testing import assert_allclose

from optreg.errors import InputError
from optreg.grid import Grid
from optreg.io import load_image, read_landmarks

HEADER = "label,name,i_vox,j_vox,k_vox,x_mm,y_mm,z_mm\n"
GRID = Grid((20, 30, 40), np.array([[2.0, 0, 0, -20], [0, 1, 0, 5], [0, 0, 1, 7], [0, 0, 0, 1]]))


@pytest.fixture
def table(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "points.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_table_with_and_without_byte_order_mark(table, encoding, end):
    text = HEADER + '1,AC,1.5,2,3,-17,7,10\n\n2,"PC, left",4,5,6,-12,10,13\n'
    points = read_landmarks(table(text.replace("\n", end), encoding), GRID)
    assert points.names == ("AC", "PC, left")
    assert_allclose(points.vox, [[1.5, 2, 3], [4, 5, 6]])
    assert_allclose(points.mm, [[-17, 7, 10], [-12, 10, 13]])


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_order_of_columns_is_free(table, separator):
    text = "z_mm,K_VOX,remark,x_mm,label,y_mm,j_vox,i_vox\n10,3,a,-17,7,7,2,1.5\n"
    points = read_landmarks(table(text.replace(",", separator)))
    assert points.names == ("7",)
    assert_allclose(points.vox, [[1.5, 2, 3]])
    assert_allclose(points.mm, [[-17, 7, 10]])


def test_one_triple_is_enough_with_a_grid(table):
    points = read_landmarks(table("i_vox,j_vox,k_vox\n1.5,2,3\n"), GRID)
    assert_allclose(points.mm, [[-17, 7, 10]])
    points = read_landmarks(table("name,x_mm,y_mm,z_mm\nAC,-17,7,10\n"), GRID)
    assert_allclose(points.vox, [[1.5, 2, 3]])
    with pytest.raises(InputError, match="are needed without an image"):
        read_landmarks(table("name,x_mm,y_mm,z_mm\nAC,-17,7,10\n"))


def test_bare_numbers_are_voxels(table):
    points = read_landmarks(table("1.5,2,3\n4,5,6\n"), GRID)
    assert points.names == ("1", "2")
    assert_allclose(points.vox, [[1.5, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (HEADER + "1,AC,1,2,3,-18,7,10\n2,PC,1,x,3,0,0,0\n", "line 3: 'x' is not a finite"),
        (HEADER + "1,AC,1,nan,3,-18,7,10\n", "line 2: 'nan' is not a finite"),
        (HEADER + "\n1,AC,1,2,3,-18,7\n", "line 3: 7 cells where 8 are needed"),
        (HEADER + "1,AC,1,2,3,-18,7,10\n2,PC,1,2,60,-18,7,67\n", "line 3: voxel .* outside"),
        (HEADER + "1,AC,-3,2,3,-26,7,10\n", "line 2: voxel .* is outside the image of 20x30x40"),
        (HEADER + "1,AC,1,2,3,-18,7,15\n", "line 2: voxels and mm disagree by 5.0 mm"),
        (HEADER, "a header and no landmarks"),
        ("name,x,y,z\nAC,1,2,3\n", "line 1: no columns i_vox"),
        ("1,2,3,4,5,6\n", "line 1: 6 numbers and no header"),
        ("\n\n", "holds no landmarks"),
        ("a\0b,c\n", "is not a text table"),
    ],
)
def test_faults_are_reported_with_their_line(table, text, what):
    with pytest.raises(InputError, match=what) as caught:
        read_landmarks(table(text), GRID)
    assert "points.csv: " in str(caught.value)


def test_binary_and_missing_files(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_landmarks(tmp_path / "missing.csv")
    (tmp_path / "a.csv").write_bytes(b"\x93\xff\xfe binary")
    with pytest.raises(InputError, match="is not a UTF-8 text table"):
        read_landmarks(tmp_path / "a.csv")


def test_real_landmarks_are_the_centres_of_the_label_spheres(data_dir):
    path = sorted((data_dir / "landmarksVal").glob("*.csv"))[0]
    volume = load_image(path.with_suffix("").with_suffix(".nii.gz"))
    points = read_landmarks(path, volume.grid)
    with path.open(encoding="utf-8") as file:
        labels = [int(row["label"]) for row in csv.DictReader(file)]
    assert len(points.names) == len(labels) == 32
    for label, position in zip(labels, points.vox, strict=True):
        centre = np.argwhere(volume.data == label).mean(axis=0)
        assert np.abs(centre - position).max() < 1
