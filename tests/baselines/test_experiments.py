"""The experiments: records that are kept, judging, statistics, and each of them on small images."""

import json
from argparse import Namespace

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage, stats

import experiment
import methods
from dataset import read_task
from experiments import contrast, curves, report, rescan, runs, sensitivity
from optreg import Image
from optreg.errors import GeometryError
from optreg.transform import DisplacementField
from starts import Scan

FAST = methods.named("optreg-fast")


def _run(name, folder, out, *more, methods="optreg-fast"):
    command = [name, "--data", str(folder), "--output", str(out), "--methods", methods]
    code = experiment.main([*command, *more])
    assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    return code, (out / f"{name}.md").read_text(), json.loads((out / f"{name}.json").read_text())


@pytest.fixture
def here(tmp_path):
    return runs.Runs(tmp_path / "out", tmp_path / "envs", threads=1)


def test_a_record_is_kept_and_belongs_to_its_settings(here):
    calls = []

    def compute():
        calls.append(1)
        return {"dice": 0.5}

    settings = {"sizes": (1, 2)}
    first = here.kept("a/b", settings, compute)
    assert first == here.kept("a/b", settings, compute) and first["dice"] == 0.5
    assert len(calls) == 1
    with pytest.raises(RuntimeError, match="other settings"):
        here.kept("a/b", {"sizes": (1, 3)}, compute)


def test_a_failure_is_told_and_tried_again(here, capsys):
    def fail():
        raise GeometryError("no overlap")

    assert here.kept("a", {}, fail) == {"failed": "no overlap"}
    assert "no overlap" in capsys.readouterr().out
    assert here.kept("a", {}, lambda: {"dice": 1.0})["dice"] == 1.0


def test_other_methods_have_no_start(here, blobs):
    with pytest.raises(RuntimeError, match="no linear start"):
        here.register(methods.named("demons"), blobs, blobs, "affine")


def test_another_method_runs_in_a_process_of_its_own(here, blobs):
    shift = np.eye(4)
    shift[0, 3] = 2
    moved = Image(blobs.data, type(blobs.grid)(blobs.shape, shift @ blobs.grid.affine))
    found = here.register(methods.named("affine", {"iterations": 30}), blobs, moved)
    inside = ndimage.binary_erosion(blobs.data > 0, iterations=4)
    expected = np.array([2, 0, 0]).reshape(3, 1)
    assert np.abs(found.field.to_mm()[:, inside] - expected).max() < 0.3
    assert found.notes["seconds"] > 0 and found.notes["peak_memory_mb"] > 20


def test_overlap_on_the_voxels_that_are_seen(blobs, smooth_disp):
    labels = np.digitize(blobs.data, [0.2, 0.4, 0.6])
    scan = Scan(blobs, Image(labels, blobs.grid))
    field = DisplacementField(smooth_disp, blobs.grid)
    where = np.indices(blobs.shape) + smooth_disp
    warped = ndimage.map_coordinates(labels, where, order=0, cval=0)
    seen = np.zeros(blobs.shape, bool)
    seen[:, 10:30] = True
    for region, inside in ((None, np.ones_like(seen)), (seen, seen)):
        expected = []
        for label in range(4):
            a, b = (((m == label) & inside) | (~inside & (label == 0)) for m in (labels, warped))
            expected.append(2 * (a & b).sum() / (a.sum() + b.sum()))
        found = runs.overlap(field, scan, scan, None, region)
        assert found == pytest.approx(
            np.mean(expected), abs=2e-3
        )  # ties at .5 are rounded either way


def test_statistics_against_scipy(rng):
    own, theirs = rng.normal(0.6, 0.02, 10), rng.normal(0.59, 0.02, 10)
    mean, p, d = report.difference(own, theirs, tests=3)
    assert mean == f"{np.mean(own - theirs):+.4f}"
    assert p == f"{min(1, 3 * stats.wilcoxon(own, theirs).pvalue):.3f}"
    change = own - theirs
    assert d.startswith(f"{change.mean() / change.std(ddof=1):+.1f} (")
    assert "below 0.25" in report.caveat(5, 4)
    assert "significant" not in report.caveat(10, 3)
    # The least p is what the test really gives where every pair goes the same way.
    least = stats.wilcoxon(np.arange(1, 6), np.zeros(5)).pvalue
    assert least == 2.0 ** (1 - 5)


def test_conditions_without_a_common_pair_have_no_table():
    assert "No pair" in report.compared(
        "c", {"a": {"p": {"dice": 1}}, "b": {"q": {"dice": 1}}}, "a"
    )
    assert "No pair" in report.compared("c", {"a": {}}, "a")


