"""All kernels in a folder that may be read-only later."""

import os
import subprocess
import sys

import pytest

from optreg.cli import warm_up

COUNT = """
from numba.core import event

class Compiled(event.Listener):
    names = []
    def on_start(self, event):
        pass
    def on_end(self, event):
        self.names.append(event.data["dispatcher"].py_func.__name__)

event.register("numba:compile", Compiled())
"""
RARE = f"""
import numpy as np, optreg
from optreg.config import RegistrationConfig
from optreg.metrics import evaluate
from optreg.warmup import compile_everything

compile_everything(device="cpu")
{COUNT}
head = np.random.default_rng(0).random((40, 48, 44), dtype=np.float32)
head[:6] = 0
settings = {{"preset": "fast", "discrete": {{"enabled": "on"}}, "similarity": "mind"}}
config = RegistrationConfig.from_dict(settings)
result = optreg.register(head, head, config=config, device="cpu", init="affine")
for kind in (np.uint8, np.int16, np.int32):
    labels = (3 * head).astype(kind)
    result.transform.apply(labels, "label")
    result.transform.apply(labels, "nearest")
    evaluate(result, inverse=result.inverse, fixed_labels=labels, moving_labels=labels)
grid = optreg.Grid((20, 24, 22), np.diag([2, 2, 2, 1]))
optreg.register(head, optreg.Image(head[::2, ::2, ::2], grid), device="cpu").inverse_transform
print("compiled:", *Compiled.names)
"""
# Two kernels in place of all, which take more than a minute.
FEW = f"""
import sys
import optreg.warmup
from optreg import cli
{COUNT}
def compile_some(device):
    import numpy as np
    from optreg.kernels import cpu
    cpu.downsample(np.zeros((4, 4, 4), np.float32))
    cpu.root_mean_square(np.zeros((3, 4, 4, 4), np.float32))

optreg.warmup.compile_everything = compile_some
code = cli.main(["warm-up"])
print("compiled:", *sorted({{"_downsample", "_square_sums"}} & set(Compiled.names)))
sys.exit(code)
"""


def run(script, environment):
    return subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )


@pytest.mark.slow
def test_nothing_is_left_to_compile(child_environment):
    done = run(RARE, child_environment)
    assert done.stdout.strip() == "compiled:", done


def test_what_is_compiled_is_where_it_is_said_to_be(child_environment, tmp_path):
    environment = {**child_environment, "NUMBA_CACHE_DIR": str(tmp_path / "kernels")}
    done = run(FEW, environment)
    said, compiled = done.stdout.splitlines()
    assert compiled == "compiled: _downsample _square_sums", done.stderr
    count = len(list((tmp_path / "kernels").rglob("*.nbc")))
    assert said == f"{count} compiled kernels in {tmp_path / 'kernels'}" and count > 1
    assert run(FEW, environment).stdout.splitlines() == [said, "compiled:"]


def test_folder_that_is_named_is_made_and_filled(tmp_path, monkeypatch, succeeds):
    """By a process of its own, for numba looks for its folder once."""
    calls = []

    def started(command, env, cwd, check):
        calls.append((command, env, cwd))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(warm_up.subprocess, "run", started)
    said = succeeds("warm-up", cache=tmp_path / "a" / "kernels").out
    assert said.split() == ["set", f"NUMBA_CACHE_DIR={tmp_path / 'a' / 'kernels'}"]
    ((command, environment, place),) = calls
    # Where no other package of the name can lie.
    assert command[-1] == "warm-up" and place == tmp_path / "a" / "kernels"
    assert environment["NUMBA_CACHE_DIR"] == str(tmp_path / "a" / "kernels")
    assert os.path.isdir(tmp_path / "a" / "kernels")


def test_folder_that_cannot_be_made(tmp_path, fails):
    (tmp_path / "file").write_text("")
    assert "file" in fails(3, "warm-up", cache=tmp_path / "file" / "kernels")
