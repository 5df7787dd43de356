"""Labels brought to a subject: the steps, what is kept, what is refused."""

import json

import numpy as np
import pytest

import optreg
from optreg.errors import ConfigError, GeometryError, InputError, OutputError
from optreg.grid import Grid
from optreg.image import Image
from optreg.io import load_image
from optreg.metrics import dice, mean_over_labels
from optreg.propagation import OWN_FACTOR, Atlas, fuse, pipeline, propagate, similarity_weights

FAST = {"preset": "fast", "threads": 1, "device": "cpu"}


@pytest.fixture(scope="session")
def by_hand(subject, atlases):
    """Labels and images of the atlases on the subject's grid, each by `optreg.register`."""
    fields = [optreg.register(subject[0], a.image, **FAST).transform for a in atlases]
    labels = [f.apply(a.labels, "label").data for f, a in zip(fields, atlases, strict=True)]
    return labels, [f.apply(a.image).data for f, a in zip(fields, atlases, strict=True)]


@pytest.fixture
def registered(monkeypatch):
    """Names of the images that have been registered; the real registration is done."""
    names = []

    def register(fixed, moving, **options):
        names.append(moving.name)
        return optreg.register(fixed, moving, **options)

    monkeypatch.setattr(pipeline, "register", register)
    return names


def test_one_atlas_gives_its_labels(subject, atlases, by_hand):
    found = propagate(subject[0], atlases[:1], **FAST)
    np.testing.assert_array_equal(found.labels.data, by_hand[0][0])
    assert found.labels.data.dtype == np.int16 and found.labels.grid is subject[0].grid
    assert (found.agreement == 1).all()
    assert found.atlases[0]["vote_share"] == 1 and found.atlases[0]["same_label"] == 1


@pytest.mark.parametrize("fusion", ["weighted", "majority"])
def test_labels_are_warped_and_fused(subject, atlases, by_hand, fusion):
    found = propagate(subject[0], atlases, fusion=fusion, **FAST)
    weights = [similarity_weights(subject[0].data, image) for image in by_hand[1]]
    expected = fuse(by_hand[0], weights, OWN_FACTOR) if fusion == "weighted" else fuse(by_hand[0])
    np.testing.assert_array_equal(found.labels.data, expected.labels)
    np.testing.assert_array_equal(found.agreement, expected.agreement)
    assert found.fusion["method"] == fusion
    # Better than what was asked to vote, which is what it is for.
    truth = subject[1].data
    single = [mean_over_labels(dice(truth, labels), background=False) for labels in by_hand[0]]
    fused = mean_over_labels(dice(truth, found.labels.data), background=False)
    assert fused > max(single) > 0.75
    shares = [atlas["vote_share"] for atlas in found.atlases]
    assert sum(shares) == pytest.approx(1)
    if fusion == "majority":
        assert shares == pytest.approx([1 / 3] * 3)


def test_weights_are_as_asked(subject, atlases, by_hand):
    found = propagate(subject[0], atlases, radius_vox=1, power=0.5, **FAST)
    settings = {"radius_vox": 1, "power": 0.5}
    weights = [similarity_weights(subject[0].data, image, **settings) for image in by_hand[1]]
    np.testing.assert_array_equal(found.agreement, fuse(by_hand[0], weights, OWN_FACTOR).agreement)
    assert found.fusion == {"method": "weighted", **settings, "own_factor": OWN_FACTOR}


def test_the_order_of_the_atlases_changes_nothing(subject, atlases):
    first, again = (propagate(subject[0], order, **FAST) for order in (atlases, atlases[::-1]))
    np.testing.assert_array_equal(first.labels.data, again.labels.data)
    np.testing.assert_array_equal(first.agreement, again.agreement)


def test_an_atlas_that_lies_apart_is_aligned_first(subject, atlases):
    motion = np.eye(4)
    motion[:3, 3] = 12, -9, 7
    away = [
        Image(i.data, Grid(i.shape, motion @ i.grid.affine), "away.nii") for i in atlases[0][:2]
    ]

    def score(atlas, init):
        found = propagate(subject[0], [atlas], init=init, **FAST).labels.data
        return mean_over_labels(dice(subject[1].data, found))

    aligned = score(atlases[0], None)
    assert score(tuple(away), "moments") > aligned - 0.03
    assert score(tuple(away), None) < aligned - 0.05


