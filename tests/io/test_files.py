"""Writing that never leaves half a file, whatever goes wrong."""

import os
import resource
import subprocess
import sys
import textwrap
import zlib

import pytest

from optreg.errors import OutputError
from optreg.io.files import gzip_pieces, new_file, write_atomic


def test_written_file_is_complete_and_alone(tmp_path):
    path = write_atomic(tmp_path / "a.bin", [b"one ", memoryview(b"two")], overwrite=False)
    assert path.read_bytes() == b"one two"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def test_existing_file_needs_overwrite(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match="exists already"):
        write_atomic(path, [b"new"], overwrite=False)
    assert path.read_bytes() == b"old"
    write_atomic(path, [b"new"], overwrite=True)
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_interrupted_writing_keeps_the_old_file(tmp_path, error):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def pieces():
        yield b"half of the new"
        assert len(list(tmp_path.iterdir())) == 2
        raise error

    with pytest.raises(error):
        write_atomic(path, pieces(), overwrite=True)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_leftovers_of_a_killed_process_with_the_same_number_do_no_harm(tmp_path, monkeypatch):
    monkeypatch.setattr("os.getpid", lambda: 1)  # as in a container
    left = tmp_path / ".a.txt.1.part"
    left.write_bytes(b"half")
    with new_file(tmp_path / "a.txt", False) as file:
        (other,) = set(tmp_path.iterdir()) - {left}
        assert other.name[1:].rsplit(".", 2)[0] == "a.txt"  # found by who tidies up
        file.write(b"whole")
    assert (tmp_path / "a.txt").read_bytes() == b"whole" and left.read_bytes() == b"half"


def test_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "a.bin", tmp_path / "link.bin"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_atomic(link, [b"new"], overwrite=True)
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(OutputError, match="folder does not exist"):
        write_atomic(tmp_path / "missing" / "a.bin", [b"x"], overwrite=False)
    with pytest.raises(OutputError, match=r"folder does not exist|cannot be written"):
        write_atomic(tmp_path / "file" / "a.bin", [b"x"], overwrite=False)
    with pytest.raises(OutputError, match="not a regular file"):
        write_atomic(tmp_path, [b"x"], overwrite=True)
    with pytest.raises(OutputError, match="cannot be written"):
        write_atomic(tmp_path / ("n" * 300), [b"x"], overwrite=False)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_device_is_not_replaced_by_a_file():
    with pytest.raises(OutputError, match="not a regular file"):
        write_atomic("/dev/full", [b"x"], overwrite=True)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no /proc on this system")
def test_folder_that_refuses_files_even_to_root():
    with pytest.raises(OutputError, match="cannot be written"):
        write_atomic("/proc/self/a.bin", [b"x"], overwrite=False)


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no file size limits")
def test_full_disk_leaves_nothing(child_environment, tmp_path):
    script = textwrap.dedent(
        """
        import resource, signal, sys
        import numpy as np
        from optreg.errors import OutputError
        from optreg.grid import Grid
        from optreg.io import save_image
        # What a full disk does to a write: part of it succeeds, then an OSError.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
        try:
            save_image(sys.argv[1], np.ones((20, 20, 20), np.float32), Grid.identity((20, 20, 20)))
        except OutputError as err:
            print(err)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "a.nii")],
        capture_output=True,
        text=True,
        check=True,
        env=child_environment,
    )
    assert "a.nii: cannot be written (File too large)" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("runs_only", [False, True])
def test_gzip_pieces_are_one_ordinary_stream(rng, runs_only):
    parts = [rng.bytes(1000), bytes(100_000), b"", rng.bytes(3)]
    stream = b"".join(gzip_pieces(parts, runs_only))
    assert zlib.decompress(stream, wbits=31) == b"".join(parts)
    assert len(stream) < 3000
