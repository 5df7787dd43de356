"""Memory that runs out, devices that are not there, runs that are interrupted or go astray."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import optreg
import optreg.registration
from optreg.config import RegistrationConfig
from optreg.errors import DeviceError, InputError
from optreg.io import read_field, save_image
from optreg.kernels import cpu, get_backend
from optreg.result import Status

# A little more address space than the process has when everything is loaded and compiled.
SCARCE = """
    import resource, sys
    import numpy as np
    import optreg
    from optreg.cli import main
    from optreg.io import load_image

    def limit(megabytes):
        pages = int(open("/proc/self/statm").read().split()[0])
        size = pages * resource.getpagesize() + (megabytes << 20)
        resource.setrlimit(resource.RLIMIT_AS, (size, size))

    small = load_image(sys.argv[1])
    optreg.register(small, small, preset="fast", device="cpu")
"""


def in_scarce_memory(code, arguments, environment):
    """What a process says in which memory runs out."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(SCARCE) + textwrap.dedent(code),
            *map(str, arguments),
        ],
        capture_output=True,
        text=True,
        env=environment,
    )


@pytest.fixture
def large(tmp_path, head):
    """File of a larger image."""
    data = head.data.repeat(4, 0).repeat(4, 1).repeat(4, 2)
    grid = optreg.Grid(data.shape, head.grid.affine)
    return save_image(tmp_path / "large.nii", data, grid)


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="no /proc on this system")
def test_lack_of_memory_is_an_error_of_one_line(good, large, child_environment):
    code = """
        image = load_image(sys.argv[2])
        limit(40)
        for call in (
            lambda: optreg.register(image, image, preset="fast", device="cpu"),
            lambda: optreg.register(image, image, preset="fast"),
            lambda: [load_image(sys.argv[2]) for _ in range(30)],
        ):
            try:
                call()
            except optreg.errors.OptregError as error:
                print(type(error).__name__, error)
    """
    done = in_scarce_memory(code, [good, large], child_environment)
    first, second, third = done.stdout.splitlines()
    assert first == second and first.startswith("DeviceMemoryError cpu: out of memory (")
    assert first.endswith("; use smaller images or a machine with more memory")
    assert third.startswith(f"InputError {large}: does not fit into memory")
    assert done.returncode == 0 and done.stderr == ""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="no /proc on this system")
def test_lack_of_memory_at_the_terminal(good, large, tmp_path, child_environment):
    code = """
        limit(60)
        command = ["register", "--no-report", "--device", "cpu", "--preset", "fast"]
        images = ["--fixed", sys.argv[2], "--moving", sys.argv[2]]
        sys.exit(main([*command, *images, "--output", sys.argv[3]]))
    """
    done = in_scarce_memory(code, [good, large, tmp_path / "result"], child_environment)
    assert done.returncode == 4
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert done.stderr.endswith("; use smaller images or a machine with more memory\n")
    assert os.listdir(tmp_path) == ["large.nii"]


def test_device_that_is_not_there(pair, tmp_path, fails, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # as if it were not installed
    from optreg.kernels.gpu import device

    device.cuda_backend.cache_clear()
    for name, words in (("cuda", "CuPy is not installed"), ("cuda:7", "cuda:7"), ("tpu", "tpu: ")):
        pair["device"] = name
        assert words in fails(4, "register", "--no-report", **pair, output=tmp_path / "a")
    assert os.listdir(tmp_path) == []
    with pytest.raises(DeviceError, match="unknown device"):
        get_backend("tpu")
    assert get_backend("auto").name == "cpu"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["register", "submit"])
