"""What can be told of a device: measured, estimated, or not known, and never one for the other."""

import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from int8_models import small_cnn
from tiny_models import fully_connected

from hardware_profiles.anchor import anchor_path, calibrate
from hardware_profiles.arena_plan import planned_bytes
from hardware_profiles.connection import Command, parse_connection
from hardware_profiles.device import Device, objectives_of, refuse_untold
from hardware_profiles.energy import metered
from hardware_profiles.errors import DeviceError, MeasuringFailed, Unreachable
from hardware_profiles.graph import read_graph
from hardware_profiles.measurement import Latency
from hardware_profiles.micro import arena
from hardware_profiles.profile import load_profile, this_machine
from hardware_profiles.runners.base import Anchor
from hardware_profiles.runners.command import CommandRunner
from hardware_profiles.runners.local import LocalRunner
from hardware_profiles.runners.locked import LockedRunner
from hardware_profiles.runners.retrying import RetryingRunner

METER = "import time\nfor watts in [3.0, 5.0] * 400: print(watts, flush=True); time.sleep(0.005)"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(small_cnn())
    return path


def local(**power: object) -> Device:
    profile = this_machine()
    profile = profile.model_copy(update={"power": profile.power.model_copy(update=power)})
    return Device(profile, LocalRunner(profile.name, budget_s=0.02, patience_s=0.05), None)


def estimated(name: str) -> Device:
    return Device.at(load_profile(name), 1, parse_connection("estimated"))


def test_a_reading_here_is_measured(model: Path) -> None:
    device = local()
    reading = device.read(model, calibrate(device.runner, 1), {"latency_ms", "arena_bytes"})
    assert reading.latency is not None
    assert reading.measurement("latency_ms").source.provenance == "measured"
    assert reading.measurement("arena_bytes").source.provenance == "estimated"
    assert reading.value("energy_mj") is None


def test_energy_by_published_power_is_an_estimate(model: Path) -> None:
    device = local(active_w=4.0)
    reading = device.read(model, calibrate(device.runner, 1), {"energy_mj"})
    energy, timed = reading.measurement("energy_mj"), reading.measurement("latency_ms")
    assert energy.value == pytest.approx(4.0 * timed.value)
    assert (energy.source.provenance, timed.source.provenance) == ("estimated", "measured")


def test_energy_by_a_meter_is_measured(model: Path) -> None:
    device = local(active_w=100.0, meter=(sys.executable, "-c", METER))
    reading = device.read(model, calibrate(device.runner, 1), {"energy_mj"})
    energy = reading.measurement("energy_mj")
    assert energy.source.provenance == "measured"
    assert energy.value == pytest.approx(4.0 * reading.value("latency_ms"), rel=0.2)


def test_a_meter_is_read_while_the_model_runs_and_not_while_others_do(model: Path, tmp_path: Path) -> None:
    """Whoever waits for the device draws nothing there that is the model's."""
    began = tmp_path / "began"
    program = f"import pathlib, time\npathlib.Path({str(began)!r}).write_text(str(time.time()))\n{METER}"
    device = local(meter=(sys.executable, "-c", program))
    anchor, lock = calibrate(device.runner, 1), FileLock(tmp_path / "lock", thread_local=False)
    latency, freed = device.runner.measure([model], anchor)[0], []
    turn = LockedRunner(device.runner, tmp_path / "lock", 60.0, lambda _: None)
    lock.acquire()
    threading.Timer(0.7, lambda: (freed.append(time.time()), lock.release())).start()
    reading = replace(device, runner=RetryingRunner(turn)).read(model, anchor, {"energy_mj"}, latency)
    assert reading.value("energy_mj") == pytest.approx(4.0 * latency.latency_ms, rel=0.2)
    assert float(began.read_text()) >= freed[0]


def test_what_a_meter_said_of_an_attempt_that_failed_does_not_count(model: Path) -> None:
    attempts = iter((Unreachable("it reboots"),))
    meter = METER.replace("[3.0, 5.0]", "[float(next(iter(open('/proc/uptime'))).split()[0])]")

    class Flaky(LocalRunner):
        def measure(self, models: Sequence[Path], anchor: Anchor | None) -> tuple[Latency, ...]:
            seen = super().measure(models, anchor)
            if error := next(attempts, None):
                raise error
            return seen

    device = local(meter=(sys.executable, "-c", meter))
    anchor = calibrate(device.runner, 1)
    latency = device.runner.measure([model], anchor)[0]
    flaky = RetryingRunner(Flaky(device.profile.name, budget_s=0.02, patience_s=0.05), first_pause_s=0.5)
    before = float(Path("/proc/uptime").read_text().split()[0])
    reading = replace(device, runner=flaky).read(model, anchor, {"energy_mj"}, latency)
    assert reading.value("energy_mj") / latency.latency_ms > before + 0.5


@pytest.mark.parametrize(
    ("program", "words"),
    [("print('4 W')", "prints watts, one a line, and .* printed '4 W'"), ("print('nan')", "printed 'nan'"),
     ("print(-2)", "printed '-2'"), ("print(3.0)", "read 3 times or more .* printed 1 lines")],
)  # fmt: skip
def test_a_meter_that_tells_nonsense_is_refused(model: Path, program: str, words: str) -> None:
    device = local(meter=(sys.executable, "-u", "-c", f"import time; {program}; time.sleep(60)"))
    with pytest.raises(DeviceError, match=words):
        device.read(model, calibrate(device.runner, 1), {"energy_mj"})


