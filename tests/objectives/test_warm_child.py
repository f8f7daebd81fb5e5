"""A child that stays: quick at the second call, and replaced where a function brought it down."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from processes import gone

import objectives
from objectives import warm_child
from objectives.errors import Mismatch, ObjectiveError
from objectives.guard import ChildFailed, ChildLost
from objectives.warm_child import WarmChild, converting

ROOT = Path(objectives.__file__).parents[1]


@pytest.fixture(scope="module")
def child():
    made = WarmChild()
    yield made
    made.close()


def run(child, name, timeout_s=60.0, **arguments):
    return child.call(f"brought_models:{name}", arguments, timeout_s, what="doing it")


def pid_of(child) -> int:
    return child.call("os:getpid", {}, 60.0, what="telling")


def test_one_process_answers_again_and_again(child, capfd):
    big = np.arange(100_000)
    assert pid_of(child) == pid_of(child) != os.getpid()
    assert np.array_equal(run(child, "multiply", a=big, b=2), big * 2)
    assert capfd.readouterr() == ("", "")


def test_a_crash_costs_one_call(child):
    before = pid_of(child)
    with pytest.raises(ChildFailed, match=r"^doing it was ended by SIGSEGV$"):
        run(child, "crash", word="INFO: all is well", number=signal.SIGSEGV)
    assert run(child, "multiply", a=2, b=3) == 6
    assert pid_of(child) != before


def test_the_last_words_are_told(child):
    with pytest.raises(ChildFailed, match=r"^doing it was ended by SIGABRT: F0000 Check failed: 1 == 2$"):
        run(child, "crash", word="F0000 Check failed: 1 == 2", number=signal.SIGABRT)


def test_the_time_limit_ends_all_its_processes(child, tmp_path):
    pids = tmp_path / "pids"
    with pytest.raises(ChildFailed, match=r"^doing it was ended after 2 s, all the time that it has$"):
        run(child, "hang", 2.0, pids=str(pids))
    assert all(gone(int(pid)) for pid in pids.read_text().split())
    assert run(child, "multiply", a=2, b=3) == 6


@pytest.mark.parametrize(("kind", "error"), [("mismatch", Mismatch), ("objective", ObjectiveError)])
def test_our_own_errors_come_back_as_they_are(child, kind, error):
    before = pid_of(child)
    with pytest.raises(ObjectiveError, match=r"^the rule, the value and the way out$") as raised:
        run(child, "refuse", kind=kind)
    assert type(raised.value) is error
    assert pid_of(child) == before


def test_one_that_grew_too_large_is_replaced(child, monkeypatch):
    before = pid_of(child)
    monkeypatch.setattr(warm_child, "LARGEST_BYTES", 1)
    assert run(child, "multiply", a=2, b=3) == 6
    monkeypatch.undo()
    assert pid_of(child) != before


def test_a_child_killed_from_outside_is_told_and_replaced(child):
    os.kill(pid_of(child), signal.SIGKILL)
    with pytest.raises(ChildLost, match="SIGKILL"):  # no fault of what it was at
        run(child, "multiply", a=2, b=3)
    assert run(child, "multiply", a=2, b=3) == 6


def test_one_that_does_not_come_up_is_told_and_replaced(monkeypatch):
    monkeypatch.setattr(warm_child, "START_S", 0.01)
    child = WarmChild()
    with pytest.raises(ChildLost, match=r"did not come up in 0\.01 s"):
        pid_of(child)
    monkeypatch.undo()
    assert pid_of(child) != os.getpid()
    child.close()


def test_it_ends_with_a_parent_that_is_killed_and_leaves_nothing(tmp_path):
    program = (
        "import os, sys, signal; from objectives.warm_child import WarmChild; child = WarmChild(); "
        "print(child.call('os:getpid', {}, 60, what='telling'), flush=True); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    assert gone(int(done.stdout))
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_of_one_that_is_closed():
    child = WarmChild()
    process, output = child._process, child._output
    child.close()
    child.close()
    assert gone(process.pid)
    assert output.closed


def test_a_process_has_one_for_conversions():
    assert converting() is converting()


def test_modules_of_the_users_own_hide_none_of_ours(tmp_path, monkeypatch):
    (tmp_path / "objectives.py").write_text("raise ImportError('the wrong objectives')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), *sys.path])
    child = WarmChild()
    try:
        assert run(child, "multiply", a=2, b=3) == 6
    finally:
        child.close()
