"""A function in a child process: its result, and every way in which there is none."""

import pickle
import signal

import numpy as np
import pytest
from processes import gone

from objectives.errors import Mismatch, ObjectiveError
from objectives.guard import ChildFailed, guarded


def run(name, timeout_s=60.0, **arguments):
    return guarded(f"brought_models:{name}", arguments, timeout_s, what="doing it")


def test_arguments_and_results_pass_through_unseen(capfd):
    big = np.arange(100_000)
    assert np.array_equal(run("multiply", a=big, b=2), big * 2)
    assert capfd.readouterr() == ("", "")


def test_a_death_by_signal_is_told_by_its_name():
    with pytest.raises(ChildFailed, match=r"^doing it was ended by SIGSEGV$"):
        run("crash", word="INFO: all is well", number=signal.SIGSEGV)


def test_the_last_line_is_told_where_it_says_why():
    with pytest.raises(ChildFailed, match=r"^doing it was ended by SIGABRT: F0000 Check failed: 1 == 2$"):
        run("crash", word="F0000 Check failed: 1 == 2", number=signal.SIGABRT)


def test_want_of_memory_is_thought_of():
    with pytest.raises(
        ChildFailed, match=r"by SIGKILL \(which is what a machine without memory left does\)$"
    ):
        run("crash", word="", number=signal.SIGKILL)


def test_a_signal_without_a_name_is_told_by_its_number():
    number = signal.SIGRTMIN + 5
    with pytest.raises(ChildFailed, match=f"was ended by signal {number}$"):
        run("crash", word="", number=number)


def test_at_the_time_limit_all_its_processes_are_ended(tmp_path):
    pids = tmp_path / "pids"
    with pytest.raises(ChildFailed, match=r"^doing it was ended after 2 s, all the time that it has$"):
        run("hang", 2.0, pids=str(pids))
    for pid in map(int, pids.read_text().split()):
        assert gone(pid)


@pytest.mark.parametrize(("kind", "error"), [("mismatch", Mismatch), ("objective", ObjectiveError)])
def test_our_own_errors_come_back_as_they_are(kind, error):
    with pytest.raises(ObjectiveError, match=r"^the rule, the value and the way out$") as raised:
        run("refuse", kind=kind)
    assert type(raised.value) is error


def test_other_errors_are_told_by_type_and_first_line():
    expected = r"^doing it failed with LookupError: the first line that says something$"
    with pytest.raises(ChildFailed, match=expected):
        run("stumble")


def test_a_result_that_cannot_be_sent_is_a_failure():
    with pytest.raises(ChildFailed, match=r"^doing it failed with \w+: .*no_result"):
        run("no_result")


@pytest.mark.parametrize("status", [0, 3])
def test_leaving_without_a_result_is_told_with_the_last_words(status):
    with pytest.raises(ChildFailed, match=f"^doing it ended with exit status {status}: why it left$"):
        run("leave", status=status)


def test_a_function_that_is_not_there_is_told():
    with pytest.raises(ChildFailed, match=r"^doing it failed with AttributeError: .*no_such"):
        run("no_such")


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    run("multiply", a=1, b=2)
    with pytest.raises(ChildFailed):
        run("leave", status=1)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_is_frozen_and_can_be_sent_on():
    failure = ChildFailed("doing it", "was ended by SIGSEGV")
    again = pickle.loads(pickle.dumps(failure))
    assert (type(again), str(again)) == (ChildFailed, "doing it was ended by SIGSEGV")
    assert (again.what, again.how) == ("doing it", "was ended by SIGSEGV")
    with pytest.raises(AttributeError, match="frozen"):
        failure.how = "otherwise"
    with pytest.raises(AttributeError, match="frozen"):
        failure.args = ()
