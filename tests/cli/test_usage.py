"""Help, wrong usage, contradictory settings, and how the program starts."""

import os
import subprocess
import sys

import pytest

import optreg
from optreg import cli

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