def test_interrupt_at_the_keyboard(command, large, tmp_path, child_environment):
    (tmp_path / "d.json").write_text('{"validation": [{"fixed": "large.nii", "moving": "b.nii"}]}')
    os.link(large, tmp_path / "b.nii")
    given = {
        "register": ["--fixed", large, "--moving", large, "--no-report"],
        "submit": ["--dataset", tmp_path / "d.json", "--jobs", "2"],
    }[command]
    words = ["--output", tmp_path / "out" / "result", "--preset", "accurate", "--device", "cpu"]
    (tmp_path / "out").mkdir()
    run = subprocess.Popen(
        [sys.executable, "-m", "optreg", command, *given, *words],
        stderr=subprocess.PIPE,
        text=True,
        env=child_environment,
        start_new_session=True,
        # Of a shell in the background a process inherits that interrupts are ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    # The work begins after something of it has appeared.
    deadline = time.monotonic() + 120
    while not list((tmp_path / "out").rglob("*.json" if command == "submit" else ".result*")):
        assert run.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.3)
    os.killpg(run.pid, signal.SIGINT)
    error = run.communicate(timeout=60)[1]
    # Where the interrupt went through an exec, Python ends by the signal: 130 in a shell as well.
    assert run.returncode in (130, -signal.SIGINT)
    assert error.splitlines()[-1] == "error: interrupted; nothing half-written was left"
    assert "Traceback" not in error
    left = {p.name for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert left <= {"config.toml", "disp_large_b.json"}
    # Its helpers end as well, if not in the same moment.
    while _is_alive(run.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _is_alive(run.pid)


def _is_alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_no_iterations_leave_the_images_where_they_are(head, deformed, pair, tmp_path, succeeds):
    (tmp_path / "none.toml").write_text("[continuous]\niterations = [0, 0, 0]\n")
    pair = {k: v for k, v in pair.items() if k != "preset"}
    succeeds(
        "register", "--no-report", "--quiet", **pair,
        config=tmp_path / "none.toml", output=tmp_path / "a",
    )  # fmt: skip
    assert not read_field(tmp_path / "a" / "disp.nii.gz").disp.any()
    config = RegistrationConfig.from_toml(tmp_path / "none.toml")
    result = optreg.register(head, deformed, config=config, device="cpu")
    assert result.status is Status.CONVERGED and not result.inverse.any()


@pytest.fixture
def diverging(monkeypatch):
    """A CPU on which steps on the finest level turn into NaN."""

    def compose_step(force, step, tau, field, out):
        cpu.compose_step(force, step, tau, field, out)
        if out.shape[1] >= 20:
            out[:, 2, 3, 4] = np.nan
        return out

    kernels = SimpleNamespace(**{name: getattr(cpu, name) for name in cpu.__all__})
    kernels.compose_step = compose_step
    backend = replace(get_backend("cpu"), kernels=kernels)
    monkeypatch.setattr(optreg.registration, "get_backends", lambda device: [backend])


def test_divergence_keeps_the_best_field_and_is_said(
    diverging, head, deformed, pair, tmp_path, succeeds, caplog
):
    result = optreg.register(head, deformed, preset="fast")
    assert result.status is Status.DIVERGED and "diverged on level" in caplog.text
    assert np.isfinite(result.disp).all() and np.isfinite(result.inverse).all()
    assert result.quality["folded_voxels"] == result.quality["inverse_folded_voxels"] == 0
    assert np.abs(result.disp).max() > 0.5
    said = succeeds("register", "--no-report", **pair, output=tmp_path / "a")
    assert "diverged on level" in said.err and Status.DIVERGED.value in said.out
    assert json.loads((tmp_path / "a" / "result.json").read_text())["status"] == "diverged"


def test_start_that_leaves_nothing_in_the_image(head, pair, nifti, tmp_path, fails):
    shift = np.zeros((*head.shape, 3), np.float32)
    shift[..., 0] = 11
    path = nifti(tmp_path / "shift.nii", 10 * shift, np.eye(4))
    error = fails(3, "register", "--no-report", **pair, init=path, output=tmp_path / "a")
    assert error.startswith(f"error: {path}: ") and os.listdir(tmp_path) == ["shift.nii"]
    with pytest.raises(InputError, match="no foreground"):
        optreg.register(head, head, preset="fast", init=np.moveaxis(2 * shift, -1, 0))
