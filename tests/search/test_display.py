"""What is seen of a running study: the lines, the panel, and that nothing gets in between."""

import io
import logging
import os
import pty
import sys

import pytest
from search_doubles import SOURCE, Screen

from hardware_profiles.measurement import Measurement
from search.display import (
    Live,
    Plain,
    Silent,
    counts,
    display_on,
    human_seconds,
    logging_to,
    printed_on,
    summary,
    undisturbed,
)
from search.limiting import Limiting
from search.status import Best, Status


def status(**changes) -> Status:
    measured = {"accuracy": 0.975, "latency_ms": 0.00174, "model_bytes": 14336.0}
    best = tuple(
        Best(trial=number, measurement=Measurement(metric=metric, value=value, source=SOURCE))
        for number, (metric, value) in enumerate(measured.items())
    )
    moment = {
        "study": "try-1", "done": 3, "wanted": 10, "measured": 2, "infeasible": 1, "stopped": 0, "failed": 4,
        "running": 2, "seconds": 30.0, "seconds_left": 70.0, "hypervolume": 0.44834, "best": best,
    }  # fmt: skip
    return Status.model_validate({**moment, **changes})


def test_the_line_has_all_that_a_user_asks():
    assert summary(status()) == (
        "3/10 trials, 1:10 min left | hypervolume 0.4483 | measured 2, infeasible 1, stopped 0, failed 4 | "
        "best accuracy 0.9750 (trial 0), latency 1.74 us measured (trial 1), size 14.0 KiB (trial 2)"
    )


def test_what_limits_the_study_is_told_in_the_line_and_on_the_panel(terminal):
    moment = status(limited_by=Limiting(cause="device", share=0.934))
    assert " | limited by device 93 % | best" in summary(moment)
    live = Live(terminal)
    live.show(moment)
    live.close()
    assert "limited by device 93 %" in terminal.getvalue()


@pytest.mark.parametrize(
    ("metric", "value", "told"),
    [
        ("arena_bytes", 4096.0, "arena 4.0 KiB measured (trial 2)"),
        ("energy_mj", 0.08, "energy 80.0 uJ measured (trial 2)"),
        ("mine:Objective", 12.5, "mine:Objective 12.5000 (trial 2)"),
    ],
)
def test_other_goals_have_units_too(metric, value, told):
    best = Best(trial=2, measurement=Measurement(metric=metric, value=value, source=SOURCE))
    assert summary(status(best=(best,))).endswith(f"best {told}")


def test_what_is_not_known_is_said():
    early = summary(status(seconds_left=None, best=(), hypervolume=0.0))
    assert "time left not known yet" in early and early.endswith("nothing measured yet")
    assert "10/10 trials, done |" in summary(status(done=10, running=0))


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1:00 min"), (3599, "59:59 min"), (7500, "2:05 h")],
)
def test_seconds_for_people(seconds, told):
    assert human_seconds(seconds) == told


def test_without_a_terminal_a_line_now_and_then(monkeypatch):
    now = 0.0
    monkeypatch.setattr("search.display.time.monotonic", lambda: now)
    stream = io.StringIO()
    plain = Plain(stream, every_s=10)
    for done, now in enumerate((0.0, 3.0, 6.0, 11.0, 12.0)):  # noqa: B007 - the clock reads it
        plain.show(status(done=done))
    plain.show(status(done=5, running=0))
    shown = [line.split(",")[0] for line in stream.getvalue().splitlines()]
    assert shown == ["0/10 trials", "3/10 trials", "5/10 trials"]


def test_the_same_line_is_not_written_twice():
    stream = io.StringIO()
    plain = Plain(stream, every_s=0)
    for _ in range(3):
        plain.show(status())
    assert len(stream.getvalue().splitlines()) == 1


def test_silence():
    silent = Silent()
    silent.show(status())
    silent.say("x")
    silent.close()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    return Terminal()


def test_on_a_terminal_a_panel(terminal):
    live = display_on(terminal)
    assert isinstance(live, Live)
    live.say("a note [with brackets]")
    live.show(status())
    live.close()
    live.close()
    shown = terminal.getvalue()
    for part in (
        "a note [with brackets]", "try-1", "3/10 trials, 30 s, 1:10 min left", counts(status()), "━",
        "best accuracy", "0.9750", "best latency", "1.74 us measured", "best size", "14.0 KiB", "trial 2",
    ):  # fmt: skip
        assert part in shown
    assert shown.endswith("\x1b[?25h"), "the cursor is back"


def test_a_narrow_terminal_is_no_error(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    live = Live(terminal)
    live.show(status())
    live.close()
    assert "3/10 trials" in terminal.getvalue()


def test_no_panel_before_there_is_something_to_show(terminal):
    live = Live(terminal)
    live.close()
    assert "╭" not in terminal.getvalue()


def test_our_warnings_are_shown_without_secrets_and_those_of_libraries_are_not():
    screen = Screen()
    with logging_to(screen, ["postgresql://me:pLaNtEd@h/db"]):
        logging.getLogger("search.ledger").warning(
            "cannot reach postgresql://me:%s@h/db as %s", "pLaNtEd", "pLaNtEd"
        )
        logging.getLogger("urllib3.connectionpool").warning("retrying")
        logging.getLogger("search.ledger").info("not worth a line")
    logging.getLogger("search.ledger").handlers.clear()
    assert screen.said == ["warning: cannot reach postgresql://me:***@h/db as ***"]


def test_what_is_printed_meanwhile_is_shown_and_not_on_standard_output(capfd):
    screen = Screen()
    with printed_on(screen):
        print("half", end="")
        print(" a line")
        print("\x1b[33m(raylet)\x1b[0m A worker died or was killed while executing a task")
        print("no end", end="")
        os.write(1, b"native\n")
    print("result")
    out, err = capfd.readouterr()
    assert screen.said == ["half a line", "no end"]
    assert out == "result\n" and err == "native\n"


def test_native_code_does_not_reach_a_terminal_with_a_panel():
    master, slave = pty.openpty()
    with os.fdopen(slave, "w") as stream:
        with undisturbed(stream) as own:
            os.write(stream.fileno(), b"I0000 port.cc\n")
            print("a panel", file=own, flush=True)
        print("an error", file=stream, flush=True)
        shown = ""
        while "error\r\n" not in shown:  # a busy machine hands it over in parts
            shown += os.read(master, 1000).decode()
    os.close(master)
    assert shown.splitlines() == ["a panel", "an error"]


def test_what_is_no_terminal_stays_as_it_is():
    stream = io.StringIO()
    with undisturbed(stream) as own:
        assert own is stream
    assert sys.stderr is not stream
