"""``optreg info``: the machine and the files it describes."""

import numpy as np


def test_info_describes_machine_and_files(files, succeeds):
    text = succeeds("info").out
    assert all(word in text for word in ("Python", "numpy", np.__version__, "threads", "GPU"))
    text = succeeds("info", files / "fixed.nii.gz", files / "fixed_seg.nii.gz").out
    assert "40 x 48 x 44 voxels of 1 x 1 x 1 mm" in text and "RAS" in text
    assert "float32" in text and "distinct values" in text
