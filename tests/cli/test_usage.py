"""Help, wrong usage, contradictory settings, and how the program starts."""

import os
import subprocess
import sys

import numpy as np
import pytest

import optreg
from optreg import cli
from optreg.io import save_image, write_field

COMMANDS = sorted(name.replace("_", "-") for name in cli.COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0
    assert f"optreg {command}" in text.partition("example:")[2]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "nonsense",
        "register",
        "register --fixed a.nii --moving b.nii",
        "register --fixed a --moving b --output c --preset slow",
        "demo --threads 0",
        "demo --threads many",
        "apply --field f.nii",
    ],
)
def test_wrong_usage_exits_with_2(line, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(line.split())
    assert stop.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    [
        "register --fixed a --moving b --output c --fixed-labels d",
        "register --fixed a --moving b --output c --config x --preset fast",
        "register --fixed a --moving b --output c --config missing.toml",
        "apply --field f.nii --output o.nii",
        "evaluate --field f.nii --moving-landmarks m.csv",
        "evaluate --field f.nii --dataset d.json",
        "evaluate --field f.nii --labels labelsVal",
        "evaluate --field f.nii --mask moving",
        "evaluate --field f.nii --jobs 2",
        "evaluate --fields f.zip --dataset d.json --inverse i.nii",
        "evaluate --fields f.zip --dataset d.json --fixed-labels s.nii",
    ],
)
def test_contradictory_settings_exit_with_2(line, fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fails(2, *line.split())
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("line", "unused"),
    [
        ("convert --points p.csv --fixed f.nii --output o.csv --from itk", "--from"),
        ("convert --field a.tfm --fixed f.nii --output o.tfm --via f.nii", "--via"),
        ("evaluate --field f.nii --split test", "--split"),
        ("evaluate --field f.nii --jobs 1", "--jobs"),  # said, although it is the default
        ("evaluate --field f.nii --moving m.nii", "--moving"),
        ("evaluate --field f.nii --hd95", "--hd95"),
        ("evaluate --fields f.zip --dataset d.json --moving m.nii", "--moving"),
        ("evaluate --fields f.zip --dataset d.json --hd95", "--hd95"),
        ("refine --init f.zip --dataset d.json --output o --hd95", "--hd95"),
        ("register --fixed a --moving b --output o --bids --format itk", "--format"),
        ("propagate --target t --atlas a b --output o --fusion majority --power 2", "--power"),
        ("propagate --target t --atlas a b --output o --fusion majority --radius 2", "--radius"),
        ("submit --dataset d --output o --backend dask --scheduler tcp://a:1 --jobs 2", "--jobs"),
        ("info --volume 1", "--volume"),
    ],
)
def test_what_would_not_be_used_is_said(line, unused, fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = fails(2, *line.split())
    assert said.startswith(f"error: {unused} does not go with") and "; leave it out" in said
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "line",
    [
        "evaluate --field f.nii --no-hd95",
        "evaluate --fields f.zip --dataset d.json --no-hd95",
        "info f.nii --volume 1",
    ],
)
def test_what_is_done_as_asked_is_not_refused(line, fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "no such file" in fails(3, *line.split())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("demo --threds 2", "unrecognized arguments: --threds; did you mean --threads?"),
        ("demo --threds=2", "unrecognized arguments: --threds; did you mean --threads?"),
        ("register --fixd a --movin b", "unrecognized arguments: --fixd --movin; did you mean "
         "--fixed --moving?"),
        ("register --fixed_labels a", "unrecognized arguments: --fixed_labels; did you mean "
         "--fixed-labels?"),
        ("register --no-reprt", "unrecognized arguments: --no-reprt; did you mean --no-report?"),
        ("--verson", "unrecognized arguments: --verson; did you mean --version?"),
        ("regster --fixed a", "argument COMMAND: invalid choice: 'regster'; did you mean "
         "register?"),
        ("check_submission a", "argument COMMAND: invalid choice: 'check_submission'; did you mean "
         "check-submission?"),
        ("demo --preset acurate", "argument --preset: invalid choice: 'acurate'; did you mean "
         "accurate?"),
        ("convert --to itkk", "argument --to: invalid choice: 'itkk'; did you mean itk?"),
    ],
)  # fmt: skip
def test_what_was_meant_is_suggested_in_one_line(line, said, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(line.split())
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"error: {said}\n"


def test_nothing_is_suggested_that_is_far_from_it(capsys):
    for line in ("demo --learning-rate 1", "info -z", "demo extra", "demo --quiet --verbose"):
        with pytest.raises(SystemExit) as stop:
            cli.main(line.split())
        said = capsys.readouterr().err
        assert stop.value.code == 2 and "usage:" in said and "did you mean" not in said
        assert line.split()[1] in said.splitlines()[-1]


def test_words_that_only_look_like_options_are_none(fails, capsys):
    assert "no such file" in fails(3, "info", "--", "--threds")
    with pytest.raises(SystemExit) as stop:
        cli.main(["demo", "--threds", "--help"])
    assert stop.value.code == 0 and "example:" in capsys.readouterr().out


FOLDERS = [
    "register --fixed f --moving m --output {}",
    "register --fixed sub-1_T1w.nii --moving sub-2_T1w.nii --bids --output {}",
    "demo --output {}",
    "propagate --target t.nii --atlas t.nii t.nii --output {}",
    "compare a=s b=s --output {}",
    "submit --dataset d.csv --output {}",
    "refine --init s --dataset d.csv --output {}",
    "evaluate --fields s --dataset d.csv --output {}",
]


@pytest.mark.parametrize("line", FOLDERS)
@pytest.mark.parametrize("name", ["x.nii.gz", "sub/x.zip", "x.json/y", "X.NII"])
def test_folder_is_not_called_like_a_file(line, name, fails, blobs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_image(tmp_path / "t.nii", blobs.data, blobs.grid)
    (tmp_path / "d.csv").write_text("fixed,moving,name\nt.nii,t.nii,disp\n")
    (tmp_path / "s").mkdir()
    write_field("s/disp.nii.gz", np.zeros((3, *blobs.shape), np.float32), blobs.grid)
    before = sorted(os.listdir(tmp_path))
    assert "; name a folder, without ." in fails(3, *line.format(name).split())
    assert sorted(os.listdir(tmp_path)) == before and len(os.listdir("s")) == 1


def test_module_starts_without_optional_libraries(child_environment):
    code = (
        "import sys, optreg.cli\n"
        "try: optreg.cli.main(['register', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'nibabel', 'SimpleITK', 'matplotlib', 'joblib', 'nilearn', 'tqdm', 'cupy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=child_environment
    )
    assert done.returncode == 0, done.stderr


def test_python_dash_m_gives_the_exit_code(child_environment, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "optreg", "info", str(tmp_path / "none.nii.gz")],
        capture_output=True,
        text=True,
        env=child_environment,
    )
    assert done.returncode == 3 and done.stdout == ""
    assert done.stderr == f"error: {tmp_path / 'none.nii.gz'}: no such file; check the path\n"


def test_debug_shows_where_it_happened(tmp_path, capsys):
    assert cli.main(["info", str(tmp_path / "none.nii"), "--debug"]) == 3
    error = capsys.readouterr().err
    assert "Traceback" in error and error.splitlines()[-1].startswith("error: ")


def test_version_is_told(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"optreg {optreg.__version__}\n"


SCRIPT = "import sys; from optreg.cli import main; sys.exit(main())"  # as installers write it
INTERRUPT = "import signal; signal.raise_signal(signal.SIGINT)"


@pytest.mark.parametrize("start", [("-m", "optreg"), ("-c", SCRIPT)], ids=["module", "script"])
def test_interrupt_while_libraries_are_imported(start, child_environment, tmp_path):
    # Python imports this before anything else: an interrupt at the first import of NumPy.
    (tmp_path / "sitecustomize.py").write_text(
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Finder:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path=None, target=None):\n"
        f"        if name == 'numpy': {INTERRUPT}\n"
        "sys.meta_path.insert(0, Finder)\n"
    )
    path = os.pathsep.join([str(tmp_path), child_environment["PYTHONPATH"]])
    done = subprocess.run(
        [sys.executable, *start, "info"],
        capture_output=True,
        text=True,
        env=child_environment | {"PYTHONPATH": path},
    )
    assert done.stderr == "error: interrupted; nothing half-written was left\n"
    assert done.returncode == 130 and done.stdout == ""
