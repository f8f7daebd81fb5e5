"""What a device offers a study: goals of its own, who answers, what a firmware leaves, what is refused."""

from pathlib import Path
from typing import Any

import pytest

from hardware_profiles.anchor import NoAnchor
from hardware_profiles.connection import parse_connection
from hardware_profiles.device import Device
from hardware_profiles.errors import DeviceError, Unreachable
from hardware_profiles.measurement import Source
from hardware_profiles.profile import HardwareProfile, load_profile, this_machine
from objectives.errors import ObjectiveError
from search.errors import StudyError
from search.plan import StudyPlan, make_plan
from search.reach import (
    probe,
    refuse_another_provenance,
    refuse_another_runtime,
    refuse_precisions,
    suited,
    with_input_type,
    within_firmware,
)

HERE = Source(provenance="measured", device="this-machine", machine="m-1", runtime="litert", threads=1)


class Answering:
    """A runner that says who it is, or raises what it is given."""

    def __init__(self, answer: Source | Exception) -> None:
        self.answer = answer

    def measure(self, models: Any, anchor: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        raise NoAnchor("no anchor here", self.answer)


def plan_of(**content: Any) -> StudyPlan:
    return make_plan({"data": "iris", **content})


def estimated(name: str) -> Device:
    return Device.at(load_profile(name), 1, parse_connection("estimated"))


def here(answer: Source | Exception = HERE, **profile: Any) -> Device:
    return Device(this_machine().model_copy(update=profile), Answering(answer), None)


def powered(**power: Any) -> Device:
    return here(power=this_machine().power.model_copy(update=power))


# Goals.


@pytest.mark.parametrize(
    ("device", "goals"),
    [
        (here(), ("accuracy", "latency_ms", "model_bytes")),
        (here(counts="compressed"), ("accuracy", "latency_ms", "compressed_bytes")),
        (estimated("nucleo-l4r5zi"), ("accuracy", "latency_ms", "model_bytes")),
        (estimated("rp2040"), ("accuracy", "arena_bytes", "model_bytes")),
    ],
)
def test_a_device_has_goals_of_its_own(device: Device, goals: tuple[str, ...]) -> None:
    assert suited(plan_of(), device).objectives == goals
    asked = suited(plan_of(objectives=["accuracy", "arena_bytes"]), device)
    assert asked.objectives == ("accuracy", "arena_bytes")


def test_its_limits_hold_unless_others_are_set() -> None:
    limits = this_machine().default_limits.model_copy(update={"latency_ms": 3.0, "model_bytes": 9000})
    kept = suited(plan_of(limits={"latency_ms": 1.0}), here(default_limits=limits)).limits
    assert (kept.latency_ms, kept.model_bytes, kept.arena_bytes) == (1.0, 9000, None)


@pytest.mark.parametrize("goal", [{"limits": {"latency_ms": 5}}, {"objectives": ["accuracy", "latency_ms"]}])
def test_a_latency_goal_without_a_source_is_refused_by_name(goal: dict[str, Any]) -> None:
    with pytest.raises(DeviceError, match="no source of latency_ms for 'rp2040' here: leave the goal out"):
        suited(plan_of(**goal), estimated("rp2040"))


def test_a_limit_on_what_runs_show_needs_runs() -> None:
    limited = plan_of(limits={"latency_ms": 5}, limit_on="p90")
    with pytest.raises(DeviceError, match=r"--limit-on p90 .* 'nucleo-l4r5zi' is estimated"):
        suited(limited, estimated("nucleo-l4r5zi"))
    assert suited(limited, here()).limit_on == "p90"
    without = plan_of(limit_on="p90")
    assert suited(without, estimated("nucleo-l4r5zi")).limit_on == "p90", "which bounds nothing"


def test_energy_is_an_objective_where_a_meter_reads_it_and_else_a_limit() -> None:
    objective, limit = plan_of(objectives=["energy_mj"]), plan_of(limits={"energy_mj": 2})
    with pytest.raises(DeviceError, match="energy_mj is an objective only where it is measured"):
        suited(objective, powered(active_w=2.0))
    with pytest.raises(DeviceError, match="energy_mj is an objective only where it is measured"):
        suited(objective, estimated("nucleo-l4r5zi"))
    with pytest.raises(DeviceError, match="its profile does not know"):
        suited(limit, here())
    assert suited(objective, powered(meter=("meter",))).objectives == ("energy_mj",)
    assert suited(limit, powered(active_w=2.0)).limits.energy_mj == 2


def test_the_direction_of_an_objective_of_ones_own_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "reached.py").write_text(
        "class Up:\n  direction = 'maximize'\n  def measure(self, model, profile): return 1.0\n"
    )
    plan = suited(plan_of(objectives=["accuracy", "reached:Up"]), here())
    assert plan.own_directions == {"reached:Up": "maximize"}
    monkeypatch.delitem(__import__("sys").modules, "reached")
    (tmp_path / "reached.py").unlink()
    assert [goal.direction for goal in plan.goals] == ["maximize", "maximize"]
    with pytest.raises(ObjectiveError, match="'gone_away' of 'gone_away:Up' cannot be imported"):
        suited(plan_of(objectives=["gone_away:Up"]), here())


# Who answers.


def test_who_answers_is_found_by_one_run() -> None:
    said: list[str] = []
    assert probe(here(), 1, said.append) == HERE
    assert not said


def test_without_a_device_at_hand_it_is_said() -> None:
    said: list[str] = []
    assert probe(estimated("nucleo-l4r5zi"), 1, said.append) is None
    assert probe(estimated("rp2040"), 1, said.append) is None
    assert said == [
        "no device at hand: latency on nucleo-l4r5zi is estimated",
        "no device at hand: latency on rp2040 is not known",
    ]


