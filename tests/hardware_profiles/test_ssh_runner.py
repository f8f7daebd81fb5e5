"""The ssh runner against a real sshd: as every runner, and when what can go wrong does."""

import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import sshd
from computes_contract import ComputesContract
from runner_contract import RunnerContract
from sshd import Board
from tiny_models import fully_connected

from hardware_profiles.anchor import anchor_path, calibrate
from hardware_profiles.connection import Ssh
from hardware_profiles.errors import DeviceError, MeasuringFailed, Unreachable
from hardware_profiles.machine import machine_id
from hardware_profiles.runners import ssh
from hardware_profiles.runners.local import LocalRunner
from hardware_profiles.runners.ssh import SshRunner

pytestmark = pytest.mark.needs_system_package("openssh-server", sshd.SSHD)
QUICKLY = {"budget_s": 0.05, "patience_s": 0.1, "timeout_s": 30.0}
LONG = {"budget_s": 30.0, "patience_s": 40.0, "timeout_s": 60.0}
SHELL = 'eval "$SSH_ORIGINAL_COMMAND"'


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    started = sshd.start(tmp_path_factory.mktemp("board"))
    yield started
    sshd.stop(started)


def runner_for(board: Board, key: str = "good", known: str = "known_hosts", **settings: object) -> SshRunner:
    connection = Ssh(host="127.0.0.1", port=board.port)
    return SshRunner(
        connection,
        "a-board",
        options=board.options(key, known),
        **(QUICKLY | settings),  # type: ignore[arg-type]
    )


def commanded(board: Board, name: str, command: str, **settings: object) -> SshRunner:
    """A runner for a key with which that program is run, whatever is asked for."""
    if not (board.folder / name).exists():
        sshd.authorize(board.folder, name, f"{board.folder}/bin-plain:/usr/bin:/bin", command)
    return runner_for(board, name, **settings)


def with_python(board: Board, name: str, line: str, **environment: str) -> SshRunner:
    """A runner for a key for which `python3` is started by that line of shell."""
    if not (board.folder / name).exists():
        folder = sshd.python_folder(board.folder, name, line)
        sshd.authorize(board.folder, name, f"{folder}:/usr/bin:/bin", **environment)
    return runner_for(board, name)


