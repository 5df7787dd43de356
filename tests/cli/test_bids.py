"""Results in a BIDS dataset of derivatives."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from optreg.cli import bids
from optreg.errors import ConfigError, OutputError
from optreg.io import load_image
from optreg.io.bids import parse_name


@pytest.fixture
def dataset(files, tmp_path):
    """Raw BIDS dataset with two subjects, each with a label map beside."""
    for subject, role in (("01", "fixed"), ("02", "moving")):
        folder = tmp_path / f"raw/sub-{subject}/anat"
        folder.mkdir(parents=True)
        shutil.copy(files / f"{role}.nii.gz", folder / f"sub-{subject}_T1w.nii.gz")
        shutil.copy(files / f"{role}_seg.nii.gz", folder / f"sub-{subject}_dseg.nii.gz")
    (tmp_path / "raw/dataset_description.json").write_text('{"Name": "a", "BIDSVersion": "1.8.0"}')
    return tmp_path / "raw"


@pytest.fixture
def labelled(dataset):
    """Options that label subject 01 by subject 02."""
    return {
        "target": dataset / "sub-01/anat/sub-01_T1w.nii.gz",
        "preset": "fast",
        "threads": 1,
        "output": dataset / "derivatives/optreg",
    }


def atlas(dataset):
    folder = dataset / "sub-02/anat"
    return ("--atlas", folder / "sub-02_T1w.nii.gz", folder / "sub-02_dseg.nii.gz")


def written(root: Path) -> set[str]:
    return {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}


def test_labels_get_the_names_of_a_segmentation(dataset, labelled, tmp_path, succeeds):
    root = labelled["output"]
    succeeds("propagate", "--bids", *atlas(dataset), **labelled)
    stem = "sub-01/anat/sub-01_space-orig_desc-optreg"
    assert written(root) == {
        "dataset_description.json",
        *(f"{stem}_dseg{e}" for e in (".nii.gz", ".json", ".tsv")),
        *(f"{stem}_agreement{e}" for e in (".nii.gz", ".json")),
        *(f"{stem}_{f}" for f in ("config.toml", "overview.png", "result.json")),
    }
    description = json.loads((root / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    said = json.loads((root / f"{stem}_dseg.json").read_text())
    assert said["SpatialReference"] == labelled["target"].as_uri()
    plain = {**labelled, "output": tmp_path / "plain"}
    succeeds("propagate", *atlas(dataset), **plain)
    labels = load_image(root / f"{stem}_dseg.nii.gz").data
    np.testing.assert_array_equal(labels, load_image(tmp_path / "plain/labels.nii.gz").data)
    header, *rows = (root / f"{stem}_dseg.tsv").read_text().splitlines()
    assert header.split("\t") == ["index", "name", "voxels", "volume_mm3", "agreement"]
    counts = {int(row.split("\t")[0]): int(row.split("\t")[2]) for row in rows}
    assert counts == {n: (labels == n).sum() for n in (1, 2, 3)}


def test_a_second_subject_is_put_beside_the_first(dataset, labelled, succeeds, fails):
    root = labelled["output"]
    other = {**labelled, "target": dataset / "sub-02/anat/sub-02_T1w.nii.gz"}
    for options in (labelled, other):
        succeeds("propagate", "--bids", "--no-report", *atlas(dataset), **options)
    subjects = {parse_name(path).entities["sub"] for path in written(root) if "/" in path}
    assert subjects == {"01", "02"}
    error = fails(3, "propagate", "--bids", "--no-report", *atlas(dataset), **other)
    assert "sub-02_space-orig_desc-optreg_dseg.nii.gz: exists already" in error
    truth = dataset / "sub-02/anat/sub-02_dseg.nii.gz"
    succeeds("propagate", "--bids", "--overwrite", "--no-report", *atlas(dataset),
             target_labels=truth, **other)  # fmt: skip
    metrics = root / "sub-02/anat/sub-02_space-orig_desc-optreg_metrics.json"
    assert json.loads(metrics.read_text())["dice"]["mean"] > 0.95
    succeeds("propagate", "--bids", "--overwrite", "--no-report", *atlas(dataset), **other)
    assert not metrics.exists()


@pytest.mark.parametrize(
    ("code", "more", "change", "what"),
    [
        (2, ["--bids"], {"target": "head.nii.gz"}, "no sub- in its name"),
        (2, ["--bids", "--keep"], {}, "exclude each other"),
        (2, ["--bids"], {"output": "raw"}, "none of derivatives"),
    ],
)
def test_wrong_use_ends_in_one_line(
    dataset, labelled, files, tmp_path, fails, monkeypatch, code, more, change, what
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(files / "fixed.nii.gz", tmp_path / "head.nii.gz")
    before = written(tmp_path)
    assert what in fails(code, "propagate", *more, *atlas(dataset), **{**labelled, **change})
    assert written(tmp_path) == before


def test_nothing_is_left_of_what_fails_and_the_last_name_comes_last(tmp_path, monkeypatch):
    names = {"a.nii.gz": "sub-1/a.nii.gz", "b.json": "sub-1/b.json"}

    def stage(fail):
        with bids.staged_dataset(tmp_path, names, True, lambda name: {"of": name}) as folder:
            (folder / "a.nii.gz").write_bytes(b"a")
            (folder / "b.json").write_bytes(b"b")
            (folder / "nameless").write_bytes(b"")
            if fail:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage(True)
    assert written(tmp_path) == set()
    moved = []
    real = bids.os.replace
    monkeypatch.setattr(bids.os, "replace", lambda a, b: (moved.append(Path(b).name), real(a, b)))
    stage(False)
    assert moved[-1] == "b.json"
    assert written(tmp_path) == {
        "dataset_description.json", "sub-1/a.nii.gz", "sub-1/a.json", "sub-1/b.json"
    }  # fmt: skip
    assert json.loads((tmp_path / "sub-1/a.json").read_text()) == {"of": "a.nii.gz"}
    with pytest.raises(OutputError, match=r"a\.nii\.gz: exists already"):
        bids.check_dataset(tmp_path, names, overwrite=False)
    for text in ('{"DatasetType": "raw"}', "{}", "[]", "{"):
        (tmp_path / "dataset_description.json").write_text(text)
        with pytest.raises(ConfigError, match="none of derivatives"):
            bids.check_dataset(tmp_path, names, overwrite=True)


def test_a_registration_gets_the_names_of_its_images(dataset, tmp_path, succeeds, fails):
    fixed, moving = (dataset / f"sub-{n}/anat/sub-{n}" for n in ("01", "02"))
    moving.with_name("sub-02_T1w.json").write_text('{"SkullStripped": true}')
    root = dataset / "derivatives/optreg"
    options = {"fixed": f"{fixed}_T1w.nii.gz", "moving": f"{moving}_T1w.nii.gz", "threads": 1}
    options |= {"fixed_labels": f"{fixed}_dseg.nii.gz", "moving_labels": f"{moving}_dseg.nii.gz"}
    options |= {"preset": "fast", "output": root}
    succeeds("register", "--bids", **options)
    stem, onto = "sub-02/anat/sub-02", "from-sub02T1w_to-sub01T1w"
    names = {"metrics.json", "report.html", "config.toml", "overview.png", "result.json"}
    image_names = {
        f"{stem}_space-sub01T1w_desc-optreg_T1w",
        f"{stem}_space-sub01T1w_desc-optreg_dseg",
        f"{stem}_{onto}_mode-image_xfm",
        f"{stem}_from-sub01T1w_to-sub02T1w_mode-image_xfm",
    }
    assert written(root) == {
        "dataset_description.json",
        *(f"{stem}_{onto}_desc-optreg_{name}" for name in names),
        *(name + extension for name in image_names for extension in (".nii.gz", ".json")),
    }
    said = json.loads((root / f"{stem}_space-sub01T1w_desc-optreg_T1w.json").read_text())
    assert said["SkullStripped"] is True
    assert said["SpatialReference"] == Path(options["fixed"]).as_uri()
    said = json.loads((root / f"{stem}_{onto}_mode-image_xfm.json").read_text())
    assert said["Sources"] == [Path(options[n]).as_uri() for n in ("moving", "fixed")]
    # The transform is the one that made the image, for SimpleITK too.
    images = [sitk.ReadImage(options[name], sitk.sitkFloat64) for name in ("fixed", "moving")]
    vectors = sitk.ReadImage(str(root / f"{stem}_{onto}_mode-image_xfm.nii.gz"))
    transform = sitk.DisplacementFieldTransform(sitk.Cast(vectors, sitk.sitkVectorFloat64))
    resampled = sitk.Resample(images[1], images[0], transform)
    warped = load_image(root / f"{stem}_space-sub01T1w_desc-optreg_T1w.nii.gz").data
    np.testing.assert_allclose(sitk.GetArrayFromImage(resampled).T, warped, atol=1e-4)
    assert "exists already" in fails(3, "register", "--bids", **options)
    plain = {**options, "output": tmp_path / "plain"}
    succeeds("register", "--format", "itk", **plain)
    field = load_transform(tmp_path / "plain/disp_itk.nii.gz")
    np.testing.assert_array_equal(field, sitk.GetArrayFromImage(vectors))


def load_transform(path):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def test_what_an_earlier_run_wrote_beside_an_image_goes_with_it(tmp_path):
    names = {"a.nii.gz": "sub-1/a_dseg.nii.gz", "b.json": "sub-1/b.json"}
    for staged, left in (
        (names, {"a_dseg.nii.gz", "a_dseg.json", "b.json"}),
        (["b.json"], {"b.json"}),
    ):
        with bids.staged_dataset(tmp_path, names, True, lambda name: {}) as folder:
            for name in staged:
                (folder / name).write_text("x")
        assert {path.name for path in (tmp_path / "sub-1").iterdir()} == left
