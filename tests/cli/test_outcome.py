"""The numbers a command writes can be read by every JSON reader."""

import json

import numpy as np

from optreg.cli.outcome import json_text


def test_json_has_no_nan():
    text = json_text({"a": {1: float("nan"), 2: np.float32(0.5)}, "b": [np.int64(3), np.inf]})
    assert json.loads(text) == {"a": {"1": None, "2": 0.5}, "b": [3, None]}
