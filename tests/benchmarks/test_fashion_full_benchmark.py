"""The study of all of Fashion-MNIST: its command, its clock, its table, and a miniature of it."""

import math
import os
import subprocess
import sys
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmarks.fashion_full import TASK, Call, Project, activations_of, covered_s
from benchmarks.fashion_full_lines import KIB, Full, Shipped, chosen, full_lines
from benchmarks.values import circumstances
from search.commands.study import study as study_command
from search.storage import open_storage

START = datetime(2026, 1, 1)  # noqa: DTZ001 - Optuna stores local time without a zone


def interval(start, end):
    return START + timedelta(seconds=start), START + timedelta(seconds=end)


def shipped(trial, claimed, accuracy, model_bytes, arena_bytes=9_000):
    return Shipped(
        trial=trial,
        form=trial % 2 == 1,
        precision="int8",
        parameters=12_345,
        claimed=claimed,
        accuracy=accuracy,
        model_bytes=model_bytes,
        arena_bytes=arena_bytes,
        latency_ms=0.0456,
    )


def full(*front):
    return Full(
        circumstances=circumstances(),
        load=0.5,
        task=TASK,
        spent_s=7_345.6,
        states={"measured": 9, "infeasible": 2, "stopped": 4},
        forms=6,
        front=front,
    )


def test_pauses_and_what_runs_side_by_side_do_not_count_twice():
    assert covered_s([]) == 0.0
    assert covered_s([interval(0, 10), interval(5, 12), interval(100, 101)]) == 13.0
    assert covered_s([interval(3, 4), interval(0, 10)]) == 10.0
    both = [interval(0, 10), interval(100, 110)]
    assert [covered_s(both, START + timedelta(seconds=end)) for end in (4, 50, 105, 999)] == [4, 10, 15, 20]


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9))))
def test_the_seconds_covered_are_those_that_lie_in_some_interval(spans):
    inside = {second for start, length in spans for second in range(start, start + length)}
    assert covered_s([interval(start, start + length) for start, length in spans]) == len(inside)


def test_the_command_is_one_that_edgesearch_knows(tmp_path):
    command = Project(TASK, tmp_path).command(71.5)
    arguments = command[command.index("study") + 1 :]
    flags = study_command.make_context("study", arguments).params
    assert flags["timeout_s"] == 71.5 and flags["max_model_bytes"] == "65536"
    assert (flags["data__source"], flags["epochs"], flags["workers"]) == ("fashion-mnist", TASK.epochs, 2)
    assert flags["objectives"] == TASK.objectives and flags["augment"] == "auto"


def test_more_time_is_the_same_study_and_everything_else_another(tmp_path):
    def folder(**change):
        return Project(TASK.model_copy(update=change), tmp_path).folder

    assert folder(seconds=10) == folder()
    changes = ({"epochs": 3}, {"subset": 5}, {"seed": 4}, {"objectives": ("accuracy",)}, {"augment": "none"})
    assert len({folder(), *(folder(**change) for change in changes)}) == 1 + len(changes)


def test_a_study_that_was_cut_off_before_it_was_made_has_spent_nothing(tmp_path):
    project = Project(TASK, tmp_path)
    assert project.spent_s() == 0.0
    project.home.root.mkdir(parents=True)
    open_storage(project.home.studies_db)
    assert project.spent_s() == 0.0


def test_a_call_that_was_killed_ended_when_something_was_last_heard_of_it(tmp_path):
    """What was under way then took its time too, though no record has it."""
    project, began = Project(TASK, tmp_path), START
    project.folder.mkdir(parents=True)
    project._note((Call(began=began),))
    (project.folder / "log.txt").touch()
    for path in project.folder.iterdir():
        os.utime(path, times=(0, (began + timedelta(seconds=200)).timestamp()))
    os.utime(project.folder / "log.txt", times=(0, (began + timedelta(seconds=300)).timestamp()))
    (call,) = project.calls()
    assert call.ended - began == timedelta(seconds=300)


def test_what_is_shipped_is_chosen_by_validation_data_and_within_the_limit():
    lucky, modest, large = (
        shipped(0, 0.90, 0.93, 16_000),
        shipped(1, 0.91, 0.92, 16_384),
        shipped(2, 0.99, 0.95, 70_000),
    )
    assert chosen((lucky, modest, large), 16 * KIB) == modest
    assert chosen((large,), 16 * KIB) is None


def test_the_page_has_the_front_the_aims_and_who_published_what():
    text = "\n".join(full_lines(full(shipped(3, 0.92, 0.9312, 60_000), shipped(4, 0.88, 0.89, 20_000, None))))
    assert "fashion-mnist: 20 epochs, 2 workers, at most 65,536 bytes" in text
    assert "What ended within 7200 s counts; with what was under way then it ran for 7346 s." in text
    assert "9 measured, 2 infeasible, 4 stopped; and 6 other forms" in text
    assert (
        "- Within 64 KB the best by validation data has **93.12%** on the test set, with 60,000 bytes" in text
    )
    assert "- Within 16 KB nothing was found (the aim: 91.0%)." in text
    assert "| 3 (form) | int8 | 12,345 | 0.9312 | 60,000 | 9,000 | 45.6 us |" in text
    assert "| 4 | int8 | 12,345 | 0.8900 | 20,000 | – | 45.6 us |" in text
    assert "| uNAS, int8 | 0.932 | 63.6 KB | 12.6 KB |" in text


def test_other_data_is_held_against_nothing():
    other = full(shipped(3, 0.92, 0.9312, 60_000))
    text = "\n".join(
        full_lines(other.model_copy(update={"task": TASK.model_copy(update={"data": "digits"})}))
    )
    assert "| 3 (form) |" in text
    assert "uNAS" not in text and "aim" not in text


def test_a_study_without_an_objective_is_none():
    with pytest.raises(ValidationError, match="at least 1 item"):
        type(TASK).model_validate({**TASK.model_dump(), "objectives": ()})


def test_what_is_no_model_has_no_arena(tmp_path):
    (tmp_path / "m.tflite").write_bytes(b"nothing")
    assert activations_of(tmp_path / "m.tflite") is None


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_small_study_is_searched_and_judged_and_taken_up_with_the_time_that_is_left(root, tmp_path):
    out = tmp_path / "full.json"
    command = [
        "-m",
        "benchmarks.fashion_full",
        "--data",
        "digits",
        "--epochs",
        "2",
        "--max-model-bytes",
        "32768",
    ]
    command += ["--seconds", "10", "--work", str(tmp_path / "work"), "--out", str(out)]

    def run():
        done = subprocess.run(
            [sys.executable, *command],
            cwd=root,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "searching for 10 s" in run()
    first = Full.model_validate_json(out.read_text())
    assert first.spent_s >= 9
    assert "searching" not in run()
    again = Full.model_validate_json(out.read_text())
    assert (again.states, again.forms, again.spent_s) == (first.states, first.forms, first.spent_s)
    judged_in_the_end(Project(first.task, tmp_path / "work"), first)


def judged_in_the_end(project, result):
    """Judge what the study had when it ended, for on a busy machine ten seconds bring nothing."""
    record = project.within(math.inf)
    assert len(record.trials) >= sum(result.states.values()) + result.forms
    assert project.within(0).trials == ()
    front = project.judged(record)
    assert len(front) >= 1
    for point in front:
        assert 0 < point.model_bytes <= result.task.max_model_bytes
        assert point.accuracy == pytest.approx(point.claimed, abs=0.2)
