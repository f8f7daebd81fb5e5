"""The local runner on real models, and on children that crash, hang and lie."""

import os
import resource
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
from runner_contract import RunnerContract

from hardware_profiles.anchor import anchor_path, anchor_sha256
from hardware_profiles.errors import DeviceError, MeasuringFailed
from hardware_profiles.machine import machine_id
from hardware_profiles.measurement import Source
from hardware_profiles.runners.base import Anchor
from hardware_profiles.runners.local import BENCH, LocalRunner

QUICKLY = {"budget_s": 0.05, "patience_s": 0.1, "timeout_s": 30.0}


class TestLocalRunner(RunnerContract):
    @pytest.fixture
    def runner(self) -> LocalRunner:
        return LocalRunner("this-machine", **QUICKLY)

    @pytest.fixture
    def models(self, small_model: Path, large_model: Path) -> tuple[Path, Path]:
        return small_model, large_model


def anchor_with(**changes: object) -> Anchor:
    source = {
        "provenance": "measured",
        "device": "this-machine",
        "machine": machine_id(),
        "runtime": "litert",
        "runtime_version": "2.3.0",
        "threads": 1,
    }
    sha256 = str(changes.pop("sha256", anchor_sha256()))
    return Anchor(sha256=sha256, constant_ms=0.02, source=Source.model_validate(source | changes))


def test_source_carries_machine_runtime_and_threads(small_model: Path) -> None:
    (seen,) = LocalRunner("this-machine", threads=2, **QUICKLY).measure([small_model], None)
    assert seen.source.model_dump(exclude={"runtime_version"}) == {
        "provenance": "measured",
        "device": "this-machine",
        "machine": machine_id(),
        "runtime": "litert",
        "threads": 2,
    }
    assert seen.source.runtime_version


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("machine", "another"),
        ("device", "rpi"),
        ("threads", 4),
        ("sha256", "0" * 64),
        ("runtime_version", "0.1"),
    ],
)
def test_an_anchor_of_other_circumstances_is_refused(field: str, value: object, small_model: Path) -> None:
    runner = LocalRunner("this-machine", **QUICKLY)
    with pytest.raises(DeviceError, match="calibrate this device anew") as caught:
        runner.measure([small_model], anchor_with(**{field: value}))
    assert not isinstance(caught.value, MeasuringFailed)


def test_the_ranked_figure_is_the_ratio_times_the_anchors_constant(small_model: Path) -> None:
    runner = LocalRunner("this-machine", **QUICKLY)
    (seen,) = runner.measure([small_model], anchor_with())
    (elsewhere,) = runner.measure([small_model], anchor_with().model_copy(update={"constant_ms": 500.0}))
    assert seen.latency_ms == pytest.approx(seen.anchor_ratio * 0.02)
    assert elsewhere.latency_ms == pytest.approx(elsewhere.anchor_ratio * 500.0)
    assert elsewhere.min_ms < 1.0


@pytest.mark.parametrize(
    "settings", [{"threads": 0}, {"budget_s": 0.0}, {"budget_s": 2.0}, {"timeout_s": 0.5}]
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(DeviceError, match="got"):
        LocalRunner("this-machine", **settings)


@pytest.mark.parametrize("share", [0.2, 0.95])
def test_a_truncated_model_fails_alone(share: float, small_model: Path, tmp_path: Path) -> None:
    whole = anchor_path().read_bytes()
    truncated = tmp_path / "truncated.tflite"
    truncated.write_bytes(whole[: int(len(whole) * share)])
    runner = LocalRunner("this-machine", **QUICKLY)
    with pytest.raises(MeasuringFailed, match=r"truncated\.tflite") as caught:
        runner.measure([small_model, truncated], None)
    assert "\n" not in str(caught.value)


STUB = """
    import os, signal, sys, time
    import numpy as np

    class Interpreter:
        def __init__(self, model_path, num_threads):
            self.harmless = model_path.endswith({harmless!r})
        def allocate_tensors(self):
            pass
        def get_input_details(self):
            return []
        def invoke(self):
            if not self.harmless:
                {deed}
"""


def stubbed(tmp_path: Path, deed: str, harmless: str = "anchor.tflite", **settings: float) -> LocalRunner:
    """A runner whose child finds a runtime that does the deed when any but the harmless model runs."""
    package = tmp_path / "stub" / "ai_edge_litert"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "interpreter.py").write_text(textwrap.dedent(STUB).format(deed=deed, harmless=harmless))
    start = f"import sys, runpy; sys.path.insert(0, {str(package.parent)!r}); sys.argv = ['bench']; "
    start += f"runpy.run_path({str(BENCH)!r}, run_name='__main__')"
    return LocalRunner("this-machine", command=(sys.executable, "-I", "-c", start), **(QUICKLY | settings))


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGKILL"])
def test_a_child_that_dies_is_named_with_its_signal(name: str, tmp_path: Path, small_model: Path) -> None:
    runner = stubbed(tmp_path, f"os.kill(os.getpid(), signal.{name})")
    with pytest.raises(MeasuringFailed, match=rf"small\.tflite.*{name}") as caught:
        runner.measure([small_model], None)
    assert "\n" not in str(caught.value)