def test_people_are_paired_in_a_ring(dataset_folder):
    images = dataset_folder / "imagesVal"
    for number in (1003, 1002, 1004):
        (images / f"SMALL_{number}_0000.nii.gz").touch()
    for number in (1000, 1002, 1003):
        (images / f"SMALL_{number}_0002.nii.gz").touch()
    found = contrast.people(dataset_folder, ("0000", "0002"))
    numbers = [tuple(path.name[-4:] for path in pair) for pair in found]
    assert numbers == [("1002", "1000"), ("1003", "1002"), ("1000", "1003")]
    assert contrast.people(dataset_folder, ("0004",)) == []


def _second_contrast(folder):
    for number in (1000, 1001):
        source = folder / "imagesVal" / f"SMALL_{number}_0000.nii.gz"
        image = nib.load(source)
        data = image.get_fdata()
        labels = folder / "labelsVal" / source.name
        for name in ("0002", "0003", "0004"):
            other = np.where(data > 0, 1.05 - data, 0).astype(np.float32)
            stem = source.name.replace("0000.", f"{name}.")
            nib.save(nib.Nifti1Image(other, image.affine), source.with_name(stem))
            labels.with_name(stem).write_bytes(labels.read_bytes())


def test_contrast(dataset_folder, tmp_path):
    _second_contrast(dataset_folder)
    code, text, content = _run(
        "contrast", dataset_folder, tmp_path / "out", methods="none,optreg-fast"
    )
    assert code == 0
    assert set(content["none"]) == {"T1w-T1w", "T1w-T2w", "T1w-T2*w", "T1w-FLAIR", "T2w-FLAIR"}
    before, after = (
        [n["dice"] for n in content[m]["T1w-T1w"].values()] for m in ("none", "optreg-fast")
    )
    assert len(before) == 2 and min(after) > max(before)
    # The label maps are the same, so nothing registered is the same in every contrast.
    assert {n["dice"] for own in content["none"].values() for n in own.values()} == set(before)
    assert "too few for a test" in text


