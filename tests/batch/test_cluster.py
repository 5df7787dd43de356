"""A dask cluster gives the same fields: a real scheduler and workers, over TCP on this machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time

import pytest

from optreg import cli
from optreg.batch.records import file_hash

pytest.importorskip("distributed")

pytestmark = [
    pytest.mark.slow,
    # Threads of the client outlive it by moments.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture
def scheduler(child_environment, tmp_path):
    """Address of a scheduler with two workers, all processes of their own."""
    address = f"tcp://127.0.0.1:{free_port()}"
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--no-dashboard"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-dashboard"]
    worker += ["--nthreads", "1", "--nworkers", "1", "--local-directory", str(tmp_path)]
    quiet = {"env": child_environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask += ["--host", "127.0.0.1", "--port", address.rpartition(":")[2]]
    processes = [subprocess.Popen(dask, **quiet)]
    processes += [subprocess.Popen(worker, **quiet) for _ in range(2)]
    try:
        from distributed import Client

        with Client(address, timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
        yield address
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)


def test_workers_of_a_cluster_give_the_same(images, undisturbed, scheduler, tmp_path):
    argv = ["submit", "--dataset", images / "d.json", "--config", images / "fast.toml"]
    argv += ["--output", tmp_path / "b", "--device", "cpu", "--quiet"]
    argv += ["--backend", "dask", "--scheduler", scheduler, "--threads", "1"]
    start = time.perf_counter()
    assert cli.main([str(a) for a in argv]) == 0
    assert time.perf_counter() - start < 300
    fields = tmp_path / "b" / "submission"
    expected = {p.name: file_hash(p) for p in (undisturbed / "submission").iterdir()}
    assert {p.name: file_hash(p) for p in fields.iterdir()} == expected
    # Not this process did the work, and not one worker alone.
    records = [json.loads(p.read_text()) for p in (tmp_path / "b" / "records").iterdir()]
    assert os.getpid() not in {r["process"] for r in records}
    assert len({r["process"] for r in records}) == 2


def test_nobody_at_the_address(images, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("optreg.batch.parallel._PATIENCE_S", 1)
    argv = ["submit", "--dataset", images / "d.json", "--output", tmp_path / "b", "--quiet"]
    argv += ["--backend", "dask", "--scheduler", f"tcp://127.0.0.1:{free_port()}"]
    assert cli.main([str(a) for a in argv]) == 4
    assert "no scheduler answers" in capsys.readouterr().err
