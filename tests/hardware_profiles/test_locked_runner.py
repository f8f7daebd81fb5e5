"""One at a time: between threads and processes, after a crash, whatever lies where the note should."""

import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from hardware_profiles.connection import parse_connection
from hardware_profiles.errors import DeviceError, Unreachable
from hardware_profiles.measurement import Latency
from hardware_profiles.runners import locked
from hardware_profiles.runners.base import Anchor, Array, Computes, Runner
from hardware_profiles.runners.locked import LockedRunner, lock_path, shared_folder

ROOT = Path(locked.__file__).parent.parent.parent


class Inner:
    """A runner that keeps count of how many use it at once."""

    def __init__(self, deed: Callable[[], None] = lambda: time.sleep(0.05)) -> None:
        self.deed, self.inside, self.most = deed, 0, 0

    def measure(self, models: Sequence[Path], anchor: Anchor | None) -> tuple[Latency, ...]:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.deed()
        self.inside -= 1
        return ()


class Calculator(Inner):
    def compute(self, model: Path, inputs: Sequence[Array]) -> tuple[Array, ...]:
        self.measure((), None)
        return tuple(2 * array for array in inputs)


def wrap(inner: Runner, tmp_path: Path, deadline_s: float = 20.0, **more: object) -> LockedRunner:
    told: list[str] = []
    runner = LockedRunner(inner, tmp_path / "x.lock", deadline_s, told.append, **more)  # type: ignore[arg-type]
    runner.told = told  # type: ignore[attr-defined]
    return runner


def test_of_many_threads_one_is_inside_at_a_time(tmp_path: Path) -> None:
    inner = Inner()
    threads = [threading.Thread(target=wrap(inner, tmp_path).measure, args=((), None)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inner.most == 1


HOLD = """
import sys, time
from pathlib import Path
from hardware_profiles.runners.locked import LockedRunner
class Slow:
    def measure(self, models, anchor):
        print("inside", flush=True)
        time.sleep(60)
LockedRunner(Slow(), Path(sys.argv[1]), 9.0, print, who="anna@laptop, study 'leaves'").measure((), None)
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "x.lock")],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "inside\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_beyond_the_deadline_the_holder_is_named(tmp_path: Path, holder) -> None:
    runner = wrap(Inner(), tmp_path, 0.2, place="ssh://pi@10.0.0.7")
    with pytest.raises(
        Unreachable, match=rf"ssh://pi@10.*anna@laptop, study 'leaves' \(process {holder.pid}"
    ):
        runner.measure((), None)
    assert len(runner.told) == 1
    assert runner.told[0].startswith("waiting for anna@laptop")
    assert runner.told[0].endswith("to finish measuring on ssh://pi@10.0.0.7")


def test_a_holder_that_is_killed_frees_the_lock(tmp_path: Path, holder) -> None:
    threading.Timer(0.3, holder.kill).start()
    assert wrap(Inner(), tmp_path, 10.0).measure((), None) == ()


def test_the_note_is_empty_again_afterwards_even_after_an_error(tmp_path: Path) -> None:
    def deed() -> None:
        note = json.loads((tmp_path / "x.holder").read_text())
        assert (note["who"], note["pid"]) == ("me", os.getpid())
        raise Unreachable("gone")

    with pytest.raises(Unreachable, match="gone"):
        wrap(Inner(deed), tmp_path, who="me").measure((), None)
    assert (tmp_path / "x.holder").read_bytes() == b""
    assert wrap(Inner(), tmp_path, 0.0).measure((), None) == ()


def test_files_are_for_all_users(tmp_path: Path) -> None:
    wrap(Inner(), tmp_path).measure((), None)
    for name in ("x.lock", "x.holder"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o666


@pytest.mark.parametrize("trap", ["link", "pipe", "folder", "garbage"])
def test_whatever_lies_where_the_note_should_is_left_alone(trap: str, tmp_path: Path, holder) -> None:
    note, victim = tmp_path / "x.holder", tmp_path / "victim"
    victim.write_text("precious")
    note.unlink()
    plant = {
        "link": lambda: note.symlink_to(victim),
        "pipe": lambda: os.mkfifo(note),
        "folder": note.mkdir,
        "garbage": lambda: note.write_bytes(b"\xff" * 10_000),
    }
    plant[trap]()
    with pytest.raises(Unreachable, match="somebody"):
        wrap(Inner(), tmp_path, 0.1).measure((), None)
    holder.kill()
    assert wrap(Inner(), tmp_path, 10.0).measure((), None) == ()
    assert victim.read_text() == "precious"


def test_a_lock_that_cannot_be_had_at_all_is_one_line(tmp_path: Path) -> None:
    runner = LockedRunner(Inner(), tmp_path / "nowhere" / "x.lock", 0.1, print)
    (tmp_path / "nowhere").write_text("a file")
    with pytest.raises(DeviceError, match="cannot lock") as caught:
        runner.measure((), None)
    assert "\n" not in str(caught.value)


def test_it_computes_if_the_one_within_does(tmp_path: Path) -> None:
    assert not isinstance(wrap(Inner(), tmp_path), Computes)
    runner = wrap(Calculator(), tmp_path)
    assert isinstance(runner, Computes)
    (doubled,) = runner.compute(Path("x"), [np.ones(3)])
    assert doubled.tolist() == [2, 2, 2]


def test_a_deadline_is_no_less_than_nothing(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="got -1"):
        wrap(Inner(), tmp_path, -1)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("ssh://anna@Board", "ssh://ben@board:22", True),
        ("ssh://board", "ssh://board:2222", False),
        ("ssh://board", "ssh://board2", False),
        ("adb://A1", "adb://A2", False),
        ("local", "ssh://localhost", False),
        ("command:./a b", "command:./a 'b'", True),
    ],
)
def test_users_of_one_board_meet_at_one_lock(one, other, same, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(locked.tempfile, "gettempdir", lambda: str(tmp_path))
    first, second = lock_path(parse_connection(one)), lock_path(parse_connection(other))
    assert (first == second) == same
    assert stat.S_IMODE(first.parent.stat().st_mode) == 0o1777


@pytest.mark.parametrize("trap", ["file", "link"])
def test_what_is_no_folder_is_refused(trap: str, tmp_path: Path) -> None:
    place = tmp_path / "locks"
    if trap == "file":
        place.write_text("")
    else:
        place.symlink_to(tmp_path)
    with pytest.raises(DeviceError, match="locks is to be a folder"):
        shared_folder(place)