@pytest.mark.slow
def test_resolution(dataset_folder, tmp_path, child_environment, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", child_environment["PYTHONPATH"])
    monkeypatch.setattr("experiments.resolution.ACCURACY_MM", (1.5, 1.0))
    monkeypatch.setattr("experiments.resolution.COST_MM", (2.0, 1.0))
    monkeypatch.setattr("experiments.resolution._REPEATS", 1)
    _, text, content = _run("resolution", dataset_folder, tmp_path / "out")
    coarse, fine = content["optreg-fast"]["cost"]
    assert fine["millions"] == pytest.approx(40 * 48 * 44 / 1e6)
    assert fine["millions"] == pytest.approx(8 * coarse["millions"])
    assert fine["median_s"] == fine["least_s"] > 0 and fine["cpu_s"] > 0
    assert 50 < coarse["peak_mb"] < 2000
    accuracy = content["optreg-fast"]["accuracy"]
    assert all(n["dice"] > 0.8 for own in accuracy.values() for n in own.values())
    assert "per million" in text


def test_sensitivity(dataset_folder, tmp_path):
    only = (
        "intensity times 1000",
        "moving stored as AIR",
        "both stored as PSL",
        "shifted by 20 mm (not aligned)",
    )
    _, text, content = _run(
        "sensitivity", dataset_folder, tmp_path / "out", "--only", ",".join(only)
    )
    found = {change: next(iter(own.values())) for change, own in content["optreg-fast"].items()}
    assert tuple(found) == only
    for change in only[:2]:
        assert found[change]["loss"] == pytest.approx(0, abs=1e-4)
        assert found[change]["apart_mean_mm"] < 1e-3
    # The coarse grids lie elsewhere in other arrays, so this is not the same field exactly.
    assert found["both stored as PSL"]["loss"] == pytest.approx(0, abs=5e-3)
    assert found["shifted by 20 mm (not aligned)"]["loss"] > 0.05
    assert all(change in text for change in only)
    with pytest.raises(SystemExit):
        _run("sensitivity", dataset_folder, tmp_path / "out", "--only", "nothing")


@pytest.mark.slow
def test_what_has_no_origin_is_found(dataset_folder, here):
    pair = read_task(dataset_folder, "segmentation")[0]
    subject = sensitivity._Subject(pair, here, FAST, None)
    assert abs(subject.numbers(sensitivity.CHANGES["origin lost"])["loss"]) < 0.02


def test_fields_are_carried_back_from_every_change(blobs, dataset_folder, here, monkeypatch):
    """Nothing is registered: what comes back is then what the change itself did to the world."""
    pair = read_task(dataset_folder, "segmentation")[0]
    subject = sensitivity._Subject(pair, here, methods.named("none"), None)
    for change in (
        "gamma 1.5",
        "mask with a rim of 4 mm",
        "fixed stored as LPS",
        "both stored as PSL",
    ):
        numbers = subject.numbers(sensitivity.CHANGES[change])
        assert numbers["loss"] == pytest.approx(0, abs=1e-6), change
        assert numbers["apart_max_mm"] < 1e-4
    away = subject.numbers(sensitivity.CHANGES["shifted by 5 mm"])
    assert away["apart_mean_mm"] == pytest.approx(5, abs=1e-4)
    assert away["loss"] > 0.01


def test_what_a_cut_removes_is_not_judged(blobs):
    case = sensitivity._cut("moving", 12.0, True)(blobs, blobs)
    height = case.moving.grid.bounds_mm[0, 2]
    seen = sensitivity._seen(case, blobs.grid)
    z = blobs.grid.voxel_to_world(np.argwhere(seen))[:, 2]
    assert height + 10 < z.min() <= height + 11
    assert z.max() == blobs.grid.voxel_to_world([0, 0, 43])[2]


def test_log_j_and_volumes():
    log_j = np.concatenate([np.zeros(90), np.full(10, np.log(1.2))])
    found = rescan.numbers_of(log_j)
    assert found["mean"] == pytest.approx(0.1 * np.log(1.2)) and found["beyond_10"] == 0.1
    assert found["p50"] == 0 and found["p99"] == pytest.approx(np.log(1.2))
    fixed = np.array([0, 1, 1, 2, 2, 3])
    moving = np.array([0, 1, 1, 1, 2, 0])
    found = rescan.volumes(np.array([9.0, 1.5, 1.5, 0.5, 0.5, 1]), fixed, moving)
    assert found == {"1": [2, 3, 3], "2": [2, 1, 1]}
    assert list(rescan.volumes(np.ones(6), fixed, moving, (0, 2, 3))) == ["2"]
    drawn, field = rescan.changes({"volumes": found})
    assert drawn == pytest.approx([50, -50]) and field == pytest.approx([50, -50])


def test_rescan(dataset_folder, tmp_path):
    content = json.loads((dataset_folder / "evaluation_segmentation.json").read_text())
    (dataset_folder / "evaluation_rescan.json").write_text(json.dumps(content))
    _, text, content = _run("rescan", dataset_folder, tmp_path / "out")
    there, back = content["optreg-fast"]["one person"].values()
    # What shrinks one way grows the other way.
    shrinks, grows = (rescan.changes(numbers)[1].mean() for numbers in (there, back))
    assert shrinks < -1.5 < 1.5 < grows
    assert "two people" in text and "correlation" in text


def test_atlas(dataset_folder, tmp_path):
    source = dataset_folder / "imagesVal" / "SMALL_1000_0000.nii.gz"
    image = nib.load(source)
    nib.save(image, dataset_folder / "atlas_T1w.nii.gz")
    _, text, content = _run("atlas", dataset_folder, tmp_path / "out", methods="none,optreg-fast")
    before, after = content["none"], content["optreg-fast"]
    assert len(after["overlap in template space"]) == 1
    for key in ("overlap in template space", "voted labels on a subject"):
        assert np.mean(after[key]) > np.mean(before[key]) + 0.02
    assert before["there and back, mean mm"] == [0, 0]
    assert max(after["there and back, mean mm"]) < 0.5
    assert "2 subjects" in text


def test_iterations_are_scaled():
    few = curves.with_iterations(FAST, 0.1)
    assert few.settings["changes"]["continuous"]["iterations"] == [2, 1, 1]
    assert few.name == "optreg-fast x 0.1" and few.settings["preset"] == "fast"
    many = curves.with_iterations(methods.named("optreg-default"), 2)
    found = runs.configuration(**many.settings).continuous
    assert found.iterations == (200, 72, 16) and found.structure_iterations == (0, 8, 0)


def test_curves_with_earlier_records(dataset_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(curves, "FACTORS", (0.5, 1.0))
    folder = tmp_path / "cmp"
    for name in ("greedy-tuned", "optreg-accurate", "something"):
        (folder / name).mkdir(parents=True)
        record = {"dice": 0.7, "sdlogj": 0.5, "folded_voxels": 3, "seconds": 100.0}
        (folder / name / "1001_0000_1000_0000.metrics.json").write_text(json.dumps(record))
    (folder / "demons").mkdir()
    _, text, content = _run("curves", dataset_folder, tmp_path / "out", "--records", str(folder))
    assert set(content) == {"optreg-fast x 0.5", "optreg-fast", "greedy-tuned"}
    own = content["optreg-fast"]["1001_0000_1000_0000"]
    assert own["dice"] > 0.8 and own["cpu_seconds"] > 0
    assert "| greedy-tuned" in text


def test_programs_are_named_with_their_method(capsys):
    with pytest.raises(SystemExit):
        experiment.main(
            ["contrast", "--data", ".", "--output", "o", "--binary", "niftyreg=nowhere"]
        )
    assert "niftyreg=nowhere" in capsys.readouterr().err


def test_data_that_are_not_there_are_named(tmp_path, capsys):
    args = Namespace(data=tmp_path, pairs=None, output=tmp_path, only=None, voxel_mm=None)
    with pytest.raises(SystemExit):
        experiment.main(["atlas", "--data", str(args.data), "--output", str(args.output)])
    assert "evaluation_segmentation.json" in capsys.readouterr().err
