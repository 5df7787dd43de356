"""Votes between label maps, against counting them one voxel after the other."""

import itertools
from collections import Counter

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from optreg.errors import ConfigError, InputError
from optreg.propagation import fuse, similarity_weights


def counted(maps, weights, own_factor):
    """The rule as it is stated, one voxel and one vote at a time."""
    shape = maps[0].shape
    labels, agreement = np.zeros(shape, maps[0].dtype), np.zeros(shape)
    for voxel in np.ndindex(shape):
        own, around = Counter(), Counter()
        for volume, weight in zip(maps, weights, strict=True):
            own[volume[voxel]] += int(weight[voxel])
            for axis, step in itertools.product(range(3), (-1, 1)):
                at = list(voxel)
                at[axis] = min(max(at[axis] + step, 0), shape[axis] - 1)
                around[volume[tuple(at)]] += int(weight[tuple(at)])
        if own_factor is None:
            label = min(own, key=lambda n: (-own[n], -around[n], n))
        else:
            label = min(own, key=lambda n: (-own_factor * own[n] - around[n], n))
        labels[voxel], agreement[voxel] = label, own[label] / max(sum(own.values()), 1)
    return labels, agreement


def one_hot(maps, weights, count):
    """Volumes of votes, one for each label; as long as there is no tie, their largest wins."""
    votes = np.zeros((count, *maps[0].shape))
    for volume, weight in zip(maps, weights, strict=True):
        votes += weight * (volume == np.arange(count).reshape(-1, 1, 1, 1))
    return votes


ATLASES = st.integers(1, 5).flatmap(
    lambda n: st.tuples(
        arrays(np.uint8, (n, 3, 4, 3), elements=st.integers(0, 3)),
        arrays(np.uint16, (n, 3, 4, 3), elements=st.integers(0, 3)),
    )
)


@settings(max_examples=25)  # counting takes long
@given(ATLASES, st.sampled_from([None, 1, 3]))
def test_votes_are_those_that_are_counted(atlases, own_factor):
    maps, weights = (list(volumes) for volumes in atlases)
    for given_weights in (None, weights):
        found = fuse(maps, given_weights, own_factor)
        every = given_weights or [np.ones_like(w) for w in weights]
        labels, agreement = counted(maps, every, own_factor)
        np.testing.assert_array_equal(found.labels, labels)
        alike = (np.stack(maps) == maps[0]).all(axis=0)
        np.testing.assert_allclose(found.agreement, np.where(alike, 1, agreement), rtol=1e-6)


@given(ATLASES, st.randoms(use_true_random=False))
def test_the_order_of_the_atlases_changes_nothing(atlases, random):
    order = list(range(len(atlases[0])))
    random.shuffle(order)
    for use in (False, True):
        first = fuse(list(atlases[0]), list(atlases[1]) if use else None)
        again = fuse(
            [atlases[0][i] for i in order], [atlases[1][i] for i in order] if use else None
        )
        np.testing.assert_array_equal(first.labels, again.labels)
        np.testing.assert_array_equal(first.agreement, again.agreement)


@given(arrays(np.int16, (3, 4, 5), elements=st.integers(-5, 300)), st.integers(1, 4))
def test_atlases_that_are_alike_agree(labels, count):
    found = fuse([labels] * count)
    np.testing.assert_array_equal(found.labels, labels)
    assert found.labels.dtype == np.int16 and (found.agreement == 1).all()


def test_many_voxels_are_voted_on_as_few_are(rng):
    maps = [rng.integers(0, 60, (70, 60, 50)).astype(np.uint8) for _ in range(3)]
    weights = [rng.integers(1, 65536, (70, 60, 50)).astype(np.uint16) for _ in range(3)]
    found = fuse(maps, weights)
    votes = one_hot(maps, weights, 60)
    best = np.sort(votes, axis=0)
    clear = best[-1] > best[-2]
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(found.labels[clear], votes.argmax(axis=0)[clear])
    np.testing.assert_allclose(found.agreement, best[-1] / votes.sum(axis=0), rtol=1e-6)