def test_volumes_count_voxels_of_the_target(subject, atlases):
    found = propagate(subject[0], atlases, fusion="majority", **FAST)
    volumes = found.volumes()
    assert [v.label for v in volumes] == [10, 20, 30, 40]
    for label, voxels, volume_mm3, agreement in volumes:
        inside = found.labels.data == label
        assert voxels == inside.sum() and volume_mm3 == pytest.approx(1.5 * voxels)
        assert agreement == pytest.approx(found.agreement[inside].mean(dtype=float))


def test_a_label_that_nobody_votes_for_enough_has_no_volume(subject, atlases):
    image, labels = atlases[0][:2]
    speck = labels.data.copy()
    speck[20, 20, 20] = 99
    given = [(image, Image(speck, labels.grid, "speck")), (image, labels), (image, labels)]
    found = propagate(subject[0], given, fusion="majority", **FAST)
    assert found.label_list == (0, 10, 20, 30, 40, 99)
    last = found.volumes()[-1]
    assert last[:3] == (99, 0, 0.0) and np.isnan(last.agreement)


def test_what_no_atlas_reaches_is_background(subject, atlases):
    image, labels = atlases[0][:2]
    part = (slice(None), slice(None), slice(10, None))
    shifted = Image(labels.data[part] + 1, labels.grid.crop(part), "part without a 0")
    found = propagate(subject[0], [(image, shifted)], **FAST)
    assert found.label_list == (0, 1, 11, 21, 31, 41)
    for label, voxels, *_ in found.volumes():
        assert voxels == (found.labels.data == label).sum()
    assert (found.labels.data == 0).sum() > 1000


def test_what_is_saved_reads_back(subject, atlases, tmp_path):
    found = propagate(subject[0], atlases[:2], **FAST)
    found.save(tmp_path / "out")
    labels = load_image(tmp_path / "out/labels.nii.gz")
    np.testing.assert_array_equal(labels.data, found.labels.data)
    assert labels.data.dtype == np.int16 and labels.grid.same_as(subject[0].grid)
    agreement = load_image(tmp_path / "out/agreement.nii.gz")
    np.testing.assert_array_equal(agreement.data, found.agreement)
    record = json.loads((tmp_path / "out/result.json").read_text())
    assert [atlas["name"] for atlas in record["atlases"]] == ["person0", "person1"]
    assert record["atlases"][0]["registration"]["quality"]["folded_voxels"] == 0
    assert set(record["atlases"][1]["seconds"]) == {"register", "warp", "weights"}
    with pytest.raises(OutputError, match="exists already"):
        found.save(tmp_path / "out")


def test_kept_registrations_are_not_done_again(subject, atlases, tmp_path, registered):
    first = propagate(subject[0], atlases, keep=tmp_path, **FAST)
    assert len(registered) == 3
    again = propagate(subject[0], atlases, keep=tmp_path, fusion="majority", **FAST)
    assert len(registered) == 3 and all(atlas["kept"] for atlas in again.atlases)
    plain = propagate(subject[0], atlases, fusion="majority", **FAST)
    np.testing.assert_array_equal(again.labels.data, plain.labels.data)
    said = [[a["registration"] for a in result.atlases] for result in (first, again)]
    assert said[0] == said[1]


def test_a_run_that_was_stopped_goes_on(subject, atlases, tmp_path, monkeypatch, registered):
    real = pipeline.register

    def stopped(fixed, moving, **options):
        if len(registered) == 2:
            raise KeyboardInterrupt
        return real(fixed, moving, **options)

    monkeypatch.setattr(pipeline, "register", stopped)
    with pytest.raises(KeyboardInterrupt):
        propagate(subject[0], atlases, keep=tmp_path, **FAST)
    monkeypatch.setattr(pipeline, "register", real)
    found = propagate(subject[0], atlases, keep=tmp_path, **FAST)
    assert [atlas["kept"] for atlas in found.atlases] == [True, True, False]
    assert len(registered) == 3


def test_what_has_changed_is_done_again(subject, atlases, tmp_path, registered):
    propagate(subject[0], atlases[:1], keep=tmp_path, **FAST)
    field = tmp_path / "person0/disp.nii.gz"
    whole = field.read_bytes()
    changed = atlases[0].image.data.copy()
    changed[20, 20, 20] += 1
    other = Image(changed, subject[0].grid, "other")
    brighter = Image(subject[0].data * 2, subject[0].grid, "brighter")
    cases = (
        (subject[0], atlases[0], {"similarity": "mind"}),
        (subject[0], atlases[0], {"init": "moments"}),
        (subject[0], atlases[0]._replace(image=other), {}),
        (brighter, atlases[0], {}),
    )
    for number, (target, atlas, more) in enumerate(cases, start=2):
        propagate(target, [atlas], keep=tmp_path, **FAST, **more)
        assert len(registered) == number
    propagate(subject[0], atlases[:1], keep=tmp_path, **FAST)
    for damaged in (whole[:-100], b""):
        field.write_bytes(damaged)
        propagate(subject[0], atlases[:1], keep=tmp_path, **FAST)
        assert field.read_bytes() == whole
    assert len(registered) == 8


