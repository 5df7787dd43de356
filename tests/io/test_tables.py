"""Numbers as text can be read by every reader."""

import json

import numpy as np
import pytest

from optreg.errors import InputError
from optreg.io.tables import csv_text, json_text, read_rows


def test_json_has_no_nan():
    text = json_text({"a": {1: float("nan"), 2: np.float32(0.5)}, "b": [np.int64(3), np.inf]})
    assert json.loads(text) == {"a": {"1": None, "2": 0.5}, "b": [3, None]}


def test_rows_come_back(tmp_path):
    (tmp_path / "t.csv").write_text(csv_text(["a", "b"], [[1, 0.1], ["x, y", None]]))
    rows = read_rows(tmp_path / "t.csv", {"a"})
    assert rows == [{"a": "1", "b": "0.1"}, {"a": "x, y", "b": ""}]
    with pytest.raises(InputError, match=r"t\.csv: has no column c"):
        read_rows(tmp_path / "t.csv", {"a", "c"})


@pytest.mark.parametrize("mark", [",", ";", "\t", "; "])
def test_cells_are_parted_as_programs_do_it(mark, tmp_path):
    lines = [["fixed", "moving"], ["a.nii", "b, c.nii" if ";" in mark else "b.nii"]]
    text = "\r\n".join(mark.join(line) for line in lines)
    (tmp_path / "t.csv").write_text(f"\ufeff{text}\r\n", encoding="utf-8")
    (row,) = read_rows(tmp_path / "t.csv", {"fixed", "moving"})
    assert list(row.values()) == lines[1]
