"""Which slice of a pair is shown."""

from types import SimpleNamespace

import numpy as np

from optreg.report.comparison_pictures import _most_different
from optreg.views import PLANES


def views(after, inside):
    return SimpleNamespace(after=after, inside=inside, fullest=lambda plane: "the middle")


def test_slice_with_a_fair_share_of_the_image_is_shown():
    """Not the one outside of it, nor at its tip, where the difference is largest."""
    inside = np.zeros((20, 20, 20), bool)
    inside[4:16, 4:16, 3:17] = True
    inside[:, :, 3] = False
    inside[9:11, 9:11, 3] = True
    after = np.zeros(inside.shape, np.float32)
    after[:, :, 0] = 1
    after[:, :, 3] = 0.9
    after[8:10, 8:10, 12] = 0.2
    nothing = np.zeros_like(after)
    axial, _, _ = PLANES
    for ours, theirs in ((after, nothing), (nothing, after)):
        assert _most_different(views(ours, inside), views(theirs, inside), axial) == 12
    same = views(after, inside)
    assert _most_different(same, same, axial) == "the middle"
