"""Studies on devices, end to end: estimated, without a latency, by ssh, by a program, by a recording."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
import sshd
from search_doubles import Screen, asked, write_table

from hardware_profiles.connection import Replay
from hardware_profiles.measurement import Source
from hardware_profiles.runners.replay import Recording
from objectives.tensorflow import one_thread
from search import cli
from search.home import Home
from search.ledger import MemoryLedger
from search.places import Places
from search.plan import make_plan
from search.study import run_study
from search.trial import StudyRecord

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # MLflow's, SQLAlchemy's and TensorFlow's own affairs
]
SMALL: dict[str, Any] = {
    "data": "three.npz", "epochs": 2,
    "ranges": {"units": {"low": 8, "high": 32}, "layers": 1, "sparsity": 0.0},
}  # fmt: skip
TIME_IT = """\
#!{python}
import json, os, sys
model = sys.argv[sys.argv.index("--model") + 1]
size = os.path.getsize(model)
answer = {{"latency_ms": [size / 1e4 * (1 + i / 1e6) for i in range(20)], "runtime": "double"}}
print(json.dumps(answer | {{"machine": "bench-1", "arena_bytes": 1000 + size // 2}}))
"""
MINE = """\
class Remainder:
    direction = "maximize"

    def measure(self, model, profile):
        assert profile.name == "this-machine"
        return model.stat().st_size % 97


class Silent:
    pass


class Sideways(Remainder):
    direction = "sideways"


class Shy:
    def __init__(self, whom):
        pass
"""
BOARD = """\
name: {name}
title: A board of one's own
reach: command
processor: {{isa: riscv32, core: Own}}
runtime: {{name: litert}}
precisions: [float32, int8]
input_types: [float32, int8]
power: {power}
"""
PROGRAM = "command:./time_it.py"


class Said(NamedTuple):
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def last(self) -> str:
        return self.err.strip().splitlines()[-1]


Run = Callable[..., Said]
Study = Callable[..., tuple[StudyRecord, Screen]]


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """A folder with data, programs and objectives of one's own, and a home with profiles of one's own."""
    folder: Path = tmp_path_factory.mktemp("desk")
    write_table(folder / "three.npz", samples=1100)
    (folder / "mine.py").write_text(MINE)
    (folder / "meter.sh").write_text("#!/bin/sh\nwhile :; do echo 2.5; sleep 0.01; done\n")
    (folder / "time_it.py").write_text(TIME_IT.format(python=sys.executable))
    for name in ("meter.sh", "time_it.py"):
        (folder / name).chmod(0o755)
    own = folder / "home" / "devices"
    own.mkdir(parents=True)
    meter = json.dumps({"meter": [str(folder / "meter.sh")], "active_w": 9.0})
    for name, power in (("metered", meter), ("rated", "{active_w: 4.0}"), ("plain", "{}")):
        (own / f"{name}.yaml").write_text(BOARD.format(name=name, power=power))
    return folder


@pytest.fixture(scope="module")
def study(desk) -> Iterator[Study]:
    """Run a study in the home of the desk: `study(name="n", device="d", on="estimated", mlflow=True)`."""

    def ran(*, on: str | None = None, mlflow: bool = False, **content: Any) -> tuple[StudyRecord, Screen]:
        screen, plan = Screen(), make_plan({**SMALL, **content})
        with nullcontext() if mlflow else no_mlflow():
            return run_study(plan, home=desk / "home", on=on, executor="in-process", display=screen), screen

    one_thread()  # as in a worker; tests that share this process want it too
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(desk)
        patch.setattr(sys, "path", list(sys.path))
        yield ran


def no_mlflow() -> Any:
    """The view has tests of its own; where nothing is asked of it, it would only take seconds a study."""
    return mock.patch("search.study.mlflow_ledger", return_value=MemoryLedger())


@pytest.fixture
def run(desk, monkeypatch, capfd) -> Run:
    """Run a command at the desk, in this process."""
    monkeypatch.chdir(desk)
    monkeypatch.setenv("EDGESEARCH_HOME", str(desk / "home"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    for variable in cli.ADDRESS_VARIABLES:
        monkeypatch.delenv(variable, raising=False)

    def command(*arguments: str) -> Said:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        out, err = capfd.readouterr()
        return Said(int(ended.value.code or 0), out, err)

    return command


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def metrics_of(home: Path, study: str) -> list[dict[str, float]]:
    """Return the metrics of a study's trials as MLflow has them."""
    from mlflow import MlflowClient

    client = MlflowClient(Home(home).mlflow_uri)
    experiment = client.get_experiment_by_name(f"edgesearch/{study}")
    runs = client.search_runs([experiment.experiment_id], "tags.`edgesearch.kind` = 'trial'")
    return [run.data.metrics | {"tags": run.data.tags} for run in runs]


# What nobody measured.


@pytest.fixture(scope="module")
def estimated(study) -> tuple[StudyRecord, Screen]:
    firmware = {"flash": "256K", "ram": "64K", "reserve_flash": "90K", "reserve_ram": "20K"}
    return study(
        name="estimated", device="nucleo-l4r5zi", on="estimated", trials=2, firmware=firmware, mlflow=True
    )


def test_an_estimated_study_is_said_to_be_one_and_says_what_remains(estimated):
    _, screen = estimated
    assert screen.said[0] == "no device at hand: latency on nucleo-l4r5zi is estimated"
    assert screen.said[1].startswith("256.0 KiB of flash less 90.0 KiB of yours")
    assert "64.0 KiB of RAM less 20.0 KiB of yours" in screen.said[1]


def test_what_remains_limits_the_models(estimated):
    record, _ = estimated
    limits = {goal.metric: goal.limit for goal in record.goals}
    left = record.plan.limits
    assert limits["model_bytes"] == left.left_model_bytes < (256 - 90) * 1024
    assert limits["arena_bytes"] == left.left_arena_bytes < (64 - 20) * 1024
    assert [goal.metric for goal in record.goals if goal.objective] == [
        "accuracy", "latency_ms", "model_bytes",
    ]  # fmt: skip


def test_only_what_can_be_estimated_is_tried_and_every_figure_says_how_it_came_about(estimated):
    record, _ = estimated
    assert len(asked(record)) == 2 and {trial.state for trial in record.trials} == {"measured"}
    for trial in record.trials:
        assert trial.candidate.compression.precision == "int8" and trial.latency is None
        told = {m.metric: m.source for m in trial.evidence.measurements}
        assert told["latency_ms"].provenance == told["energy_mj"].provenance == "estimated"
        assert (told["arena_bytes"].provenance, told["arena_bytes"].runtime) == ("measured", "tflite-micro")
        timed = trial.measurement("latency_ms")
        assert timed.low < timed.value < timed.high


def test_accuracy_is_that_of_the_kernels_that_the_board_has(estimated, desk):
    from hardware_profiles.artifact import ArtifactStore
    from objectives.accuracy import by_micro
    from objectives.datasets.store import open_data
    from objectives.metrics import accuracy
    from objectives.normalise import Normaliser

    record, _ = estimated
    home, trial = Home(desk / "home"), record.trials[0]
    data = open_data(home.data, record.data.digest)
    fold = data.folds[0]
    normaliser = Normaliser.fit(data.x_dev[fold.train], "table")
    tflite = ArtifactStore(home.artifacts).get(trial.evidence.artifact)
    scores = by_micro(tflite, normaliser, data.x_dev[fold.valid])
    assert trial.values["accuracy"] == accuracy(data.y_dev[fold.valid], scores)


def test_tables_and_mlflow_say_that_it_is_estimated(estimated, run, desk):
    for row in (*run("trials", "estimated", "--json").json, *run("front", "estimated", "--json").json):
        assert (row["provenance"], row["energy_provenance"]) == ("estimated", "estimated")
        assert row["arena_provenance"] == "measured"
        assert row["latency_low_ms"] < row["latency_ms"] < row["latency_high_ms"]
        assert row["arena_bytes"] > 0 and row["energy_mj"] == pytest.approx(row["latency_ms"] * 0.0415)
        assert row["latency_verdict"] is None and row["latency_p90_ms"] is None
    shown = run("front", "estimated").out
    assert "latency (estimated)" in shown and "arena" in shown and "energy" not in shown
    logged = metrics_of(desk / "home", "estimated")
    assert len(logged) == len(estimated[0].trials)
    for metrics in logged:
        assert metrics["tags"]["edgesearch.provenance"] == "estimated"
        assert metrics["latency_ms_low"] < metrics["latency_ms"] < metrics["latency_ms_high"]
        assert metrics["arena_bytes"] > 0


def test_an_export_says_how_every_figure_came_about_and_has_the_firmware(estimated, run, tmp_path):
    said = run("export", "estimated", "--to", str(tmp_path / "out"))
    assert said.code == 0, said.err
    about = json.loads((tmp_path / "out" / "model.json").read_text())
    assert about["latency"]["provenance"] == about["energy"]["provenance"] == "estimated"
    assert about["memory"]["provenance"] == "measured" and about["memory"]["runtime"] == "tflite-micro"
    card = (tmp_path / "out" / "model_card.md").read_text()
    assert "working memory (arena)" in card and "measured by tflite-micro" in card
    assert "It is no measurement on that device" in card
    assert {"model_data.cc", "op_resolver.h"} <= {f.name for f in (tmp_path / "out" / "firmware").iterdir()}


def test_an_estimated_study_is_not_gone_on_with_by_measuring_nor_the_other_way_round(
    estimated, by_command, run
):
    as_before = ("--data", "three.npz", "--epochs", "2", "--executor", "in-process")
    said = run("study", "--name", "estimated", "--on", PROGRAM)
    assert said.code == 2 and "was begun with latency estimated, and now it is measured" in said.last
    said = run("study", *as_before, "--name", "by-command", "--device", "nucleo-l4r5zi", "--on", "estimated")
    assert said.code == 2 and "was begun with latency measured, and now it is estimated" in said.last


def test_a_limit_on_what_an_estimate_has_not_is_refused(run, desk):
    before = files(desk / "home")
    flags = ("--max-latency-ms", "5", "--limit-on", "p90")
    said = run("study", "--data", "three.npz", "--device", "nucleo-l4r5zi", "--on", "estimated", *flags)
    assert said.code == 2 and "--limit-on p90 bounds what runs of a model have shown" in said.last
    assert files(desk / "home") == before


def test_an_estimate_that_is_no_goal_costs_no_candidate(study):
    """Nothing is estimated of float models, which are tried where latency is not asked for."""
    ranges = {**SMALL["ranges"], "precision": ["float32"]}
    record, _ = study(
        name="floats", device="nucleo-l4r5zi", on="estimated", trials=1, ranges=ranges,
        objectives=["accuracy", "arena_bytes"],
    )  # fmt: skip
    (trial,) = asked(record)
    assert trial.state == "measured", trial.reason
    assert "latency_ms" not in trial.values and trial.values["arena_bytes"] > 0


# What has no source of latency.


@pytest.fixture(scope="module")
def untimed(study) -> tuple[StudyRecord, Screen]:
    return study(name="untimed", device="rp2040", on="estimated", trials=2)


def test_without_a_source_of_latency_the_goals_are_accuracy_memory_and_size(untimed, run, tmp_path):
    record, screen = untimed
    assert screen.said[0] == "no device at hand: latency on rp2040 is not known"
    assert record.plan.objectives == ("accuracy", "arena_bytes", "model_bytes")
    assert len(asked(record)) == 2 and {trial.state for trial in record.trials} == {"measured"}
    (first, *_) = run("front", "untimed", "--json").json
    assert (first["latency_ms"], first["provenance"]) == (None, None)
    assert (first["arena_bytes"] > 0, first["arena_provenance"]) == (True, "measured")
    assert run("front", "untimed", "--plot", str(tmp_path / "front.html")).code == 0
    drawn = (tmp_path / "front.html").read_text()
    assert "working memory" in drawn and "memory measured for Raspberry Pi RP2040" in drawn
    assert run("front", "untimed", "--plot", str(tmp_path / "front.png")).code == 0


def test_a_model_without_a_latency_is_exported_and_says_so(untimed, run, tmp_path):
    assert run("export", "untimed", "--to", str(tmp_path / "out"), "--prefer", "size").code == 0
    about = json.loads((tmp_path / "out" / "model.json").read_text())
    assert about["latency"]["latency_ms"] is None and about["memory"]["arena_bytes"] > 0
    assert "latency | not known" in (tmp_path / "out" / "model_card.md").read_text()
    said = run("export", "untimed", "--to", str(tmp_path / "quick"), "--prefer", "latency")
    assert said.code == 2 and "did not measure latency_ms" in said.last


@pytest.mark.parametrize("flags", [("--max-latency-ms", "5"), ("--objective", "latency_ms")])
def test_a_latency_goal_without_a_source_is_refused_by_name(run, desk, flags):
    before = files(desk / "home")
    said = run("study", "--data", "three.npz", "--device", "rp2040", "--on", "estimated", *flags)
    assert said.code == 2 and "no source of latency_ms for 'rp2040' here" in said.last
    assert files(desk / "home") == before


def test_a_device_that_is_not_here_is_never_replaced(run, desk):
    before = files(desk / "home")
    said = run("study", "--data", "three.npz", "--device", "raspberry-pi-5")
    assert said.code == 2 and "measured with --on ssh://USER@HOST" in said.last
    assert "'raspberry-pi-5' is not this machine, and nothing is measured in its name" in said.last
    assert files(desk / "home") == before


# A board by ssh.


@pytest.fixture
def board(tmp_path, monkeypatch) -> Iterator[sshd.Board]:
    """A real board on loopback, which the user's configuration of ssh knows."""
    folder = tmp_path / "board"
    folder.mkdir()
    started = sshd.start(folder)
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    options = " ".join(started.options())
    (bin_folder / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} {options} "$@"\n')
    (bin_folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_folder}:{os.environ['PATH']}")
    yield started
    if started.process.poll() is None:
        sshd.stop(started)


def start_again(board: sshd.Board) -> None:
    config = str(board.folder / "sshd_config")
    board.process = subprocess.Popen([sshd.SSHD, "-D", "-e", "-f", config], stderr=subprocess.DEVNULL)
    sshd.wait_for(board.port, board.process, board.folder)


@pytest.mark.needs_system_package("openssh-server", sshd.SSHD)
def test_a_study_pauses_when_its_board_goes_away_and_goes_on_when_it_is_back(
    study, run, board, desk, monkeypatch
):
    from search.executors import inprocess

    where = f"ssh://127.0.0.1:{board.port}"
    flags = ("--device", "raspberry-pi-4", "--on", where, "--executor", "in-process", "--epochs", "2")
    narrow = ("--range", "layers=1", "--range", "units=8..32", "--range", "sparsity=0")
    first = ("study", "--data", "three.npz", *flags, *narrow, "--trials", "3", "--name", "by-ssh")

    class Unplugged(inprocess.InProcessExecutor):
        """Loses its board after the first trial."""

        def next(self, timeout_s: float) -> Any:
            finished = super().next(timeout_s)
            if board.process.poll() is None:
                sshd.stop(board)
            return finished

    with no_mlflow(), mock.patch.object(inprocess, "InProcessExecutor", Unplugged):
        paused = run(*first)
    assert paused.code == 3, paused.err
    assert paused.last.startswith("error: the study 'by-ssh' pauses: ") and where in paused.last
    assert paused.last.endswith(f"go on with: edgesearch study --name by-ssh --on {where}")
    assert "Traceback" not in paused.err and "trying again" in paused.err
    begun = run("trials", "by-ssh", "--json").json
    known = [row for row in begun if row["state"] != "waiting"]
    assert [row["state"] for row in known if row["parent"] is None] == ["measured"]

    away = run("study", "--name", "by-ssh", "--on", where)
    assert away.code == 3 and "the same command goes on when it answers" in away.last
    start_again(board)
    with no_mlflow():
        done = run("study", "--name", "by-ssh", "--on", where, "--executor", "in-process")
    assert done.code == 0, done.err
    assert f"--name by-ssh --trials 6 --on {where}" in done.out
    rows = run("trials", "by-ssh", "--json").json
    assert [row["state"] for row in rows if row["parent"] is None] == ["measured"] * 3
    told_then = [{name: cell for name, cell in row.items() if cell is not None} for row in known]
    assert all(any(told.items() <= row.items() for row in rows) for told in told_then)
    assert {row["provenance"] for row in rows} == {"measured"}
    assert {row["device"] for row in rows} == {"raspberry-pi-4"}
    assert {row["energy_provenance"] for row in rows} == {"estimated"}


# A program of one's own, and what was recorded.


@pytest.fixture(scope="module")
def by_command(study) -> tuple[StudyRecord, Screen]:
    return study(name="by-command", device="nucleo-l4r5zi", on=PROGRAM, trials=2)


def test_a_program_of_ones_own_measures_a_study(by_command, desk):
    record, _ = by_command
    assert record.anchor.source == Source(
        provenance="measured", device="nucleo-l4r5zi", machine="bench-1", runtime="double", threads=1
    )
    for trial in record.trials:
        size = trial.values["model_bytes"]
        assert trial.latency.latency_ms == pytest.approx(size / 1e4, rel=1e-3)
        assert trial.values["arena_bytes"] == 1000 + size // 2, "the board knows better than this host"
        assert trial.measurement("arena_bytes").source == record.anchor.source


@pytest.fixture(scope="module")
def recording(by_command, desk) -> Path:
    """What the program measured, without the board."""
    record, _ = by_command
    path = desk / "board.json"
    Recording(latencies={t.evidence.artifact: t.latency for t in record.trials}).save(path)
    return path


def test_a_recording_answers_as_the_device_did(by_command, recording, study):
    was, _ = by_command
    limits = {"latency_ms": 100.0}  # which is held against a blank first, that no recording has
    record, _ = study(
        name="replayed", device="nucleo-l4r5zi", on=f"replay:{recording}", trials=2, limits=limits
    )
    assert [t.latency for t in record.trials] == [t.latency for t in was.trials]
    assert record.anchor.source == was.anchor.source


def test_a_recording_of_another_device_is_not_played_in_this_ones_name(recording, run, desk):
    before = files(desk / "home")
    said = run("study", "--data", "three.npz", "--device", "rp2040", "--on", f"replay:{recording}")
    assert said.code == 2
    assert "of the device 'nucleo-l4r5zi', not of 'rp2040': give --device nucleo-l4r5zi" in said.last
    two = ("--device", "nucleo-l4r5zi", "--threads", "2", "--on", f"replay:{recording}")
    said = run("study", "--data", "three.npz", *two)
    assert said.code == 2 and "ran with 1 threads, and 2 are asked for" in said.last
    assert files(desk / "home") == before


# Objectives of one's own, memory and energy.


@pytest.fixture(scope="module")
def own(study) -> tuple[StudyRecord, Screen]:
    objectives = ["accuracy", "arena_bytes", "mine:Remainder"]
    return study(name="own", trials=2, objectives=objectives, mlflow=True)


def test_an_objective_of_ones_own_is_one_everywhere(own, run, desk, tmp_path):
    record, _ = own
    goal = next(goal for goal in record.goals if goal.metric == "mine:Remainder")
    assert goal.direction == "maximize" and goal.objective
    for row in run("trials", "own", "--json").json:
        assert row["mine:Remainder"] == row["model_bytes"] % 97
    assert run("front", "own", "--csv", str(tmp_path / "front.csv")).code == 0
    assert "mine:Remainder" in (tmp_path / "front.csv").read_text().splitlines()[0]
    assert "mine:Remainder" in run("front", "own").out
    for metrics in metrics_of(desk / "home", "own"):
        assert metrics["mine:Remainder"] == metrics["model_bytes"] % 97
    assert run("export", "own", "--to", str(tmp_path / "out")).code == 0
    assert "`mine:Remainder`" in (tmp_path / "out" / "model_card.md").read_text()


def test_a_study_can_be_looked_at_where_its_objective_is_not(own, run, tmp_path, monkeypatch, desk):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(desk)])
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    said = run("front", "own", "--json")
    assert said.code == 0 and said.json[0]["mine:Remainder"] >= 0


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("mine:Silent", "an objective is a class with measure(model, profile)"),
        ("mine:Sideways", "a direction of minimize or maximize; 'mine:Sideways' is none"),
        ("mine:Shy", "it is made without arguments"),
        ("mine:Nobody", "has no function 'Nobody'"),
        ("none_such:O", "module 'none_such' of 'none_such:O' cannot be imported"),
        ("arena", "did you mean 'arena_bytes'?"),
    ],
)
def test_a_broken_objective_is_refused_in_one_line(run, desk, name, told):
    before = files(desk / "home")
    said = run("study", "--data", "three.npz", "--objective", "accuracy", "--objective", name)
    assert said.code == 2 and told in said.last and "Traceback" not in said.err
    assert files(desk / "home") == before


