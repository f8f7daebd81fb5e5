"""The local runner on real models, and on children that crash, hang and lie."""

import os
import resource
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from computes_contract import ComputesContract
from runner_contract import RunnerContract
from tiny_models import fully_connected

from hardware_profiles.anchor import anchor_path, anchor_sha256
from hardware_profiles.errors import DeviceError, MeasuringFailed, Unreachable
from hardware_profiles.machine import machine_id
from hardware_profiles.measurement import Source
from hardware_profiles.runners import local
from hardware_profiles.runners.base import Anchor
from hardware_profiles.runners.local import PACKAGE, START, LocalRunner

ROOT = Path(local.__file__).parent.parent.parent
QUICKLY = {"budget_s": 0.05, "patience_s": 0.1, "timeout_s": 30.0}


class TestLocalRunner(RunnerContract):
    @pytest.fixture
    def runner(self) -> LocalRunner:
        return LocalRunner("this-machine", **QUICKLY)

    @pytest.fixture
    def models(self, small_model: Path, large_model: Path) -> tuple[Path, Path]:
        return small_model, large_model


class TestComputesHere(ComputesContract):
    @pytest.fixture
    def computer(self) -> LocalRunner:
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
        "delegate": None,
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
        ("delegate", "libedgetpu.so.1"),
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
    start = f"import sys; sys.path.insert(0, {str(package.parent)!r}); " + START
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
    said = f"import sys; print('bench: loading model 0', file=sys.stderr); print({output!r})"
    runner = LocalRunner("this-machine", command=(sys.executable, "-I", "-c", said), **QUICKLY)
    with pytest.raises(MeasuringFailed, match=r"small\.tflite.*no answer that can be read"):
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
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(here)}
    subprocess.run([sys.executable, "-c", code], cwd=here, env=environment, check=True)
    assert list(here.iterdir()) == []


def test_a_throttled_machine_says_so_and_no_figure_is_stable(tmp_path: Path, small_model: Path) -> None:
    firmware = tmp_path / "sys/devices/platform/soc/soc:firmware"
    firmware.mkdir(parents=True)
    (firmware / "get_throttled").write_text("4\n")
    start = PACKAGE + "from hardware_profiles.aboard import board, bench; "
    start += f"board.ROOT = {str(tmp_path)!r}; bench.run()"
    runner = LocalRunner("this-machine", command=(sys.executable, "-I", "-c", start), **QUICKLY)
    (seen,) = runner.measure([small_model], None)
    assert seen.verdict == "throttled"
    assert seen.conditions is not None
    assert seen.conditions.throttling == ("throttled by the firmware",)


def test_the_conditions_name_the_processor(small_model: Path) -> None:
    (seen,) = LocalRunner("this-machine", **QUICKLY).measure([small_model], None)
    assert seen.conditions is not None
    assert seen.conditions.processor