def test_names_are_those_of_the_files_and_differ(subject, atlases):
    image, labels = atlases[0][:2]
    named = [Image(image.data, image.grid, f"/data/{n}/t1.nii.gz") for n in "ab"]
    given = [(named[0], labels), (named[1], labels), (image.data, labels.data)]
    target = Image.from_array(subject[0].data)
    found = propagate(target, given, fusion="majority", **FAST)
    assert [atlas["name"] for atlas in found.atlases] == ["t1", "t1-2", "atlas-3"]


def test_whole_numbers_stored_as_floats_are_labels(subject, atlases, by_hand):
    image, labels = atlases[0][:2]
    floats = Image(labels.data.astype(np.float32), labels.grid, "floats.nii")
    found = propagate(subject[0], [(image, floats)], **FAST)
    np.testing.assert_array_equal(found.labels.data, by_hand[0][0])
    assert found.labels.data.dtype == np.int32


def test_wrong_use_is_refused_before_anything_is_registered(subject, atlases, registered):
    image, labels = atlases[0][:2]
    halves = Image(labels.data + np.float32(0.5), labels.grid, "halves.nii")
    far = Grid(labels.grid.shape, labels.grid.affine + 500 * np.eye(4, k=3))
    away = Image(labels.data, far, "away.nii")
    cases = (
        (GeometryError, "away.nii: lies outside of", {"atlases": [atlases[1], (image, away)]}),
        (InputError, "at least one", {"atlases": []}),
        (InputError, "halves.nii: labels hold", {"atlases": [atlases[1], (image, halves)]}),
        (ConfigError, "cannot be that of a folder", {"atlases": [Atlas(image, labels, "../a")]}),
        (ConfigError, "cannot be that of a folder", {"atlases": [Atlas(image, labels, "..")]}),
        (ConfigError, "fusion 'best' does not exist", {"fusion": "best"}),
        (ConfigError, "init 'a.mat' does not exist", {"init": "a.mat"}),
        (ConfigError, "power -1", {"power": -1}),
        (InputError, "no such file", {"atlases": [("missing.nii", labels)]}),
    )
    for error, what, options in cases:
        with pytest.raises(error, match=what):
            propagate(subject[0], **{"atlases": atlases[:1], **FAST, **options})
    assert not registered


def test_one_atlas_needs_no_list(subject, atlases, registered):
    image, labels = atlases[0][:2]
    expected = propagate(subject[0], [(image, labels)], **FAST).labels.data
    for one in ((image, labels), Atlas(image, labels)):
        found = propagate(subject[0], one, init="none", **FAST)
        np.testing.assert_array_equal(found.labels.data, expected)
        assert found.init is None
    assert len(registered) == 3


def test_arrays_of_labels_are_on_the_grid_of_their_image(subject, atlases, by_hand):
    image, labels = atlases[0][:2]
    found = propagate(subject[0], [(image, labels.data.tolist())], **FAST)
    np.testing.assert_array_equal(found.labels.data, by_hand[0][0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["image.nii", "labels.nii"], "atlas 1: is no pair .* give a list of"),
        ([("image.nii",)], "atlas 1: is no pair .* give a list of"),
        ("atlases.csv", "atlases: is a str; give a list of"),
        (Image.from_array(np.ones((9, 9, 9))), "atlases: is a Image; give a list of"),
    ],
)
def test_what_is_no_list_of_atlases(subject, given, message):
    with pytest.raises(InputError, match=message):
        propagate(subject[0], given, **FAST)


@pytest.mark.slow
def test_real_atlases_label_a_real_scan(data_dir):
    def scan(number):
        return tuple(
            data_dir / f"{kind}Val/OASIS_{number}_0000.nii.gz" for kind in ("images", "labels")
        )

    image, truth = scan(1001)
    found = propagate(image, [scan(n) for n in (1000, 1002, 1006)], **{**FAST, "threads": 2})
    truth = load_image(truth).data
    score = mean_over_labels(dice(truth, found.labels.data), background=False)
    assert score > 0.66
    assert found.labels.data.dtype == np.uint8
    sure = found.agreement > 0.99
    right = found.labels.data == truth
    inside = truth > 0
    assert right[sure & inside].mean() > right[~sure & inside].mean() + 0.1
