"""The overview picture and the lines drawn over images."""

import subprocess
import sys

import numpy as np
import pytest

from optreg import plot
from optreg.errors import ConfigError, OutputError
from optreg.image import Image
from optreg.registration import register
from optreg.transform import DisplacementField

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def result(blobs, smooth_disp):
    fixed = Image(DisplacementField(smooth_disp, blobs.grid).apply(blobs).data, blobs.grid, "a.nii")
    return register(fixed, blobs, preset="fast", threads=1)


def test_overview_has_a_tile_for_each_plane_and_column(result):
    figure = plot.overview(result, title="two heads")
    tiles = [axes for axes in figure.axes if axes.images]
    titles = [axes.get_title() for axes in tiles if axes.get_title()]
    assert titles[:3] == ["fixed", "moving, before", "moving, warped"]
    assert len(tiles) >= 3 * len(titles) == 21
    assert "two heads" in [text.get_text() for text in figure.texts]


def test_overview_leaves_pyplot_alone(result):
    plot.overview(result)
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_saved_overview_is_a_picture_and_not_replaced_unasked(result, tmp_path):
    from PIL import Image as Picture

    path = plot.save_overview(tmp_path / "overview.png", result, dpi=40)
    with Picture.open(path) as picture:
        assert np.ptp(np.asarray(picture.convert("L"))) > 200
    with pytest.raises(OutputError, match=r"overview\.png"):
        plot.save_overview(path, result, dpi=40)
    plot.save_overview(path, result, dpi=40, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["overview.png"]


def test_labels_of_both_images_are_drawn_on_the_warped_one(result):
    def collections(figure):
        rows = [axes for axes in figure.axes if axes.images][:7]
        return {axes.get_title(): len(axes.collections) for axes in rows}

    labels = (result.fixed.data > 0.4).astype(np.uint8)
    plain = collections(plot.overview(result))
    labelled = collections(plot.overview(result, fixed_labels=labels, warped_labels=labels))
    assert plain == labelled | {"moving, warped": 1} and labelled["moving, warped"] == 2


def test_without_matplotlib_it_is_asked_for(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ConfigError, match="pip install matplotlib"):
        plot.overview(result)


def test_unwritable_home_gives_no_noise():
    code = "from optreg import plot; plot.drawing_library(); import matplotlib.font_manager"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": "/proc/nowhere", "PYTHONPATH": ":".join(sys.path)},
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
