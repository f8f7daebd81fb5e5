"""The runners themselves, for a few seconds each."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.contenders import CONTENDERS, EDGESEARCH, PLAIN
from benchmarks.judge import Judge
from benchmarks.values import AgainstPlain, Workers
from benchmarks.workshop import Workshop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def run(root, *arguments):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_plain_script_has_the_same_space_and_networks(root):
    assert "12 trials alike" in run(root, str(Path(__file__).with_name("same_space.py")))


def test_both_sides_run_and_are_judged_and_the_command_goes_on_where_it_was(root, tmp_path):
    out, work = tmp_path / "result.json", tmp_path / "work"
    command = ["-m", "benchmarks.against_plain", "--data", "digits", "--seconds", "5", "--epochs", "2"]
    command += ["--seeds", "0", "--work", str(work), "--out", str(out)]
    assert "running" in run(root, *command)
    first = AgainstPlain.model_validate_json(out.read_text())
    again = run(root, *command)
    assert "running" not in again and "judging" not in again
    second = AgainstPlain.model_validate_json(out.read_text())
    assert second.comparisons == first.comparisons
    judged_in_the_end(Workshop(work, CONTENDERS), first)


def judged_in_the_end(workshop, result):
    """Judge what each side had when it ended, for on a busy machine five seconds bring nothing."""
    (comparison,) = result.comparisons
    judge = Judge.of(comparison.case, workshop.root / "data", workshop.anchor())
    for contender in (EDGESEARCH, PLAIN):
        folder = workshop.folder(comparison.case, contender)
        done = workshop.run(comparison.case, contender)
        assert done.startup_s > 0
        assert min(trial.seconds for trial in done.trials) > 0
        judged = judge.judge(contender, done, math.inf, folder)
        assert judged.candidates >= 1
        assert judged.hypervolume > 0
        assert judged.hypervolume == judged.curve[-1].hypervolume
        for point in judged.front:
            assert point.judged["model_bytes"] == point.claimed["model_bytes"]
            assert point.judged["accuracy"] == pytest.approx(point.claimed["accuracy"], abs=0.15)


def test_one_worker_and_two_work_off_the_same_list(root, tmp_path):
    out = tmp_path / "result.json"
    command = ["-m", "benchmarks.workers", "--data", "digits", "--epochs", "1", "--candidates", "3"]
    command += ["--rounds", "1,2", "--work", str(tmp_path / "work"), "--out", str(out)]
    assert "Two workers finish" in run(root, *command)
    result = Workers.model_validate_json(out.read_text())
    assert [seen.workers for seen in result.rounds] == [1, 2]
    assert [set(seen.each_s) for seen in result.rounds] == [{0, 1, 2}] * 2
    assert [seen.failed for seen in result.rounds] == [0, 0]
    # One after the other, the candidates take the time of the round; side by side they take more than it.
    assert sum(result.rounds[0].each_s.values()) <= result.rounds[0].seconds
    assert sum(result.rounds[1].each_s.values()) > 0
    assert "running" not in run(root, *command) and "round 1 of 2" not in run(root, *command)
