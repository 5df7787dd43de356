"""All kernels in a folder that may be read-only later."""

import subprocess
import sys

import pytest
from read_only import read_only

RARE = """
import numpy as np, optreg
from numba.core import event
from optreg.config import RegistrationConfig
from optreg.metrics import evaluate

class Compiled(event.Listener):
    names = []
    def on_start(self, event):
        pass
    def on_end(self, event):
        self.names.append(event.data["dispatcher"].py_func.__name__)

event.register("numba:compile", Compiled())
head = np.random.default_rng(0).random((40, 48, 44), dtype=np.float32)
head[:6] = 0
settings = {"preset": "fast", "discrete": {"enabled": "on"}, "similarity": "mind"}
config = RegistrationConfig.from_dict(settings)
result = optreg.register(head, head, config=config, device="cpu", init="affine")
labels = (3 * head).astype(np.int16)
result.transform.apply(labels, "label")
evaluate(result, fixed_labels=labels, moving_labels=labels)
print("compiled:", *Compiled.names)
"""


@pytest.mark.slow
def test_nothing_is_left_to_compile(child_environment, tmp_path):
    kernels = tmp_path / "kernels"
    command = [sys.executable, "-m", "optreg", "warm-up", "--cache", kernels]
    done = subprocess.run(command, env=child_environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "compiling kernels for this processor" in done.stderr
    assert f"NUMBA_CACHE_DIR={kernels}" in done.stdout
    count = int(done.stdout.split()[0])
    assert count == len(list(kernels.rglob("*.nbc"))) > 50
    environment = {**child_environment, "NUMBA_CACHE_DIR": str(kernels)}
    with read_only(kernels) as run:
        done = run([sys.executable, "-c", RARE], env=environment)
    assert done.stdout.strip() == "compiled:" and done.stderr == "", done


def test_folder_that_cannot_be_made(tmp_path, fails):
    (tmp_path / "file").write_text("")
    assert "file" in fails(3, "warm-up", cache=tmp_path / "file" / "kernels")
