"""Which landmarks of two images belong together."""

import logging

import numpy as np
import pytest

from optreg.errors import InputError
from optreg.io.landmarks import Landmarks, match_landmarks


def named(*names):
    return Landmarks(names, *np.zeros((2, len(names), 3)))


@pytest.mark.parametrize(
    ("fixed", "moving", "rows", "left_out"),
    [
        ("abc", "abc", ([0, 1, 2], [0, 1, 2]), ""),
        ("abc", "cab", ([0, 1, 2], [1, 2, 0]), ""),
        ("abcd", "dcbA", ([1, 2, 3], [2, 1, 0]), "A, a"),  # never by row: the others have moved
        ("abc", "xyz", ([0, 1, 2], [0, 1, 2]), ""),  # each rater has names of his own
        ("aab", "aba", ([0, 1, 2], [0, 1, 2]), ""),
        ("123", "123", ([0, 1, 2], [0, 1, 2]), ""),
    ],
)
def test_by_name_else_by_row(fixed, moving, rows, left_out, caplog):
    with caplog.at_level(logging.WARNING, "optreg"):
        assert match_landmarks(named(*fixed), named(*moving), "m.csv") == rows
    assert ("left out" in caplog.text) == bool(left_out) and left_out in caplog.text


def test_each_needs_its_counterpart():
    with pytest.raises(InputError, match=r"m.csv: 2 landmarks, the fixed image has 3"):
        match_landmarks(named(*"abc"), named(*"ab"), "m.csv")
