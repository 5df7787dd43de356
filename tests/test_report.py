"""The HTML report: self-contained, well formed, complete, safe."""

import base64
import configparser
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from optreg.errors import OutputError
from optreg.image import Image
from optreg.metrics import evaluate
from optreg.registration import register
from optreg.report import numbers, pictures, write_report
from optreg.report.curves import loss_curves, time_bars
from optreg.transform import DisplacementField

pytest.importorskip("matplotlib")

_VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Everything a test asks of a page."""

    def __init__(self, text):
        super().__init__()
        self.open, self.problems, self.addresses, self.ids = [], [], [], []
        self.text, self.scripts, self.tags = [], {}, []
        self.feed(text)
        self.close()
        self.problems += [f"<{tag}> is not closed" for tag in self.open]
        self.visible = " ".join(" ".join(self.text).split())

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append(tag)
        self.addresses += [given[k] for k in ("src", "href", "data", "action") if k in given]
        self.ids += [given["id"]] if "id" in given else []
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts[given.get("type", "code")] = ""
            self.kind = given.get("type", "code")

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open[-1] != tag:
            self.problems.append(f"</{tag}> closes {self.open[-3:]}")
        else:
            self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[self.kind] += data
        elif self.open and self.open[-1] != "style":
            self.text.append(data)


@pytest.fixture(scope="module")
def result(blobs, smooth_disp):
    fixed = Image(
        DisplacementField(smooth_disp, blobs.grid).apply(blobs).data, blobs.grid, "sub-1/fixed.nii"
    )
    return register(fixed, blobs, preset="fast", threads=1)


@pytest.fixture(scope="module")
def labelled(result):
    """Labels of both images, metrics and metrics of the start."""
    fixed, moving = (
        np.digitize(image.data, [0.01, 0.35, 0.6]).astype(np.uint8)
        for image in (result.fixed, result.moving)
    )
    given = {"fixed_labels": fixed, "moving_labels": moving, "fixed_mask": fixed > 0}
    return {
        "metrics": evaluate(result.disp, inverse=result.inverse, **given),
        "metrics_before": evaluate(np.zeros_like(result.disp), hd95=False, **given),
        "fixed_labels": fixed,
        "warped_labels": result.transform.apply(moving, "nearest"),
    }


@pytest.fixture(scope="module")
def written(result, labelled, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    return write_report(path, result, title="Two heads", **labelled)


@pytest.fixture(scope="module")
def page(written):
    return Page(written.read_text(encoding="utf-8"))


def test_page_is_well_formed(page):
    assert page.problems == []
    assert len(page.ids) == len(set(page.ids))
    assert page.tags[0] == "html" and {"main", "h1", "noscript"} <= set(page.tags)


def test_page_needs_nothing_from_outside(written, page):
    assert [a for a in page.addresses if not a.startswith(("#", "data:"))] == []
    text = written.read_text(encoding="utf-8")
    assert not re.search(r"https?://|url\((?!data:)|@import|\bfetch\(|XMLHttpRequest", text)
    assert written.stat().st_size < 8e6


def test_no_placeholder_is_left(written):
    assert not re.search(r"@[A-Z_]{3,}@", written.read_text(encoding="utf-8"))


def test_page_shows_the_numbers(result, labelled, page):
    metrics = labelled["metrics"]
    for value, decimals in (
        (metrics["dice"]["mean_without_background"], 3),
        (metrics["hd95"]["mean_without_background_mm"], 2),
        (metrics["folding"]["ndv_percent"], 4),
        (metrics["smoothness"]["sdlogj"], 3),
        (metrics["inverse_consistency"]["mean_vox"], 3),
        (result.quality["sdlogj"], 3),
        (result.timings["total"], 1),
        (labelled["metrics_before"]["dice"]["mean_without_background"], 3),
        *((v, 3) for v in metrics["dice"]["per_label"].values()),
    ):
        assert numbers.number(value, decimals) in page.visible, (value, decimals)
    for words in ("Two heads", result.status.value[1:].rstrip("."), "sub-1/fixed.nii", "numpy"):
        assert words in page.visible
    for line in result.config.to_toml().split("\n"):
        assert " ".join(line.split()) in page.visible


def test_pictures_hold_every_slice(page, result):
    from PIL import Image as Picture

    data = json.loads(page.scripts["application/json"])
    assert [p["name"] for p in data["planes"]] == ["axial", "coronal", "sagittal"]
    for plane in data["planes"]:
        assert len(plane["slices"]) == 12
        assert set(plane["layers"]) == {"fixed", "moving", "warped", "before", "after", "jacobian"}
        contrast = {}
        for name, address in plane["layers"].items():
            picture = Picture.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
            assert picture.size == (plane["width"], plane["height"] * 12)
            contrast[name] = int(np.ptp(np.asarray(picture.convert("L"))))
        # A good registration leaves little to see in the difference after it.
        assert 0 < contrast.pop("after") < contrast["before"]
        assert min(contrast.values()) > 50
        assert set(plane["lines"]) == {"fixed", "warped", "grid"}
        assert all(len(lines) == 12 for lines in plane["lines"].values())


def test_lines_are_inside_the_picture(page):
    data = json.loads(page.scripts["application/json"])
    for plane in data["planes"]:
        for name, slices in plane["lines"].items():
            numbers16 = np.frombuffer(base64.b64decode(slices[6]), "<i2")
            parts = np.split(numbers16, np.flatnonzero(numbers16 == data["end"]) + 1)[:-1]
            assert parts, name
            for part in parts:
                points = part[:-1].reshape(-1, 2) / data["fraction"]
                assert (points >= 0).all()
                assert (points <= [plane["width"], plane["height"]]).all()


def test_outline_of_a_picture_meets_its_edge(result, labelled, page):
    # Lines and pixels come by different ways; they must agree on where things are, rows included.
    from PIL import Image as Picture

    plane = json.loads(page.scripts["application/json"])["planes"][1]
    address = plane["layers"]["fixed"]
    strip = np.asarray(Picture.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))
    height, pick = plane["height"], 6
    shown = strip[pick * height : (pick + 1) * height] > 12
    values = np.frombuffer(base64.b64decode(plane["lines"]["fixed"][pick]), "<i2")
    points = values[values != np.iinfo(np.int16).min].reshape(-1, 2) / 32
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    np.testing.assert_allclose(
        [*points.min(axis=0), *points.max(axis=0)],
        [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1],
        atol=1.6,
    )


def test_text_from_outside_cannot_break_out(result, tmp_path):
    evil = "</script><script>alert(1)</script><b>&@TITLE@"
    fixed = replace(result.fixed, name=evil)
    path = write_report(tmp_path / "r.html", replace(result, fixed=fixed), title=evil)
    page = Page(path.read_text(encoding="utf-8"))
    assert page.problems == [] and page.tags.count("script") == 2
    assert evil in page.visible and "alert(1)" not in "".join(page.scripts.values())


def test_report_without_labels_or_metrics(result, tmp_path):
    page = Page(write_report(tmp_path / "r.html", result).read_text(encoding="utf-8"))
    assert page.problems == [] and "blobs on fixed" in page.visible
    assert set(json.loads(page.scripts["application/json"])["planes"][0]["lines"]) == {
        "fixed",
        "grid",
    }


def test_existing_report_is_kept_unless_asked(result, tmp_path):
    path = tmp_path / "r.html"
    path.write_text("mine")
    with pytest.raises(OutputError, match=r"r\.html"):
        write_report(path, result)
    assert path.read_text() == "mine"
    write_report(path, result, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (0.12345, 3, "0.123"),
        (1234567, 0, "1\u202f234\u202f567"),
        (0.0, 4, "0"),
        (0.00001, 4, "1.0e\u221205"),
        (float("nan"), 2, "\u2013"),
        (None, 2, "\u2013"),
        (float("inf"), 2, "\u221e"),
        (-0.5, 2, "\u22120.50"),
        (0.9996, 3, "1.000"),
    ],
)
def test_numbers_read_well(value, decimals, text):
    assert numbers.number(value, decimals) == text


def test_curves_have_one_line_a_level_and_survive_bad_losses():
    history = [
        {"stage": "continuous", "level": level, "iteration": i, "loss": -level + 0.1 * i}
        for level in (4, 2, 1)
        for i in range(5)
    ]
    history[-1]["loss"] = float("nan")
    text = loss_curves(history)
    lines = re.findall(r'<polyline[^>]*points="([^"]*)"', text)
    assert [len(line.split()) for line in lines] == [5, 5, 4]
    heights = [[float(p.split(",")[1]) for p in line.split()] for line in lines]
    # Losses rise here, so the lines go down the page's y axis, and level 4 is the lowest.
    assert all(h == sorted(h, reverse=True) for h in heights)
    assert heights[0][0] > heights[1][0] > heights[2][0]
    assert Page(text).problems == []
    assert "No iterations" in loss_curves([])
    flat = loss_curves([{"stage": "s", "level": 1, "iteration": 0, "loss": 0.5}])
    assert "nan" not in flat and Page(flat).problems == []


def test_bars_are_in_proportion():
    text = time_bars({"start": 1.0, "warp_all": 4.0, "total": 5.5})
    assert [float(w) for w in re.findall(r"width:([\d.]+)%", text)] == [25, 100]
    assert "5.5 s" in text and "warp all" in text


def test_style_and_script_are_packaged():
    root = Path(__file__).parents[1]
    if not (root / "setup.cfg").is_file():
        pytest.skip("not a source tree")
    setup = configparser.ConfigParser()
    setup.read(root / "setup.cfg")
    patterns = setup["options.package_data"]["optreg"].split()
    assets = [
        p for p in (root / "optreg" / "report").iterdir() if p.suffix in {".css", ".html", ".js"}
    ]
    assert len(assets) == 5
    for asset in assets:
        assert any(asset.match(pattern) for pattern in patterns), asset.name


def test_large_images_are_drawn_small(result):
    from optreg.views import collect

    views = collect(result)
    big = replace(
        views,
        spacing=np.array([0.1, 0.1, 0.1]) * 20,
        **{
            n: np.repeat(np.repeat(getattr(views, n), 9, axis=-1), 9, axis=-2)
            for n in (
                "fixed",
                "moving",
                "warped",
                "before",
                "after",
                "log_jacobian",
                "folded",
                "inside",
                "positions",
            )
        },
    )
    data = pictures.viewer_data(big, count=2)
    assert max(max(p["width"], p["height"]) for p in data["planes"]) <= 288


@pytest.mark.parametrize("shape", [(12 * 288, 288, 3), (12 * 288, 288), (8, 8, 3)])
def test_pictures_of_noise_are_written(shape, rng):
    """Noise takes more room than Pillow expects of a picture."""
    from PIL import Image as Picture

    pixels = rng.integers(0, 256, shape).astype(np.uint8)
    data = pictures._jpeg(pixels).removeprefix("data:image/jpeg;base64,")
    found = np.asarray(Picture.open(io.BytesIO(base64.b64decode(data))), int)
    assert np.abs(found - pixels).mean() < 6.5
