"""Labels by several atlases, as the script that measures it."""

import json
import sys

import numpy as np
import pytest

import optreg
import propagation
from optreg.io import load_image
from optreg.metrics import dice


def test_all_ways_to_label_are_measured(dataset_folder, tmp_path, monkeypatch, capsys):
    arguments = ["--data", dataset_folder, "--output", tmp_path / "out", "--targets", "1001"]
    arguments += ["--atlases", "1000,1001", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["propagation.py", *map(str, arguments)])
    monkeypatch.setattr(optreg, "warm_up", lambda: None)
    propagation.main()
    record = json.loads((tmp_path / "out/propagation.json").read_text())["targets"]["1001"]
    scan, atlas = (propagation.find(dataset_folder, n, "0000") for n in ("1001", "1000"))
    field = optreg.register(scan[0], atlas[0], preset="fast", threads=1).transform
    warped = field.apply(load_image(atlas[1]), "label").data
    expected = dice(load_image(scan[1]).data, warped)
    # The target is no atlas of itself, so one atlas is left and all ways are one.
    assert len(record["singles"]) == 1
    mean = np.mean([value for number, value in expected.items() if number])
    for way in propagation.WAYS:
        assert record[way] == pytest.approx(mean)
    assert (tmp_path / "out/fast/1001_0000/SMALL_1000_0000/disp.nii.gz").is_file()
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.split("|")[1].strip() == "mean" and f"{mean:.4f}" in last


def test_a_person_who_is_not_there_is_named(dataset_folder):
    with pytest.raises(SystemExit, match=r"0 images \*_7_0000"):
        propagation.find(dataset_folder, "7", "0000")
