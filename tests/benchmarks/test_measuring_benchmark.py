"""The benchmark of measuring in miniature, its models, and its busy loops."""

import os
import signal
import statistics
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from ai_edge_litert.interpreter import Interpreter

from benchmarks import measuring, report
from benchmarks.measuring import (
    SUBJECTS,
    Measuring,
    Reading,
    Repeated,
    busy_loops,
    cores_here,
    measuring_lines,
    variation,
)
from benchmarks.timed_models import Stack
from benchmarks.values import circumstances, save


def readings(*ranked_ms: float) -> tuple[Reading, ...]:
    return tuple(
        Reading(
            ranked_ms=ms,
            low_ms=ms,
            high_ms=ms,
            verdict="noisy" if ms > 0.0104 else "stable",
            plain_ms={"mean": ms * (1 + place), "median": 2 * ms, "minimum": 0.01},
        )
        for place, ms in enumerate(ranked_ms)
    )


def result(*ranked_ms: float) -> Measuring:
    models = (Repeated(subject=SUBJECTS[0], model_bytes=5_664, readings=readings(*ranked_ms)),)
    return Measuring(
        circumstances=circumstances(), load=0.3, busy_loops=2, plain_runs=1000, anchor_ms=0.011, models=models
    )


def test_variation_is_the_standard_deviation_as_a_fraction_of_the_mean() -> None:
    assert variation([9.0, 10.0, 11.0]) == pytest.approx(statistics.stdev([9, 10, 11]) / 10)
    assert variation([3.0, 3.0]) == 0


def test_the_table_says_by_how_much_each_statistic_varies() -> None:
    text = "\n".join(measuring_lines(result(0.0100, 0.0102, 0.0105)))
    assert "| 3 convolutions, 5,664 bytes | 10.23 us | **2.5 %** (at most 1 %) |" in text
    assert "| 2.5 % (of 20.5 us) | 0.0 % (of 10.0 us) | 2 stable, 1 noisy |" in text
    assert "3 processes a model, 2 busy loops, 1,000 runs; the anchor takes 11.0 us." in text


def test_the_page_has_it(tmp_path) -> None:
    save(tmp_path / "measuring.json", result(0.01, 0.0101))
    page = report.document(tmp_path)
    assert "\n".join(measuring_lines(result(0.01, 0.0101))) in page
    assert "Load of the machine before each part at most 0.3" in page


@pytest.mark.parametrize("stack", [subject.stack for subject in SUBJECTS], ids=lambda stack: stack.name)
def test_a_stack_runs_and_depends_on_its_input(stack: Stack) -> None:
    interpreter = Interpreter(model_content=stack.tflite())
    interpreter.allocate_tensors()
    (source,), (sink,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert tuple(source["shape"]) == (1, stack.side, stack.side, 16)
    assert source["dtype"] is sink["dtype"] is np.int8
    seen = []
    for seed in range(2):
        sample = np.random.default_rng(seed).integers(-128, 128, source["shape"], dtype=np.int8)
        interpreter.set_tensor(source["index"], sample)
        interpreter.invoke()
        seen.append(interpreter.get_tensor(sink["index"]))
    assert (seen[0] != seen[1]).any()


def test_every_core_is_busy_until_the_block_ends() -> None:
    before = set(psutil.Process().children())
    with busy_loops(cores_here()):
        loops = set(psutil.Process().children()) - before
        assert len(loops) == len(cores_here())
        if hasattr(psutil.Process, "cpu_affinity"):
            assert sorted(core for loop in loops for core in loop.cpu_affinity()) == sorted(cores_here())
        time.sleep(0.5)
        assert all(sum(loop.cpu_times()[:2]) > 0 for loop in loops)
    assert not any(loop.is_running() for loop in loops)


def test_a_loop_ends_with_whoever_started_it(root) -> None:
    script = (
        f"import sys, time; sys.path.insert(0, {str(root)!r}); from benchmarks.measuring import busy_loops\n"
        "with busy_loops([None]): print(flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    parent.stdout.readline()
    (loop,) = psutil.Process(parent.pid).children()
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    psutil.wait_procs([loop], timeout=30)
    assert not loop.is_running() or loop.status() == psutil.STATUS_ZOMBIE


def test_one_process_has_nothing_to_differ_from(capsys) -> None:
    with pytest.raises(SystemExit):
        measuring.main(["--processes", "1"])
    assert "2 processes or more, got 1" in capsys.readouterr().err


@pytest.mark.slow
def test_a_miniature_measures_and_goes_on_where_it_was(tmp_path, monkeypatch, capsys) -> None:
    out = tmp_path / "out.json"
    command = ["--processes", "2", "--runs", "50", "--work", str(tmp_path / "work"), "--out", str(out)]
    measuring.main(command)
    assert "process 2 done" in capsys.readouterr().out
    first = Measuring.model_validate_json(out.read_text())
    assert [model.subject for model in first.models] == list(SUBJECTS)
    for model in first.models:
        assert len(model.readings) == 2
        for reading in model.readings:
            assert reading.low_ms <= reading.ranked_ms <= reading.high_ms
            assert reading.plain_ms["minimum"] <= reading.plain_ms["median"]
    small, larger = (model.readings[0] for model in first.models)
    assert 3 < larger.ranked_ms / small.ranked_ms < 30

    monkeypatch.setattr(measuring, "LocalRunner", None)  # nothing is measured again
    measuring.main(command)
    assert Measuring.model_validate_json(out.read_text()).models == first.models