def test_memory_on_this_machine_is_worked_out_and_said_to_be(own, run):
    record, _ = own
    for trial in record.trials:
        found = trial.measurement("arena_bytes")
        assert found.source.provenance == "estimated" and found.value > 0
    assert "arena" in run("front", "own").out


def test_a_model_that_takes_too_much_memory_is_not_trained(study):
    record, _ = study(name="tight", trials=2, limits={"arena_bytes": 16})
    for trial in record.trials:
        assert (trial.state, trial.evidence.artifact, trial.evidence.curve) == ("infeasible", None, ())
        assert trial.outcome.violations[0].metric == "arena_bytes"


def test_energy_by_the_published_power_is_a_limit_and_no_objective(study, run, desk):
    record, _ = study(name="rated", device="rated", on=PROGRAM, trials=1, limits={"energy_mj": 100.0})
    (trial,) = asked(record)
    found = trial.measurement("energy_mj")
    assert found.value == pytest.approx(4 * trial.latency.latency_ms)
    assert found.source.provenance == "estimated"
    before = files(desk / "home")
    objective = ("--objective", "accuracy", "--objective", "energy_mj")
    for device, told in (("rated", "only where it is measured"), ("plain", "its profile does not know")):
        said = run("study", "--data", "three.npz", "--device", device, "--on", PROGRAM, *objective)
        assert said.code == 2 and told in said.last
    assert files(desk / "home") == before


def test_energy_by_a_meter_is_an_objective(study, run):
    record, _ = study(
        name="metered", device="metered", on=PROGRAM, trials=1, objectives=["accuracy", "energy_mj"]
    )
    for trial in record.trials:
        found = trial.measurement("energy_mj")
        assert found.value == pytest.approx(2.5 * trial.latency.latency_ms)
        assert found.source == trial.latency.source
    known = {trial.number: trial.values["energy_mj"] for trial in record.trials}
    for row in run("front", "metered", "--json").json:
        assert (row["energy_mj"], row["energy_provenance"]) == (known[row["trial"]], "measured")
    assert "energy" in run("front", "metered").out


def test_what_comes_next_names_where_the_device_is(desk, recording):
    places = Places(Home(desk / "home"), connection=Replay(path=desk / "a b.json"))
    assert places.again(device=True) == f" --on 'replay:{desk}/a b.json'"
    assert places.again() == ""