def test_a_device_that_does_not_answer_is_told() -> None:
    with pytest.raises(Unreachable, match="it is off"):
        probe(here(Unreachable("it is off")), 1, print)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("device", "rp2040", "of the device 'rp2040', not of 'this-machine': give --device rp2040"),
        ("threads", 4, "with 4 threads, and 1 are asked for: give --threads 4"),
    ],
)
def test_what_was_recorded_of_something_else_is_refused(field: str, value: Any, told: str) -> None:
    with pytest.raises(DeviceError, match=told):
        probe(here(HERE.model_copy(update={field: value})), 1, print)


def test_another_provenance_or_runtime_is_refused() -> None:
    refuse_another_provenance("s", "measured", "measured")
    with pytest.raises(StudyError, match="begun with latency not known, and now it is measured: such"):
        refuse_another_provenance("s", "none", "measured")
    with pytest.raises(StudyError, match=r"with machine 'm-1', and now it is 'm-2'.* another --name"):
        refuse_another_runtime("s", HERE, HERE.model_copy(update={"machine": "m-2"}))


# What a firmware leaves.


def within(plan: StudyPlan, profile: HardwareProfile, kind: Any = "table") -> tuple[StudyPlan, list[str]]:
    said: list[str] = []
    return within_firmware(plan, profile, kind, said.append), said


def test_what_a_firmware_leaves_is_a_limit_and_said_in_one_line() -> None:
    asked = plan_of(firmware={"flash": "256K", "ram": "64K", "reserve_flash": "90K", "reserve_ram": "20K"})
    nucleo = load_profile("nucleo-l4r5zi")
    plan, (line,) = within(asked, nucleo)
    bounds = plan.limits.bounds("maximize")
    assert 0 < (bounds["model_bytes"] or 0) < 166 * 1024
    assert 0 < (bounds["arena_bytes"] or 0) < 44 * 1024
    assert line.startswith("256.0 KiB of flash less 90.0 KiB of yours")
    images, _ = within(asked, nucleo, "image")
    assert (images.limits.left_model_bytes or 0) < (plan.limits.left_model_bytes or 0), "more operators"
    strict, _ = within(asked.model_copy(update={"limits": make_plan(
        {"data": "iris", "limits": {"arena_bytes": 100}}).limits}), nucleo)  # fmt: skip
    assert strict.limits.bounds("maximize")["arena_bytes"] == 100


def test_the_profile_knows_what_nobody_says() -> None:
    plan, said = within(plan_of(), load_profile("rp2040"))
    assert said and plan.limits.left_arena_bytes and plan.limits.left_arena_bytes < 270336


def test_where_nothing_is_known_and_nobody_asks_nothing_is_said() -> None:
    nucleo = load_profile("nucleo-l4r5zi")
    unknown = nucleo.model_copy(update={"memory": type(nucleo.memory)()})
    plan, said = within(plan_of().fitted(5, 5), unknown)
    assert not said and plan.limits.left_model_bytes is None
    with pytest.raises(DeviceError, match="say it with --ram"):
        within(plan_of(firmware={"flash": "1M"}), unknown)


def test_what_was_left_on_another_device_holds_no_longer() -> None:
    left, _ = within(plan_of(), load_profile("nucleo-l4r5zi"))
    plan, said = within(left, this_machine())
    assert plan.limits.bounds("maximize")["model_bytes"] is None and not said


def test_a_budget_is_for_microcontrollers_and_leaves_something() -> None:
    budget = plan_of(firmware={"flash": "64K", "ram": "8K", "reserve_flash": "60K"})
    with pytest.raises(StudyError, match=r"--flash, --ram .* 'this-machine' is none"):
        within(budget, this_machine())
    with pytest.raises(DeviceError, match="nothing remains for a model"):
        within(budget, load_profile("nucleo-l4r5zi"))


# What is searched.


@pytest.mark.parametrize(
    ("device", "plan", "told"),
    [
        (
            estimated("nucleo-l4r5zi"),
            plan_of(ranges={"precision": ["int8", "dynamic-int8"]}),
            "precision dynamic-int8 cannot be searched, for 'nucleo-l4r5zi' does not run it; here",
        ),
        (
            estimated("nucleo-l4r5zi"),
            plan_of(ranges={"precision": "float32"}),
            "for its latency cannot be estimated on 'nucleo-l4r5zi'",
        ),
        (
            here(),
            plan_of(input_type="int8", ranges={"precision": "float32"}),
            "does not take --input-type int8",
        ),
    ],
)
def test_a_precision_that_cannot_be_had_is_refused_by_name(
    device: Device, plan: StudyPlan, told: str
) -> None:
    usable = ("int8",)
    with pytest.raises(StudyError, match=told):
        refuse_precisions(plan, device, usable)
    refuse_precisions(plan_of(ranges={"precision": "int8"}), device, usable)
    refuse_precisions(plan_of(ranges={"units": 3}), device, usable)


def test_an_input_type_that_the_device_does_not_take_is_refused_or_exchanged() -> None:
    corstone = load_profile("corstone-300")
    assert with_input_type(plan_of(), corstone).input_type == "int8"
    assert with_input_type(plan_of(input_type="int8"), corstone).input_type == "int8"
    with pytest.raises(
        StudyError, match="'corstone-300' takes int8 as input, got --input-type float32; leave"
    ):
        with_input_type(plan_of(input_type="float32"), corstone)
