"""Point lists of 3D Slicer, .fcsv and .mrk.json."""

import json
import os
import subprocess

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from optreg.errors import InputError, OutputError
from optreg.grid import Grid
from optreg.io.landmarks import Landmarks, is_point_file, read_landmarks, write_landmarks

GRID = Grid((20, 30, 40), np.array([[2.0, 0, 0, -20], [0, 1, 0, 5], [0, 0, 1, 7], [0, 0, 0, 1]]))
FCSV = """# Markups fiducial file version = {version}
# CoordinateSystem = {system}
# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID
vtkMRMLMarkupsFiducialNode_0,{x},{y},10.0,0,0,0,1,1,1,0,AC,first,
vtkMRMLMarkupsFiducialNode_1,{x},{y},13.5,0,0,0,1,1,1,0,"PC, left",,
"""


def write(path, text):
    path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
    return path


def markups(points, system="LPS", **more):
    controls = [{"label": name, "position": position} for name, position in points]
    one = {"type": "Fiducial", "coordinateSystem": system, "controlPoints": controls, **more}
    return {"@schema": "any", "markups": [one]}


@pytest.mark.parametrize(
    ("system", "sign", "version"),
    [("0", 1, 4.6), ("RAS", 1, 4.11), ("1", -1, 4.10), ("LPS", -1, 5)],
)
def test_fcsv_of_old_and_new_versions(tmp_path, system, sign, version):
    text = FCSV.format(system=system, version=version, x=-17 * sign, y=7 * sign)
    points = read_landmarks(write(tmp_path / "a.fcsv", text), GRID)
    assert points.names == ("AC", "PC, left")
    assert_allclose(points.mm, [[-17, 7, 10], [-17, 7, 13.5]])
    assert_allclose(points.vox, [[1.5, 2, 3], [1.5, 2, 6.5]])


@pytest.mark.parametrize(("system", "sign"), [("RAS", 1), ("LPS", -1)])
def test_markups_of_both_systems(tmp_path, system, sign):
    content = markups([("AC", [-17 * sign, 7 * sign, 10]), ("", [0, 20 * sign, 30])], system)
    points = read_landmarks(write(tmp_path / "a.mrk.json", content), GRID)
    assert points.names == ("AC", "2")
    assert_allclose(points.mm, [[-17, 7, 10], [0, 20, 30]])


def test_points_of_several_lists_and_points_not_placed(tmp_path, caplog):
    content = markups([("A", [17, -7, 10])])
    content["markups"] += markups([("B", [-17, 7, 10])], "RAS")["markups"]
    content["markups"][1]["controlPoints"] += [
        {"label": "C", "position": [0, 0, 0], "positionStatus": "undefined"}
    ]
    points = read_landmarks(write(tmp_path / "a.mrk.json", content), GRID)
    assert points.names == ("A", "B")
    assert_allclose(points.mm, [[-17, 7, 10], [-17, 7, 10]])
    assert "1 points are not placed; left out" in caplog.text


NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.sampled_from(["a.fcsv", "a.mrk.json", "a.csv"]),
    st.lists(st.tuples(NAMES, st.tuples(*[st.floats(0, 19)] * 3)), min_size=1, max_size=5),
)
def test_what_is_written_comes_back(tmp_path, name, points):
    names, vox = zip(*points, strict=True)
    vox = np.array(vox)
    landmarks = Landmarks(names, vox, GRID.voxel_to_world(vox))
    again = read_landmarks(write_landmarks(tmp_path / name, landmarks, overwrite=True), GRID)
    assert again.names == names
    assert_allclose(again.mm, landmarks.mm, atol=1e-4 if name == "a.csv" else 1e-12)
    assert_allclose(again.vox, vox, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.fcsv", "# version\n1,2,3,4\n", "states no coordinate system"),
        ("a.fcsv", "# CoordinateSystem = IJK\n1,2,3,4\n", "the coordinate system 'IJK'"),
        ("a.fcsv", "# CoordinateSystem = LPS\n", "holds no points"),
        ("a.fcsv", "# CoordinateSystem = LPS\n# columns = id,label\n1,a\n", "no columns x, y, z"),
        ("a.fcsv", "# CoordinateSystem = LPS\n1,2,3\n", "line 2: 3 cells are too few"),
        ("a.fcsv", FCSV.format(system="0", version=4, x="x", y=7), "line 4: 'x' is not a finite"),
        ("a.fcsv", FCSV.format(system="0", version=4, x=-90, y=7), "line 4: voxel .* is outside"),
        ("a.mrk.json", "{", "is no JSON file"),
        ("a.mrk.json", "[" * 100_000, "is no JSON file"),
        ("a.mrk.json", "[]", "holds no markups"),
        ("a.mrk.json", {"markups": [1]}, "holds no markups"),
        ("a.mrk.json", markups([]), "holds no points"),
        ("a.mrk.json", markups([("A", [1, 2])]), "point 1: has no position"),
        ("a.mrk.json", markups([("A", [17, -7, 10]), ("B", [1, None, 3])]), "point 2: 'None' is"),
        ("a.mrk.json", markups([("A", [17, -7, 99])]), "point 1: voxel .* is outside"),
        ("a.mrk.json", markups([("A", [1, 2, 3])], "IJK"), "the coordinate system 'IJK'"),
        ("a.mrk.json", markups([("A", [1, 2, 3])], coordinateUnits="cm"), "lengths in cm"),
        ("a.mrk.json", markups([], controlPoints=7), "controlPoints are no list"),
    ],
)  # fmt: skip
def test_faults_are_reported_with_their_place(tmp_path, name, content, what):
    with pytest.raises(InputError, match=what) as caught:
        read_landmarks(write(tmp_path / name, content), GRID)
    assert str(tmp_path / name) in str(caught.value)


def test_points_in_mm_need_the_image(tmp_path):
    path = write(tmp_path / "a.mrk.json", markups([("A", [17, -7, 10])]))
    with pytest.raises(InputError, match="are needed without an image"):
        read_landmarks(path)


def test_other_endings_and_existing_files_are_refused(tmp_path):
    landmarks = Landmarks(("A",), np.zeros((1, 3)), np.zeros((1, 3)))
    with pytest.raises(OutputError, match=r"end in \.csv, \.fcsv or \.mrk\.json"):
        write_landmarks(tmp_path / "a.json", landmarks)
    path = write(tmp_path / "a.fcsv", "mine")
    with pytest.raises(OutputError, match="exists already"):
        write_landmarks(path, landmarks)
    assert path.read_text() == "mine" and os.listdir(tmp_path) == ["a.fcsv"]


def test_files_of_points_are_told_by_their_endings():
    assert all(map(is_point_file, ["a.csv", "b.FCSV", "c.mrk.json", "d.tsv", "e.txt"]))
    assert not any(map(is_point_file, ["a.nii.gz", "b.json", "c.mha"]))


def test_slicers_own_reader_agrees(tmp_path):
    python = os.environ.get("OPTREG_FORMATS_PYTHON")
    if not python:
        pytest.skip("set OPTREG_FORMATS_PYTHON to an interpreter with slicerio")
    mm = np.array([[-17.25, 7, 10], [3, 12.5, 30]])
    write_landmarks(tmp_path / "a.fcsv", Landmarks(("AC", "PC"), GRID.world_to_voxel(mm), mm))
    code = (
        "import json, slicerio\n"
        "slicerio.fcsv_to_markups_json('a.fcsv', 'b.mrk.json')\n"
        "print(json.dumps(slicerio.read_markups_fcsv('a.fcsv')))"
    )
    done = subprocess.run(
        [python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    one = json.loads(done.stdout)["markups"][0]
    assert one["coordinateSystem"] == "LPS"
    assert [p["label"] for p in one["controlPoints"]] == ["AC", "PC"]
    assert_allclose([p["position"] for p in one["controlPoints"]], mm * [-1, -1, 1])
    # What it makes of the file is what is read here.
    assert_allclose(read_landmarks(tmp_path / "b.mrk.json", GRID).mm, mm)
