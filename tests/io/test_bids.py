"""Names after BIDS, against the examples of the specification and what pipelines write."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optreg.errors import ConfigError
from optreg.io.bids import (
    BidsName,
    dataset_description,
    labelling_names,
    parse_name,
    registration_names,
    sidecar,
)

# File names in the text of the specification (raw data, derivatives, templates).
EXAMPLES = {
    "sub-01_ses-1_T1w.nii.gz": ({"sub": "01", "ses": "1"}, "T1w", ".nii.gz"),
    "sub-001_task-rest_run-1_space-MNI305_res-lo_bold.nii.gz": (
        {"sub": "001", "task": "rest", "run": "1", "space": "MNI305", "res": "lo"},
        "bold",
        ".nii.gz",
    ),
    "sub-001_space-fsLR_den-91k_bold.dtseries.nii": (
        {"sub": "001", "space": "fsLR", "den": "91k"},
        "bold",
        ".dtseries.nii",
    ),
    "sub-01_atlas-Destrieux2009_seg-aseg+aparc_dseg.json": (
        {"sub": "01", "atlas": "Destrieux2009", "seg": "aseg+aparc"},
        "dseg",
        ".json",
    ),
    "sub-001_from-T1w_to-MNI305_mode-image_xfm.h5": (
        {"sub": "001", "from": "T1w", "to": "MNI305", "mode": "image"},
        "xfm",
        ".h5",
    ),
    "sub-control01_acq-highres_desc-preproc_T2w.nii": (
        {"sub": "control01", "acq": "highres", "desc": "preproc"},
        "T2w",
        ".nii",
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_of_the_specification_are_taken_apart_and_put_together(name):
    found = parse_name(f"/data/anat/{name}")
    assert (found.entities, found.suffix, found.extension) == EXAMPLES[name]
    assert str(found) == name


def test_a_template_and_the_folder_are_known():
    found = parse_name("tpl-MNI152NLin2009cAsym_res-01_T1w.nii.gz", "tpl")
    assert found.entities == {"tpl": "MNI152NLin2009cAsym", "res": "01"}
    assert parse_name("sub-01/func/sub-01_task-rest_bold.nii.gz").datatype == "func"
    assert parse_name("downloads/sub-01_T1w.nii.gz").datatype == "anat"


@given(
    st.dictionaries(
        st.sampled_from(["ses", "acq", "run", "space", "res", "desc", "task", "from", "to"]),
        st.from_regex(r"[0-9a-zA-Z]{1,6}", fullmatch=True),
    ),
    st.randoms(use_true_random=False),
)
def test_entities_come_in_the_order_of_the_specification(entities, random):
    keys = list(entities)
    random.shuffle(keys)
    name = str(BidsName({**{k: entities[k] for k in keys}, "sub": "1"}, "T1w", ".nii"))
    assert parse_name(name).entities == {**entities, "sub": "1"}
    order = ["sub", "ses", "task", "acq", "run", "space", "res", "from", "to", "desc"]
    found = [pair.split("-")[0] for pair in name.split("_")[:-1]]
    assert found == [key for key in order if key in found]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("OASIS_1001_0000.nii.gz", "no sub- in its name"),
        ("T1w.nii.gz", "no sub- in its name"),
        ("tpl-MNI152NLin6Asym_T1w.nii.gz", "no sub- in its name"),
        ("ses-1_T1w.nii.gz", "no sub- in its name"),
        ("sub-01_brain_T1w.nii.gz", "is no BIDS name"),
        ("sub-01_sub-02_T1w.nii.gz", "is no BIDS name"),
        ("sub-01_ses-a.b_T1w.nii.gz", "is no BIDS name"),
        ("sub-01.nii.gz", "no sub- in its name"),
    ],
)
def test_other_names_are_refused(name, what):
    with pytest.raises(ConfigError, match=what) as error:
        parse_name(name)
    assert str(error.value).startswith(f"{name}: ")


def test_a_subject_onto_a_template():
    names = registration_names(
        "templates/tpl-MNI152NLin2009cAsym_res-01_desc-brain_T1w.nii.gz",
        "raw/sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz",
    )
    folder = "sub-01/ses-1/anat/sub-01_ses-1"
    assert (
        names["disp_itk.nii.gz"]
        == f"{folder}_from-T1w_to-MNI152NLin2009cAsym_mode-image_xfm.nii.gz"
    )
    assert names["inverse_itk.nii.gz"] == (
        f"{folder}_from-MNI152NLin2009cAsym_to-T1w_mode-image_xfm.nii.gz"
    )
    assert names["warped.nii.gz"] == (
        f"{folder}_space-MNI152NLin2009cAsym_res-01_desc-optreg_T1w.nii.gz"
    )
    assert names["warped_labels.nii.gz"] == (
        f"{folder}_space-MNI152NLin2009cAsym_res-01_desc-optreg_dseg.nii.gz"
    )
    assert list(names)[-1] == "result.json" and "disp.nii.gz" not in names


@pytest.mark.parametrize(
    ("fixed", "moving", "here", "there"),
    [
        ("sub-01_T1w", "sub-01_FLAIR", "FLAIR", "T1w"),
        ("sub-01_ses-1_T1w", "sub-01_ses-2_T1w", "ses2T1w", "ses1T1w"),
        ("sub-01_T1w", "sub-01_run-2_T1w", "run2T1w", "T1w"),
        ("sub-01_T1w", "sub-02_T1w", "sub02T1w", "sub01T1w"),
        ("sub-01_desc-preproc_T1w", "sub-01_desc-preproc_bold", "bold", "T1w"),
        ("sub-01_space-MNI305_desc-brain_T1w", "sub-01_T1w", "T1w", "MNI305"),
        ("sub-01_acq-hi_T1w", "sub-01_acq-lo_T2w", "acqloT2w", "acqhiT1w"),
    ],
)
def test_spaces_are_called_by_what_tells_them_apart(fixed, moving, here, there):
    names = registration_names(f"{fixed}.nii.gz", f"{moving}.nii.gz")
    assert f"_from-{here}_to-{there}_mode-image_xfm" in names["disp_itk.nii.gz"]
    assert f"_from-{there}_to-{here}_mode-image_xfm" in names["inverse_itk.nii.gz"]
    assert f"_space-{there}_desc-optreg_" in names["warped.nii.gz"]
    assert names["warped.nii.gz"].split("/")[0] == moving.split("_")[0]
    assert len(set(names.values())) == len(names)
    for path in names.values():  # every one is a BIDS name again, of the same subject
        assert parse_name(path).entities["sub"] == parse_name(f"{moving}.nii.gz").entities["sub"]
    assert "preproc" not in "".join(names.values())


def test_images_that_names_do_not_tell_apart_are_refused():
    with pytest.raises(ConfigError, match="nothing apart"):
        registration_names("a/sub-01_desc-a_T1w.nii.gz", "b/sub-01_desc-b_T1w.nii.gz")


def test_labels_of_a_subject_are_a_discrete_segmentation():
    names = labelling_names("raw/sub-01/anat/sub-01_T1w.nii.gz")
    assert names["labels.nii.gz"] == "sub-01/anat/sub-01_space-orig_desc-optreg_dseg.nii.gz"
    assert names["labels.tsv"] == "sub-01/anat/sub-01_space-orig_desc-optreg_dseg.tsv"
    moved = labelling_names("sub-01_space-MNI305_desc-brain_T1w.nii.gz")
    assert moved["labels.nii.gz"] == "sub-01/anat/sub-01_space-MNI305_desc-optreg_dseg.nii.gz"


def test_sidecars_name_sources_and_space(tmp_path):
    source = tmp_path / "raw/sub-01/anat/sub-01_T1w.nii.gz"
    source.parent.mkdir(parents=True)
    source.with_name("sub-01_T1w.json").write_text('{"SkullStripped": true}')
    reference = tmp_path / "derivatives/sub-02/anat/sub-02_T1w.nii.gz"
    said = sidecar(source, reference, tmp_path / "derivatives")
    assert said == {
        "SkullStripped": True,
        "Sources": [source.as_uri(), "bids::sub-02/anat/sub-02_T1w.nii.gz"],
        "SpatialReference": "bids::sub-02/anat/sub-02_T1w.nii.gz",
    }
    assert sidecar(source, source, tmp_path / "d")["Sources"] == [source.as_uri()]
    source.with_name("sub-01_T1w.json").write_text("{")
    with pytest.raises(ConfigError, match=r"sub-01_T1w\.json: is no JSON"):
        sidecar(source, reference, tmp_path)


def test_the_description_has_what_derivatives_must_say():
    found = json.loads(json.dumps(dataset_description("1.2")))
    assert found["DatasetType"] == "derivative" and {"Name", "BIDSVersion"} <= found.keys()
    assert found["GeneratedBy"] == [{"Name": "optreg", "Version": "1.2"}]