def test_the_majority_is_that_of_simpleitk(rng):
    maps = [rng.integers(0, 5, (12, 14, 13)).astype(np.uint8) for _ in range(4)]
    undecided = 255
    voted = sitk.LabelVoting([sitk.GetImageFromArray(m) for m in maps], undecided)
    voted = sitk.GetArrayFromImage(voted)
    decided = voted != undecided
    assert 0.3 < decided.mean() < 0.9
    np.testing.assert_array_equal(fuse(maps).labels[decided], voted[decided])


def test_a_tie_goes_to_the_label_around_it_not_to_the_background():
    # One atlas has a hole in the middle of label 7, the other has none.
    whole = np.full((5, 5, 5), 7, np.uint8)
    holed = whole.copy()
    holed[2, 2, 2] = 0
    for own_factor in (None, 3):
        found = fuse([whole, holed], None, own_factor)
        assert (found.labels == 7).all() and found.agreement[2, 2, 2] == 0.5
    # Two of three have the hole: the majority wins, unless neighbours count much.
    assert fuse([whole, holed, holed]).labels[2, 2, 2] == 0
    assert fuse([whole, holed, holed], None, 1).labels[2, 2, 2] == 7


def test_labels_of_different_types_keep_their_values():
    a, b = np.full((2, 2, 2), 200, np.uint8), np.full((2, 2, 2), -300, np.int16)
    found = fuse([a, b, b])
    assert found.labels.dtype == np.int16 and (found.labels == -300).all()
    assert (fuse([a, a, b]).labels == 200).all()


def correlations(target, warped, radius):
    """Squared correlation of all cubes, each by `np.corrcoef`; the edge is repeated."""
    pads = [np.pad(v, radius, mode="edge") for v in (target, warped)]
    out = np.zeros(target.shape)
    for voxel in np.ndindex(target.shape):
        cube = tuple(slice(i, i + 2 * radius + 1) for i in voxel)
        a, b = (p[cube].ravel() for p in pads)
        if a.std() > 0 and b.std() > 0:
            out[voxel] = np.corrcoef(a, b)[0, 1] ** 2
    return out


@pytest.mark.parametrize(("radius", "power"), [(1, 1.0), (2, 4.0)])
def test_weights_are_a_power_of_the_local_correlation(rng, radius, power):
    shape = (9, 10, 8)
    target = ndimage.gaussian_filter(rng.standard_normal(shape), 1) * 100 + 500
    warped = -0.3 * target + 10 * ndimage.gaussian_filter(rng.standard_normal(shape), 1)
    found = similarity_weights(target, warped, radius_vox=radius, power=power)
    expected = 1 + 65534 * correlations(target, warped, radius) ** power
    assert found.dtype == np.uint16
    np.testing.assert_allclose(found, expected, atol=8)


def test_weights_are_full_for_any_linear_change_and_smallest_where_flat(tissues):
    image = tissues()[1]
    image[:, :12] = 0
    weights = similarity_weights(image, 40 - 7 * image, radius_vox=1, power=3)
    assert (weights[:, :10] == 1).all()
    assert (weights[4:, 14:] > 65000).mean() > 0.99


def test_wrong_input_is_refused():
    small, large = np.zeros((2, 2, 2), np.uint8), np.zeros((3, 2, 2), np.uint8)
    with pytest.raises(InputError, match="no label maps"):
        fuse([])
    with pytest.raises(InputError, match="one grid"):
        fuse([small, large])
    with pytest.raises(InputError, match="labels are integers"):
        fuse([small, small.astype(float)])
    with pytest.raises(InputError, match="2 weights for 1"):
        fuse([small], [small, small])
    with pytest.raises(InputError, match="atlas of shape"):
        similarity_weights(small, large)
    for wrong in ({"radius_vox": 0}, {"power": -1.0}, {"power": float("nan")}):
        with pytest.raises(ConfigError, match="at least"):
            similarity_weights(small, small, **wrong)