@pytest.fixture
def models(small_model: Path, large_model: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Models whose names a shell would take for orders."""
    folder = tmp_path / 'it\'s "here"; $(touch x) `touch y`'
    folder.mkdir()
    return tuple(
        Path(shutil.copy(path, folder / f"$(touch x) {path.name}")) for path in (small_model, large_model)
    )  # type: ignore[return-value]


class TestSshRunner(RunnerContract):
    @pytest.fixture
    def runner(self, board: Board) -> SshRunner:
        return runner_for(board)

    @pytest.fixture
    def models(self, models: tuple[Path, Path]) -> tuple[Path, Path]:
        return models


class TestComputesThere(ComputesContract):
    @pytest.fixture
    def computer(self, board: Board) -> SshRunner:
        return runner_for(board)

    @pytest.fixture
    def models(self, models: tuple[Path, Path]) -> tuple[Path, Path]:
        return models


def test_the_same_machine_has_the_same_id_and_runtime_as_from_here(board: Board, small_model: Path) -> None:
    (there,) = runner_for(board).measure([small_model], None)
    (here,) = LocalRunner("a-board", **QUICKLY).measure([small_model], None)
    assert there.source == here.source
    assert there.source.machine == machine_id()


def test_an_anchor_of_another_device_is_refused(board: Board, small_model: Path) -> None:
    anchor = calibrate(runner_for(board), processes=1)
    for field, value in (("machine", "0" * 12), ("device", "x"), ("threads", 2), ("delegate", "x.so")):
        other = anchor.model_copy(update={"source": anchor.source.model_copy(update={field: value})})
        with pytest.raises(DeviceError, match=f"{field}.*calibrate this device anew"):
            runner_for(board).measure([small_model], other)


def test_nothing_is_left_behind(board: Board, small_model: Path) -> None:
    home = sorted(Path.home().iterdir())
    runner = runner_for(board)
    runner.measure([small_model], None)
    runner.compute(small_model, [np.zeros((2, 64), np.float32)])
    assert list(board.home.rglob("*")) == list(board.tmp.rglob("*")) == []
    assert sorted(Path.home().iterdir()) == home
    assert board.processes() == []


def test_a_closed_port_is_worth_another_try(board: Board, small_model: Path) -> None:
    runner = SshRunner(Ssh(host="127.0.0.1", port=sshd.free_port()), "x", options=board.options(), **QUICKLY)
    with pytest.raises(Unreachable, match=r"does not answer.*Connection refused") as caught:
        runner.measure([small_model], None)
    assert "\n" not in str(caught.value)


def test_a_host_that_nobody_knows_is_worth_another_try(board: Board, small_model: Path) -> None:
    runner = SshRunner(Ssh(host="no-such-board.invalid"), "x", options=board.options(), **QUICKLY)
    with pytest.raises(Unreachable, match=r"does not answer.*Could not resolve"):
        runner.measure([small_model], None)


def test_a_host_that_says_nothing_at_all_is_worth_another_try(board: Board, small_model: Path) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        where = Ssh(host="127.0.0.1", port=deaf.getsockname()[1])
        runner = SshRunner(where, "x", options=board.options(), connect_timeout_s=1, **QUICKLY)
        with pytest.raises(Unreachable, match=r"does not answer.*timed out"):
            runner.measure([small_model], None)


@pytest.mark.parametrize("known", ["wrong_hosts", "no_hosts"])
def test_a_host_that_is_not_trusted_is_named_with_what_to_do(
    known: str, board: Board, small_model: Path
) -> None:
    with pytest.raises(DeviceError, match=r"host key of ssh://127\.0\.0\.1.*not trusted.*`ssh ") as caught:
        runner_for(board, known=known).measure([small_model], None)
    assert not isinstance(caught.value, Unreachable)


def test_a_key_that_is_refused_is_named_with_what_to_do(board: Board, small_model: Path) -> None:
    with pytest.raises(DeviceError, match=rf"refused the login.*ssh-copy-id -p {board.port} 127") as caught:
        runner_for(board, "stranger").measure([small_model], None)
    assert not isinstance(caught.value, Unreachable)


def test_no_ssh_here(
    board: Board, small_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match="apt-get install openssh-client"):
        runner_for(board).measure([small_model], None)


def test_no_python_there(board: Board, small_model: Path) -> None:
    with pytest.raises(DeviceError, match=r"cannot run python9.*install it there") as caught:
        runner_for(board, python="python9").measure([small_model], None)
    assert not isinstance(caught.value, Unreachable)


def test_a_python_that_is_too_old(board: Board, small_model: Path) -> None:
    old = sshd.which_python("3.6")
    if old is None:
        pytest.skip("this machine has no python3.6")
    with pytest.raises(DeviceError, match=r"Python 3\.6 is too old, 3\.7 is needed"):
        with_python(board, "old", f"exec {old}").measure([small_model], None)


def test_no_numpy_there(board: Board, small_model: Path) -> None:
    with pytest.raises(
        DeviceError, match=r"No module named 'numpy'; `ssh .*pip install numpy ai-edge-litert`"
    ):
        with_python(board, "bare", f"exec {sys.executable} -S").measure([small_model], None)


def test_no_runtime_there_but_numpy_of_the_users_own(board: Board, small_model: Path) -> None:
    home = board.folder / "home-without-runtime"
    sshd.user_site(home)
    runner = with_python(board, "no-runtime", f"exec {sys.executable} -S", HOME=str(home))
    with pytest.raises(DeviceError, match=r"no LiteRT runtime.*`ssh .*pip install ai-edge-litert`"):
        runner.measure([small_model], None)


def test_a_delegate_that_is_not_there(board: Board, small_model: Path) -> None:
    connection = Ssh(host="127.0.0.1", port=board.port, delegate="$(touch x); libedgetpu.so.1")
    runner = SshRunner(connection, "x", options=board.options(), **QUICKLY)
    with pytest.raises(DeviceError, match=r"the delegate '\$\(touch x\); libedgetpu.so.1' cannot be loaded"):
        runner.measure([small_model], None)
    assert list(board.home.rglob("*")) == []


def test_a_model_too_new_for_the_runtime_there(board: Board, tmp_path: Path) -> None:
    new = tmp_path / "new.tflite"
    new.write_bytes(fully_connected(8, 8, version=99))
    with pytest.raises(MeasuringFailed, match=r"new\.tflite.*too old.*`ssh .* install --upgrade ai-edge"):
        runner_for(board).measure([new], None)


@pytest.mark.parametrize(
    ("name", "command", "told"),
    [
        ("garbage", "echo hello", "no answer that can be read"),
        ("silent", "true", "gave no answer"),
        ("full", "echo 'cannot write: No space left on device' >&2; exit 1", "disk of .* is full.*df -h"),
        ("cut", f"{SHELL} | head -c 300", "no answer that can be read"),
        ("nan", f'{SHELL} | sed \'s/"min_ns": [0-9.]*/"min_ns": NaN/\'', "no answer that can be read"),
        ("minus", f'{SHELL} | sed \'s/"min_ns": /"min_ns": -/\'', "no answer that can be read"),
        ("unordered", f'{SHELL} | sed \'s/"p90_ns": [0-9.]*/"p90_ns": 1e30/\'', "no answer that can be read"),
        ("none", f'{SHELL} | sed \'s/"models": .*/"models": []}}/\'', "0 answers for 1 models"),
        ("colours", "printf '\\033[31mred' >&2; exit 3", "red"),
    ],
)
def test_an_answer_that_is_not_what_was_promised_is_refused(
    name: str, command: str, told: str, board: Board, small_model: Path
) -> None:
    with pytest.raises(DeviceError, match=told) as caught:
        commanded(board, name, command).measure([small_model], None)
    assert not isinstance(caught.value, Unreachable)
    assert str(caught.value).isprintable()


def test_a_shell_that_greets_does_no_harm(board: Board, small_model: Path) -> None:
    runner = commanded(board, "greeting", f"echo Welcome to the board; echo careful >&2; {SHELL}")
    assert len(runner.measure([small_model], None)) == 1


STUB = """
import os, time
class Interpreter:
    def __init__(self, model_content, num_threads):
        self.harmless = len(model_content) == {size}
    def allocate_tensors(self):
        pass
    def get_input_details(self):
        return []
    def invoke(self):
        if not self.harmless:
            {deed}
"""


@pytest.mark.parametrize(
    ("name", "deed", "told"),
    [("crash", "os.kill(os.getpid(), 11)", "SIGSEGV"), ("hang", "time.sleep(60)", "limit of 2 s")],
)
def test_a_model_that_crashes_or_hangs_there_is_the_models_fault(
    name: str, deed: str, told: str, board: Board, small_model: Path
) -> None:
    home = board.folder / f"home-{name}"
    stub = sshd.user_site(home) / "ai_edge_litert"
    stub.mkdir()
    (stub / "__init__.py").write_text("")
    (stub / "interpreter.py").write_text(STUB.format(size=anchor_path().stat().st_size, deed=deed))
    with_python(board, name, f"exec {sys.executable} -S", HOME=str(home))
    runner = runner_for(board, name, timeout_s=2.0)
    with pytest.raises(MeasuringFailed, match=rf"small\.tflite.*{told}"):
        runner.measure([small_model], None)
    assert gone(board)


def gone(board: Board) -> bool:
    """Wait a little; tell whether nothing of ours runs on the board any more."""
    for _ in range(100):
        if not board.processes():
            return True
        time.sleep(0.05)
    return False


class Measuring(threading.Thread):
    """A long measurement, begun and under way."""

    def __init__(self, runner: SshRunner, model: Path, board: Board) -> None:
        super().__init__()
        self.runner, self.model, self.error = runner, model, None
        self.start()
        while len(board.processes()) < 2:  # what was sent, and its child that measures
            assert self.is_alive()
            time.sleep(0.02)

    def run(self) -> None:
        try:
            self.runner.measure([self.model], None)
        except DeviceError as error:
            self.error = error


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing but time end a measurement."""
    monkeypatch.setattr("hardware_profiles.runners.answers.MANY", 10**9)


def test_a_connection_that_breaks_is_worth_another_try_and_leaves_nothing(
    board: Board, small_model: Path, endless: None
) -> None:
    measuring = Measuring(runner_for(board, **LONG), small_model, board)
    for session in board.sessions():
        for process in (*session.children(), session):
            if not sshd.is_ours(process):
                process.kill()
    measuring.join(20)
    assert isinstance(measuring.error, Unreachable)
    assert "\n" not in str(measuring.error)
    assert gone(board)


def test_ssh_that_is_ended_here_leaves_nothing_there(board: Board, small_model: Path, endless: None) -> None:
    measuring = Measuring(runner_for(board, **LONG), small_model, board)
    (client,) = [child for child in psutil.Process().children() if child.name() == "ssh"]
    client.send_signal(signal.SIGTERM)
    measuring.join(20)
    assert isinstance(measuring.error, Unreachable)
    assert gone(board)


def test_a_board_that_stalls_is_not_waited_for_for_ever(
    board: Board, small_model: Path, endless: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "GRACE_S", 0.5)
    settings = {"budget_s": 2.0, "patience_s": 2.5, "timeout_s": 3.0, "connect_timeout_s": 1.0}
    measuring = Measuring(runner_for(board, **settings), small_model, board)
    stopped = board.processes()
    try:
        for process in stopped:
            with suppress(psutil.NoSuchProcess):  # a look at the board may have been over by itself
                process.suspend()
        measuring.join(20)
        assert isinstance(measuring.error, Unreachable)
        assert "stalled: no answer within 4.5 s" in str(measuring.error)
    finally:
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.resume()
    assert gone(board)


def test_two_at_once_take_turns_and_the_second_says_whom_it_waits_for(
    board: Board, small_model: Path, endless: None
) -> None:
    first = Measuring(runner_for(board, who="anna@laptop"), small_model, board)
    under_way = board.processes()
    for process in under_way:
        process.suspend()  # until the second has said that it waits
    with pytest.raises(Unreachable, match=r"is taken: anna@laptop has been measuring there for \d+ s"):
        runner_for(board, wait_s=0.2).measure([small_model], None)
    told: list[str] = []

    def say(line: str) -> None:
        told.append(line)  # perhaps once more, of the one that gave up and is not gone yet
        for process in under_way:
            with suppress(psutil.NoSuchProcess):
                process.resume()

    assert len(runner_for(board, say=say).measure([small_model], None)) == 1
    assert f"waiting for anna@laptop to finish measuring on ssh://127.0.0.1:{board.port}" in told
    first.join(1)  # what is left to do here, its answer being there already
    assert not first.is_alive()
    assert first.error is None


def test_one_who_waits_is_gone_when_the_connection_is(board: Board, small_model: Path, endless: None) -> None:
    holder = Measuring(runner_for(board, **LONG), small_model, board)
    told = threading.Event()
    waiting = runner_for(board, say=lambda _: told.set())
    second = Measuring(waiting, small_model, board)
    assert told.wait(20)
    for child in psutil.Process().children():
        if child.name() == "ssh":
            child.kill()
    for measuring in (second, holder):
        measuring.join(20)
        assert isinstance(measuring.error, Unreachable)
    assert gone(board)


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "-oProxyCommand=touch x"},
        {"host": "a;touch x"},
        {"host": "$(touch x)"},
        {"host": "`touch x`"},
        {"host": "a b"},
        {"host": "a\nb"},
        {"host": ""},
        {"host": "b", "user": "$(touch x)"},
        {"host": "b", "user": "-l"},
        {"host": "b@c"},
    ],
)
def test_a_host_that_is_an_order_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(DeviceError, match="a board is named"):
        SshRunner(Ssh(**changes), "x")  # type: ignore[arg-type]


@pytest.mark.parametrize("python", ["", "-c", "python3; touch x", "$(x)", "a b", "~root/x", "'x'", "a\n"])
def test_a_python_that_is_an_order_is_refused(python: str) -> None:
    with pytest.raises(DeviceError, match="python is a command or a path"):
        SshRunner(Ssh(host="b"), "x", python=python)


@pytest.mark.parametrize(
    "settings",
    [{"threads": 0}, {"budget_s": 0.0}, {"timeout_s": 0.5}, {"wait_s": -1.0}, {"connect_timeout_s": 0}],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(DeviceError, match="got"):
        SshRunner(Ssh(host="b"), "x", **settings)  # type: ignore[arg-type]


def test_what_the_shell_sees_is_fixed_and_ssh_asks_nothing() -> None:
    first = SshRunner(Ssh(host="b", user="pi", port=2222), "x").command
    second = SshRunner(Ssh(host="::1", delegate="a'b"), "y", threads=2).command
    assert first[-1] == second[-1]
    assert first[first.index("--") + 1 :][0] == "b"
    assert second[second.index("--") + 1 :][0] == "::1"
    assert "BatchMode=yes" in first
    assert first[-7:-2] == ("-p", "2222", "-l", "pi", "--")