def test_a_meter_that_is_not_there_is_told() -> None:
    with (
        pytest.raises(DeviceError, match="'/no/meter' cannot be started: No such file"),
        metered(["/no/meter"]),
    ):
        pass


def test_a_microcontroller_without_a_board_is_estimated(model: Path) -> None:
    device = estimated("nucleo-l4r5zi")
    reading = device.read(model, None, {"latency_ms", "arena_bytes"})
    timed = reading.measurement("latency_ms")
    assert (reading.latency, timed.source.provenance, device.provenance) == (None, "estimated", "estimated")
    assert timed.low < timed.value < timed.high
    assert reading.measurement("arena_bytes").source.runtime == "tflite-micro"
    assert objectives_of(device) == ("accuracy", "latency_ms", "model_bytes")


def test_where_nothing_tells_the_latency_the_arena_is_a_goal(model: Path) -> None:
    device = Device(load_profile("nucleo-l4r5zi"), None, None)
    assert (device.provenance, objectives_of(device)) == ("none", ("accuracy", "arena_bytes", "model_bytes"))
    assert device.read(model, None, {"arena_bytes"}).value("latency_ms") is None
    with pytest.raises(DeviceError, match="no source of latency_ms for 'nucleo-l4r5zi' here: leave"):
        refuse_untold(device, ["latency_ms"])
    with pytest.raises(MeasuringFailed, match="latency_ms is not known of this model"):
        device.read(model, None, {"latency_ms"})


def test_energy_needs_a_power() -> None:
    with pytest.raises(DeviceError, match="energy_mj needs the power that 'this-machine' draws"):
        refuse_untold(local(), ["energy_mj"])
    refuse_untold(local(active_w=2.0), ["energy_mj", "latency_ms"])


def test_the_npu_tells_its_own_memory(model: Path) -> None:
    reading = estimated("corstone-300").read(model, None, {"arena_bytes"})
    assert {m.source.provenance for m in reading.measurements} == {"estimated"}
    assert reading.value("npu_share") > 0


def test_the_plan_is_what_the_micro_runtime_plans_for_activations(model: Path) -> None:
    """Kernels of TensorFlow Lite Micro set aside a little besides; nothing is ever planned for less."""
    head = arena(model).head_bytes
    planned = planned_bytes(read_graph(model.read_bytes()))
    assert planned <= head
    assert planned == pytest.approx(head, rel=0.25)
    assert planned_bytes(read_graph(anchor_path().read_bytes())) > 0


TIMES = """#!{python}
import json
from pathlib import Path
Path({folder!r}, "runs").open("a").write("x")
print(json.dumps({{"latency_ms": [1.0] * 9, "runtime": "r", "machine": "m", **{more}}}))
"""


def by_program(folder: Path, **more: object) -> Device:
    """A board that a program of one's own measures on, held as `connect` holds it."""
    program = folder / "time_it.py"
    program.write_text(TIMES.format(python=sys.executable, folder=str(folder), more=more))
    program.chmod(0o755)
    runner = CommandRunner(Command(argv=(str(program),)), "nucleo-l4r5zi")
    held = RetryingRunner(LockedRunner(runner, folder / "lock", 1.0, print))
    return Device(load_profile("nucleo-l4r5zi"), held, None)


def test_a_board_that_tells_its_memory_knows_better_than_this_host(model: Path, tmp_path: Path) -> None:
    reading = by_program(tmp_path, arena_bytes=777).read(model, None, {"arena_bytes"})
    found = reading.measurement("arena_bytes")
    assert found.value == 777
    assert found.source == reading.latency.source
    (tmp_path / "silent").mkdir()
    silent = by_program(tmp_path / "silent").read(model, None, {"arena_bytes"}).measurement("arena_bytes")
    assert (silent.value, silent.source.runtime) == (arena(model).least_bytes, "tflite-micro")


def test_memory_alone_takes_no_run_on_the_board(model: Path, tmp_path: Path) -> None:
    """And is the least that a board which tells less than this host could tell."""
    found = by_program(tmp_path, arena_bytes=777).memory(model).measurement("arena_bytes")
    assert not (tmp_path / "runs").exists()
    assert found.value == arena(model).head_bytes
    assert estimated("nucleo-l4r5zi").memory(model).value("arena_bytes") == arena(model).least_bytes
    assert local().memory(model).value("arena_bytes") == planned_bytes(read_graph(model.read_bytes()))


def test_what_cannot_be_estimated_matters_only_where_it_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "float.tflite"
    path.write_bytes(fully_connected(64, 16))
    device = estimated("nucleo-l4r5zi")
    reading = device.read(path, None, {"arena_bytes"})
    assert reading.value("latency_ms") is None
    assert reading.value("arena_bytes") > 0
    (remark,) = reading.remarks
    with pytest.raises(MeasuringFailed) as caught:
        device.read(path, None, {"latency_ms"})
    assert str(caught.value) == remark
