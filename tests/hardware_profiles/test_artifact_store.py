"""Content-addressed files under concurrency and kill -9."""

import hashlib
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_profiles import artifact
from hardware_profiles.artifact import ArtifactStore, write_atomically

ROOT = Path(artifact.__file__).parent.parent


@given(data=st.binary(max_size=2000))
def test_what_is_put_can_be_got_by_its_sha256(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    store = ArtifactStore(tmp_path_factory.getbasetemp() / "store")
    name = store.put(data)
    assert name == hashlib.sha256(data).hexdigest()
    assert store.get(name) == data
    assert store.put(data) == name


def test_what_was_never_put_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ArtifactStore(tmp_path).get("0" * 64)


def test_many_writers_of_the_same_and_other_bytes(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    contents = [bytes([n % 5]) * 200_000 for n in range(40)]
    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(store.put, contents))
    assert len(set(names)) == 5
    assert all(store.get(name) == data for name, data in zip(names, contents, strict=True))
    assert not list(tmp_path.rglob(".part-*"))


KILLED = """
import os, signal, sys
from pathlib import Path
from hardware_profiles.artifact import ArtifactStore
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
{where} = die
ArtifactStore(Path(sys.argv[1])).put(b"x" * 100_000)
"""


@pytest.mark.parametrize("where", ["os.fsync", "os.replace"])
def test_a_kill_while_writing_leaves_nothing_that_could_be_got(where: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED.format(where=where), tmp_path],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert not list(tmp_path.rglob("*.tflite"))
    store = ArtifactStore(tmp_path)
    assert store.get(store.put(b"x" * 100_000)) == b"x" * 100_000


def test_a_write_that_fails_cleans_up_and_keeps_what_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"before")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artifact.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