def test_many_samples_go_in_pieces(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(0).normal(size=(25, 64)).astype(np.float32)
    runner = LocalRunner("this-machine", **QUICKLY)
    (whole,) = runner.compute(small_model, [samples])
    monkeypatch.setattr("hardware_profiles.runners.computing.PIECE_BYTES", 10 * 64 * 4)
    (pieces,) = runner.compute(small_model, [samples])
    assert whole.shape == (25, 16)
    assert np.array_equal(whole, pieces)


def test_a_model_too_new_for_the_runtime_names_the_way_out(tmp_path: Path) -> None:
    new = tmp_path / "new.tflite"
    new.write_bytes(fully_connected(8, 8, version=99))
    with pytest.raises(MeasuringFailed, match=r"new\.tflite.*too old for this model: `.* install --upgrade"):
        LocalRunner("this-machine", **QUICKLY).measure([new], None)


def test_outputs_that_are_not_finite_are_refused(small_model: Path) -> None:
    samples = np.full((1, 64), np.nan, dtype=np.float32)
    with pytest.raises(MeasuringFailed, match=r"small\.tflite.*not finite"):
        LocalRunner("this-machine", **QUICKLY).compute(small_model, [samples])


LIAR = """
import json, sys
request = json.load(sys.stdin)
print('bench: computing', file=sys.stderr)
print(json.dumps({'runtime': {'name': 'x', 'version': None}, 'outputs': %s}))
"""


@pytest.mark.parametrize(
    ("outputs", "told"),
    [
        ("[]", "no answer that can be read"),
        ("[{'dtype': 'object', 'shape': [2], 'data': ''}]", "no answer that can be read"),
        ("[{'dtype': 'int8', 'shape': [2, 2], 'data': 'AAAA'}]", "cannot be used"),
        ("[{'dtype': 'int8', 'shape': [2, 2], 'data': '!'}]", "cannot be used"),
        ("[{'dtype': 'int8', 'shape': [3], 'data': 'AAAA'}]", r"\[3\] samples for 2"),
        ("[{'dtype': 'int8', 'shape': [0], 'data': ''}]", r"\[0\] samples for 2"),
        ("[{'dtype': 'int8', 'shape': [], 'data': 'AA=='}]", r"\[0\] samples for 2"),
    ],
)
def test_outputs_that_make_no_sense(outputs: str, told: str, small_model: Path) -> None:
    runner = LocalRunner("this-machine", command=(sys.executable, "-I", "-c", LIAR % outputs), **QUICKLY)
    with pytest.raises(MeasuringFailed, match=rf"small\.tflite.*{told}") as caught:
        runner.compute(small_model, [np.zeros((2, 64), np.float32)])
    assert "\n" not in str(caught.value)


def test_an_answer_without_end_is_cut_off(small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardware_profiles.runners.child.LARGEST_ANSWER", 1 << 16)
    flood = "import sys\nwhile True: sys.stdout.write('x' * 4096)"
    runner = LocalRunner("this-machine", command=(sys.executable, "-I", "-c", flood), **QUICKLY)
    with pytest.raises(DeviceError, match="an answer of more than"):
        runner.measure([small_model], None)


DELEGATE = """
#include <stdint.h>
#include <stddef.h>
struct delegate {
    void *data;
    int (*prepare)(void *, struct delegate *);
    void *a, *b, *c;
    int64_t flags;
    void *d;
};
static int prepare(void *context, struct delegate *self) { return PREPARED; }
static struct delegate made = { .prepare = prepare };
void *tflite_plugin_create_delegate(char **keys, char **values, size_t n, void (*report)(const char *)) {
    if (REFUSED) { report("no accelerator is plugged in"); return NULL; }
    return &made;
}
void tflite_plugin_destroy_delegate(void *delegate) {}
"""


@pytest.fixture(scope="module")
def build_delegate(tmp_path_factory: pytest.TempPathFactory):
    """Compile a delegate that takes no op, fails when it is applied, or finds no accelerator."""

    def build(*, prepared: int = 0, refused: int = 0) -> str:
        library = tmp_path_factory.mktemp("delegate") / "libdelegate.so"
        options = [f"-DPREPARED={prepared}", f"-DREFUSED={refused}", "-shared", "-fPIC", "-x", "c", "-"]
        subprocess.run(["gcc", "-o", library, *options], input=DELEGATE, text=True, check=True)
        return str(library)

    return build


@pytest.mark.needs_system_package("gcc", "gcc")
def test_a_delegate_is_applied_and_named_in_the_source(build_delegate, small_model: Path) -> None:
    library = build_delegate()
    (seen,) = LocalRunner("this-machine", delegate=library, **QUICKLY).measure([small_model], None)
    assert seen.source.delegate == library
    failing = LocalRunner("this-machine", delegate=build_delegate(prepared=1), **QUICKLY)
    with pytest.raises(DeviceError, match=r"(?i)delegate"):
        failing.measure([small_model], None)


@pytest.mark.needs_system_package("gcc", "gcc")
def test_a_delegate_that_finds_no_accelerator_says_so(build_delegate, small_model: Path) -> None:
    runner = LocalRunner("this-machine", delegate=build_delegate(refused=1), **QUICKLY)
    with pytest.raises(DeviceError, match=r"cannot be loaded.*no accelerator is plugged in") as caught:
        runner.measure([small_model], None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("library", ["libnowhere.so.1", "/nowhere/lib.so", str(anchor_path()), "$(touch x)"])
def test_a_delegate_that_cannot_be_loaded_is_one_line(library: str, small_model: Path) -> None:
    runner = LocalRunner("this-machine", delegate=library, **QUICKLY)
    with pytest.raises(DeviceError, match=r"cannot be loaded.*its whole path") as caught:
        runner.compute(small_model, [np.zeros((1, 64), np.float32)])
    assert not isinstance(caught.value, MeasuringFailed)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(sys.platform != "linux", reason="this machine has no abstract sockets")
def test_who_measures_here_is_waited_for_and_named(small_model: Path) -> None:
    from hardware_profiles.aboard import turn

    held = turn.take("anna@laptop; rm -rf / \x1b[31m", 60, lambda _: None, time.sleep)
    try:
        with pytest.raises(Unreachable, match="anna@laptop_ rm -rf") as caught:
            LocalRunner("this-machine", wait_s=0.3, **QUICKLY).measure([small_model], None)
        assert "\x1b" not in str(caught.value)
        told: list[str] = []
        threading.Timer(1.0, lambda: [name.close() for name in held]).start()
        runner = LocalRunner("this-machine", say=told.append, **QUICKLY)
        assert len(runner.measure([small_model], None)) == 1
        assert any(line.startswith("waiting for anna@laptop") for line in told)
    finally:
        for name in held:
            name.close()