def test_a_child_that_really_crashes_in_native_code(tmp_path: Path, small_model: Path) -> None:
    runner = stubbed(tmp_path, "import ctypes; ctypes.string_at(0)")
    with pytest.raises(MeasuringFailed, match="SIGSEGV"):
        runner.measure([small_model], None)


def test_a_crash_at_the_anchor_is_the_devices_fault(tmp_path: Path, small_model: Path) -> None:
    runner = stubbed(tmp_path, "os.kill(os.getpid(), signal.SIGABRT)", harmless="small.tflite")
    with pytest.raises(DeviceError, match=r"before it came to any model.*SIGABRT") as caught:
        runner.measure([small_model], None)
    assert not isinstance(caught.value, MeasuringFailed)


def test_what_native_code_prints_does_not_disturb_the_answer(tmp_path: Path, small_model: Path) -> None:
    runner = stubbed(tmp_path, "os.write(1, b'INFO: created a delegate')")
    assert len(runner.measure([small_model], None)) == 1


def test_the_child_writes_no_core_file(tmp_path: Path, small_model: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    runner = stubbed(tmp_path, "import resource; assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)")
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
        assert len(runner.measure([small_model], None)) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


def test_an_exception_in_the_child_is_its_reason(tmp_path: Path, small_model: Path) -> None:
    runner = stubbed(tmp_path, "raise RuntimeError('node 3\\nfailed to invoke')")
    with pytest.raises(MeasuringFailed, match=r"small\.tflite.*RuntimeError: node 3 failed to invoke"):
        runner.measure([small_model], None)


def test_a_child_that_hangs_is_ended_with_all_it_started(tmp_path: Path, small_model: Path) -> None:
    pids = tmp_path / "pids"
    deed = (
        "import subprocess; "
        "nap = [sys.executable, '-c', 'import time; time.sleep(60)']; "
        "s = subprocess.Popen(nap, stdin=-3, stdout=-3, stderr=-3); "
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{s.pid}}'); time.sleep(60)"
    )
    with pytest.raises(MeasuringFailed, match=r"small\.tflite.*limit of 1.5 s"):
        stubbed(tmp_path, deed, timeout_s=1.5).measure([small_model], None)
    assert gone([int(pid) for pid in pids.read_text().split()])


def gone(pids: list[int]) -> bool:
    """Wait a little for orphans to be reaped; tell whether none of them runs any more."""
    for _ in range(100):
        if not any(psutil.pid_exists(p) and psutil.Process(p).status() != psutil.STATUS_ZOMBIE for p in pids):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("output", ["", "all is well", "{}", "[1, 2]", '{"models": []}', "null"])
def test_an_answer_that_makes_no_sense(output: str, small_model: Path) -> None:
    said = f"import sys; print('bench: loading a.tflite', file=sys.stderr); print({output!r})"
    runner = LocalRunner("this-machine", command=(sys.executable, "-I", "-c", said), **QUICKLY)
    with pytest.raises(MeasuringFailed, match=r"a\.tflite.*no answer that can be read"):
        runner.measure([small_model], None)


def test_a_machine_that_cannot_measure_at_all_is_not_the_models_fault(
    tmp_path: Path, small_model: Path
) -> None:
    for command in (
        (sys.executable, "-I", "-c", "raise SystemExit('no numpy')"),
        (str(tmp_path / "no-python"),),
    ):
        with pytest.raises(DeviceError, match=r"no numpy|no-python") as caught:
            LocalRunner("this-machine", command=command, **QUICKLY).measure([small_model], None)
        assert not isinstance(caught.value, MeasuringFailed)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no processor affinity")
def test_the_child_keeps_to_its_parents_processors(small_model: Path) -> None:
    before = os.sched_getaffinity(0)
    tell = "import os, sys; sys.exit(str(sorted(os.sched_getaffinity(0))))"
    runner = LocalRunner("this-machine", command=(sys.executable, "-I", "-c", tell), **QUICKLY)
    try:
        os.sched_setaffinity(0, {max(before)})
        with pytest.raises(DeviceError, match=rf"\[{max(before)}\]"):
            runner.measure([small_model], None)
    finally:
        os.sched_setaffinity(0, before)


def test_nothing_is_left_behind(small_model: Path, tmp_path: Path) -> None:
    here = tmp_path / "work"
    here.mkdir()
    code = (
        "from pathlib import Path; from hardware_profiles.runners.local import LocalRunner; "
        "runner = LocalRunner('this-machine', budget_s=.05, patience_s=.1); "
        f"runner.measure([Path({str(small_model)!r})], None); "
        "import psutil; assert not psutil.Process().children(recursive=True)"
    )
    environment = os.environ | {"PYTHONPATH": str(BENCH.parent.parent), "TMPDIR": str(here)}
    subprocess.run([sys.executable, "-c", code], cwd=here, env=environment, check=True)
    assert list(here.iterdir()) == []
