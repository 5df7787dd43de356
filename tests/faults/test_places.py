"""Places that cannot be written to, and disks that are full: said in one line, nothing left."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from optreg import cli
from optreg.errors import OutputError
from optreg.io import save_image, write_field

LIMIT = 20_000


@pytest.fixture
def full_disk():
    """What a full disk does to a write: part of it succeeds, then an OSError."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def noise(head):
    """Field that does not compress to nothing."""
    disp = np.random.default_rng(2).normal(0, 0.1, (3, *head.shape))
    return disp.astype(np.float32)


@pytest.fixture
def commands(pair, noise, head, tmp_path_factory):
    """Options of every command that writes, by its name and what it writes."""
    folder = tmp_path_factory.mktemp("inputs")
    field = write_field(folder / "disp.nii.gz", noise, head.grid)
    fixed, moving = pair["fixed"], pair["moving"]
    names = {"fixed": fixed.name, "moving": moving.name}
    (fixed.parent / "d.json").write_text(json.dumps({"validation": [names]}))
    on = {"field": field, "fixed": fixed}
    return {
        ("register", "result"): pair,
        ("apply", "warped.nii.gz"): {**on, "moving": moving},
        ("convert", "warp.nii.gz"): {**on, "to": "itk"},
        ("convert", "warp.mha"): {**on, "to": "itk"},
        ("convert", "warp.h5"): {**on, "to": "itk"},
        ("convert", "warp.npz"): {**on, "to": "npz"},
        ("jacobian", "jacobian.nii.gz"): on,
    }


@pytest.mark.parametrize(
    "key",
    [
        ("register", "result"), ("apply", "warped.nii.gz"), ("convert", "warp.nii.gz"),
        ("convert", "warp.mha"), ("convert", "warp.h5"), ("convert", "warp.npz"),
        ("jacobian", "jacobian.nii.gz"),
    ],
    ids=" ".join,
)  # fmt: skip
class TestEveryCommand:
    def test_leaves_nothing_on_a_full_disk(self, key, commands, tmp_path, full_disk, fails):
        more = ["--report"] if key[0] == "register" else []
        error = fails(3, key[0], *more, **commands[key], output=tmp_path / key[1])
        assert "cannot be written" in error and str(tmp_path) in error
        assert os.listdir(tmp_path) == []

    def test_names_a_place_that_is_not_there(self, key, commands, tmp_path, fails):
        file = tmp_path / "file"
        file.write_text("mine")
        error = fails(3, key[0], **commands[key], output=file / key[1])
        assert error.startswith(f"error: {file / key[1]}: ")
        assert file.read_text() == "mine" and os.listdir(tmp_path) == ["file"]

    def test_replaces_nothing_unless_told(self, key, commands, tmp_path, fails, succeeds):
        target = tmp_path / key[1]
        held = target / "notes.txt" if key[0] == "register" else target
        held.parent.mkdir(exist_ok=True)
        held.write_text("mine")
        assert "overwrit" in fails(3, key[0], **commands[key], output=target)
        assert held.read_text() == "mine"
        succeeds(key[0], "--overwrite", "--quiet", **commands[key], output=target)
        assert target.is_dir() or target.stat().st_size > 1000
        assert os.listdir(tmp_path) == [key[1]]


@pytest.mark.parametrize("name", ["warp.h5", "affine.h5"])
def test_process_ends_in_order_after_hdf5_found_no_room(name, noise, tmp_path, child_environment):
    # HDF5 tries once more when the process ends, and crashes it.
    code = """
        import resource, sys
        import numpy as np
        from optreg.errors import OutputError
        from optreg.grid import Grid
        from optreg.io import write_transform
        from optreg.transform import Affine, DisplacementField

        field = DisplacementField(disp := np.load(sys.argv[1]), Grid.identity(disp.shape[1:]))
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
        try:
            what = field if "warp" in sys.argv[2] else Affine(np.eye(4))
            write_transform(sys.argv[2], what, format="itk")
        except OutputError as error:
            print(error)
    """
    np.save(tmp_path / "disp.npy", noise)
    where = [tmp_path / "disp.npy", tmp_path / name]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, where)],
        capture_output=True,
        text=True,
        env=child_environment,
    )
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout == f"{where[1]}: cannot be written (File too large)\n"


def test_batch_on_a_full_disk_says_which_pairs_failed(commands, pair, tmp_path, full_disk, capsys):
    names = {"dataset": pair["fixed"].with_name("d.json"), "output": tmp_path / "out"}
    argv = [str(word) for k, v in names.items() for word in (f"--{k}", v)]
    assert cli.main(["submit", *argv, "--preset", "fast", "--device", "cpu"]) == 5
    done = capsys.readouterr()
    assert "failed: disp_head_deformed: " in done.out and "cannot be written" in done.out
    assert "Traceback" not in done.err
    assert [p for p in (tmp_path / "out").rglob("*") if ".part" in p.name] == []
    assert os.listdir(tmp_path / "out" / "submission") == []
    assert not (tmp_path / "out" / "submission.zip").exists()


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no /proc on this system")
def test_folder_that_refuses_files_even_to_root(head, pair, fails):
    error = fails(3, "register", "--no-report", **pair, output="/proc/self/result")
    assert error.startswith("error: /proc/") and error.count(": ") >= 2
    with pytest.raises(OutputError, match="cannot be written"):
        save_image("/proc/self/a.nii", head.data, head.grid)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_output_of_the_program_on_a_full_disk(good, child_environment):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "optreg", "info", str(good)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=child_environment,
        )
    assert done.returncode == 3
    assert done.stderr == "error: output: No space left on device; check the disk and its rights\n"
