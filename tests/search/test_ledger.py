import json
import logging
import math
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import search
from hardware_profiles.artifact import ArtifactStore
from objectives.outcome import Epoch, Failed
from search.errors import StudyError
from search.front import figures, front
from search.hypervolume import hypervolume
from search.ledger import BackgroundLedger, Ledger, MemoryLedger, NullLedger, sync
from search.mlflow_ledger import MlflowLedger
from search.mlflow_values import ENVIRONMENT, STATUS, progress, quiet_mlflow, trial_params, trial_points
from search.trial import TrialRecord

# MLflow uses parts of SQLAlchemy that are on their way out; that is for MLflow to mend.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

MODEL = b"TFL3 not really, but bytes are bytes"
PASSWORD_URL = "postgresql://me:hunter22@db.example/studies"


def enriched(trial: TrialRecord, *, artifact: str | None, epochs: int = 3) -> TrialRecord:
    """Give a trial what only real ones have: a model in the store, a curve, and times."""
    assert trial.outcome is not None
    evidence = trial.evidence.model_copy(
        update={
            "artifact": artifact,
            "curve": tuple(Epoch(epoch=e, loss=1 / e, valid=1 - 1 / (e + 1)) for e in range(1, epochs + 1)),
            "seconds": {"train": 1.25, "convert": 0.25},
        }
    )
    return trial.model_copy(update={"outcome": trial.outcome.model_copy(update={"evidence": evidence})})


@pytest.fixture
def trials(make_trial) -> list[TrialRecord]:
    """One trial of every state."""
    return [
        make_trial(0, 0.9, 0.01, 2000, compressed_bytes=900.0, sparsity_reached=0.5),
        make_trial(1, 0.8, 0.02, 1000),
        make_trial(2, 0.7, 0.03, 3000),
        make_trial(3, None, 0.5, 4000, state="stopped"),
        make_trial(4, None, None, None, state="failed"),
        make_trial(5, None, None, None, state="running"),
        make_trial(6, None, None, None, state="waiting"),
    ]


@pytest.fixture
def real_plots() -> None:
    """Ask for this to have the plots drawn; elsewhere they are left out, for they take most of the time."""


@pytest.fixture(autouse=True)
def _plots(request, monkeypatch) -> None:
    if "real_plots" not in request.fixturenames:
        monkeypatch.setattr("search.plot.write_plot", lambda _study, path: path.write_bytes(b"-"))


class LedgerContract:
    """What every ledger keeps to. A subclass supplies `ledger`, and `written`: state by number."""

    @pytest.fixture
    def ledger(self) -> Ledger:
        raise NotImplementedError

    def written(self, ledger: Ledger, study: str) -> dict[int, str]:
        raise NotImplementedError

    def test_every_state_is_written(self, ledger, make_study, trials):
        study = make_study(trials)
        ledger.record(study, trials)
        ledger.digest(study)
        assert self.written(ledger, study.name) == {trial.number: trial.state for trial in trials}

    def test_writing_again_changes_nothing(self, ledger, make_study, trials):
        study = make_study(trials)
        for _ in range(2):
            ledger.record(study, trials)
            ledger.record(study, trials[2:])
            ledger.digest(study)
        assert self.written(ledger, study.name) == {trial.number: trial.state for trial in trials}

    def test_a_newer_state_replaces_the_older(self, ledger, make_study, make_trial):
        running, ended = make_trial(7, state="running"), make_trial(7, 0.9, 0.01, 2000)
        study = make_study([running])
        ledger.record(study, [running])
        ledger.record(make_study([ended]), [ended])
        assert self.written(ledger, study.name) == {7: "measured"}

    def test_studies_are_kept_apart(self, ledger, make_study, make_trial):
        one, other = make_trial(0, 0.9, 0.01, 2000), make_trial(0, state="failed")
        ledger.record(make_study([one]), [one])
        ledger.record(make_study([other], name="try-2"), [other])
        assert self.written(ledger, "try-1") == {0: "measured"}
        assert self.written(ledger, "try-2") == {0: "failed"}

    def test_a_study_without_trials(self, ledger, make_study):
        study = make_study([])
        ledger.record(study, [])
        ledger.digest(study)
        assert self.written(ledger, study.name) == {}

    def test_sync_catches_up(self, ledger, make_study, trials):
        study = make_study(trials)
        ledger.record(study, trials[:2])
        sync(study, ledger)
        assert self.written(ledger, study.name) == {trial.number: trial.state for trial in trials}


class TestMemoryLedger(LedgerContract):
    @pytest.fixture
    def ledger(self) -> MemoryLedger:
        return MemoryLedger()

    def written(self, ledger: MemoryLedger, study: str) -> dict[int, str]:
        return {number: trial.state for number, trial in ledger.trials.get(study, {}).items()}


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """An MLflow database without runs; making one takes seconds, so each test copies this one."""
    quiet_mlflow()
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    MlflowClient(f"sqlite:///{path}").get_experiment_by_name("any")
    return path


class Place:
    """One MLflow store with the folders around it, and a plain client to look into it."""

    def __init__(self, root: Path, empty_store: Path) -> None:
        from mlflow import MlflowClient

        self.uri, self.files, self.store = (
            f"sqlite:///{root / 'm.db'}",
            root / "runs",
            ArtifactStore(root / "artifacts"),
        )
        shutil.copy(empty_store, root / "m.db")
        self.client = MlflowClient(self.uri)

    def ledger(self) -> MlflowLedger:
        return MlflowLedger(self.uri, self.files, self.store)

    def runs(self, study: str, kind: str) -> list:
        experiment = self.client.get_experiment_by_name(f"edgesearch/{study}")
        if experiment is None:
            return []
        wanted = f"tags.`edgesearch.kind` = '{kind}'"
        return list(self.client.search_runs([experiment.experiment_id], wanted, order_by=["start_time"]))

    def parent(self, study: str = "try-1"):
        (parent,) = self.runs(study, "study")
        return parent

    def children(self, study: str = "try-1") -> dict[int, object]:
        found = self.runs(study, "trial")
        by_number = {int(run.data.tags["edgesearch.trial"]): run for run in found}
        assert len(by_number) == len(found), "a trial has two runs"
        return by_number

    def history(self, run, key: str) -> list[tuple[int, float]]:
        return [(m.step, m.value) for m in self.client.get_metric_history(run.info.run_id, key)]


@pytest.fixture
def place(tmp_path, empty_store) -> Place:
    return Place(tmp_path, empty_store)


def states(place: Place, study: str) -> dict[int, str]:
    children = place.children(study)
    if children:
        assert len(place.runs(study, "study")) == 1
    for run in children.values():
        assert run.info.status == STATUS[run.data.tags["edgesearch.state"]]
    return {number: run.data.tags["edgesearch.state"] for number, run in children.items()}


class TestMlflowLedger(LedgerContract):
    @pytest.fixture
    def ledger(self, place) -> MlflowLedger:
        ledger = place.ledger()
        ledger.place = place
        return ledger

    def written(self, ledger: MlflowLedger, study: str) -> dict[int, str]:
        return states(ledger.place, study)


class TestBackgroundLedger(LedgerContract):
    @pytest.fixture
    def ledger(self, place) -> Iterator[BackgroundLedger]:
        ledger = BackgroundLedger(place.ledger())
        ledger.place = place
        yield ledger
        assert ledger.close(60) is True

    def written(self, ledger: BackgroundLedger, study: str) -> dict[int, str]:
        assert ledger.close(60) is True
        return states(ledger.place, study)


def test_a_child_run_says_all_of_its_trial(place, make_study, make_trial):
    sha256 = place.store.put(MODEL)
    trial = enriched(
        make_trial(12, 0.9, 0.01, 2000, compressed_bytes=900.0, sparsity_reached=0.5), artifact=sha256
    )
    place.ledger().record(make_study([trial]), [trial])
    run, parent = place.children()[12], place.parent()

    assert (run.info.run_name, run.info.status) == ("trial 12", "FINISHED")
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert run.data.metrics["accuracy"] == 0.9
    assert run.data.metrics | figures(trial) == run.data.metrics
    assert run.data.metrics["seconds"] == 1.5
    assert run.info.end_time - run.info.start_time == 1500
    assert run.data.metrics["latency_ms_low"] == trial.latency.low_ms
    assert run.data.params["precision"] == "float32"
    assert run.data.params["learning_rate"] == "0.001"
    assert run.data.params == trial_params(trial)
    for tag, value in {
        "state": "measured",
        "device": "this-machine",
        "machine": "m-1",
        "provenance": "measured",
    }.items():
        assert run.data.tags[f"edgesearch.{tag}"] == value
    assert run.data.tags["edgesearch.candidate"] == trial.candidate.digest
    assert place.history(run, "loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert [step for step, _ in place.history(run, "valid")] == [1, 2, 3]
    assert Path(place.client.download_artifacts(run.info.run_id, "model/model.tflite")).read_bytes() == MODEL


def test_a_model_that_is_not_kept_any_more_is_no_error(place, make_study, make_trial):
    trial = enriched(make_trial(0, 0.9, 0.01, 2000), artifact="f" * 64)
    place.ledger().record(make_study([trial]), [trial])
    run = place.children()[0]
    assert place.client.list_artifacts(run.info.run_id) == []
    assert run.data.tags["edgesearch.artifact"] == "f" * 64


def test_a_curve_longer_than_mlflow_takes_at_once(place, make_study, make_trial):
    trial = enriched(make_trial(0, 0.9, 0.01, 2000), artifact=None, epochs=700)
    place.ledger().record(make_study([trial]), [trial])
    assert len(place.history(place.children()[0], "valid")) == 700


def test_a_reason_is_a_tag_and_the_description_without_passwords(place, make_study, make_trial):
    failed = make_trial(0, state="failed").model_copy(
        update={"outcome": Failed(error=f"no answer from {PASSWORD_URL}")}
    )
    place.ledger().record(make_study([failed]), [failed])
    tags = place.children()[0].data.tags
    assert tags["edgesearch.reason"] == tags["mlflow.note.content"]
    assert tags["edgesearch.reason"] == "no answer from postgresql://me:***@db.example/studies"


def test_trials_are_listed_in_the_order_they_were_written(place, make_study, make_trial):
    slow_and_quick = [enriched(make_trial(n, 0.9, 0.01, 2000), artifact=None) for n in range(3)]
    slow_and_quick.append(make_trial(3, 0.9, 0.01, 2000))
    place.ledger().record(make_study(slow_and_quick), slow_and_quick)
    assert list(place.children()) == [0, 1, 2, 3]


class Killed(BaseException):
    """Stands for a kill: nothing may catch it."""


class Mortal:
    """A client that dies before the call of one method, after letting some calls of it pass."""

    def __init__(self, client: object, method: str, spared: int = 0) -> None:
        self._client, self._method, self._spared = client, method, spared

    def __getattr__(self, name: str) -> Callable:
        if name == self._method:
            self._spared -= 1
            if self._spared < 0:
                raise Killed(name)
        return getattr(self._client, name)


STEPS = [
    *(("create_experiment", 0), ("create_run", 0), ("create_run", 1), ("set_experiment_tag", 0)),
    *(("log_batch", n) for n in range(4)),  # the parent's parameters, two trials, the digest
    *(("log_artifact", 0), ("set_terminated", 0), ("set_terminated", 1), ("set_terminated", 2)),
    *(("log_artifacts", 0), ("set_tag", 0), ("set_tag", 1)),
]


@pytest.mark.parametrize(("method", "spared"), STEPS)
def test_a_kill_between_any_two_steps_is_mended_by_the_next_call(
    place, make_study, make_trial, method, spared
):
    trials = [
        enriched(make_trial(n, 0.9, 0.01 + n, 2000 - n), artifact=place.store.put(MODEL)) for n in range(2)
    ]
    study = make_study(trials)
    dying = place.ledger()
    dying._client = Mortal(place.client, method, spared)
    with pytest.raises(Killed, match=method):
        sync(study, dying)
    sync(study, place.ledger())

    assert states(place, "try-1") == {0: "measured", 1: "measured"}
    for number, run in place.children().items():
        assert run.data.metrics["accuracy"] == 0.9
        assert len(place.history(run, "valid")) == 3
        assert len(place.history(run, "accuracy")) == 1
        assert run.data.tags["edgesearch.front"] == "yes", number
        assert [f.path for f in place.client.list_artifacts(run.info.run_id, "model")] == [
            "model/model.tflite"
        ]
    assert [step for step, _ in place.history(place.parent(), "hypervolume")] == [1, 2]
    assert place.parent().info.status == "FINISHED"


def test_a_run_that_another_process_made_meanwhile_is_found(place, make_study, make_trial):
    trials = [make_trial(n, 0.9, 0.01, 2000) for n in range(2)]
    study, first, second = make_study(trials), place.ledger(), place.ledger()
    first.record(study, trials[:1])
    second.record(study, trials)
    first.record(study, trials)
    assert states(place, "try-1") == {0: "measured", 1: "measured"}


def test_a_complete_run_is_not_written_again(place, make_study, trials):
    study = make_study(trials)
    place.ledger().record(study, trials)
    reader = place.ledger()
    reader._client = Mortal(place.client, "log_batch")
    reader.record(study, trials)


def test_the_digest(place, make_study, trials):
    study = make_study(trials, limits={"latency_ms": "100us"})
    sync(study, place.ledger())
    parent = place.parent()
    assert parent.info.run_name == "try-1"
    assert parent.info.status == "RUNNING", "trial 5 runs"
    assert (
        parent.data.params["data"] == "digits"
        and parent.data.params["objectives"] == "accuracy, latency_ms, model_bytes"
    )
    assert parent.data.tags["plan.limits.latency_ms"] == "0.1"
    assert parent.data.tags["version.ai-edge-litert"] == "2.3.0"
    kept = front(study.trials, study.goals)
    assert {n for n, run in place.children().items() if "edgesearch.front" in run.data.tags} == {
        t.number for t in kept
    }
    covered = hypervolume([figures(t) for t in kept], study.goals, study.majority_accuracy)
    assert parent.data.metrics["hypervolume"] == pytest.approx(covered)
    expected = {"front_size": 2, "best_accuracy": 0.9, "best_latency_ms": 0.01, "best_model_bytes": 1000}
    expected |= {"trials_measured": 3, "trials_stopped": 1, "trials_failed": 1, "trials_infeasible": 0}
    assert parent.data.metrics | expected == parent.data.metrics
    assert "3 measured, 0 infeasible, 1 stopped, 1 failed" in parent.data.tags["mlflow.note.content"]
    assert "| 0 | 0.9 | 0.01 | 2000 | 900 | float32 |" in parent.data.tags["mlflow.note.content"]


def test_the_files_of_the_digest(place, make_study, trials, real_plots):
    import pandas as pd
    import yaml

    from search.plan import StudyPlan

    study = make_study(trials)
    sync(study, place.ledger())
    root = Path(place.client.download_artifacts(place.parent().info.run_id, ""))
    assert sorted(p.name for p in root.iterdir()) == [
        "front.csv",
        "front.html",
        "front.json",
        "front.png",
        "plan.yaml",
    ]
    assert list(pd.read_csv(root / "front.csv")["trial"]) == [0, 1]
    table = json.loads((root / "front.json").read_text())
    assert table["columns"][:3] == ["trial", "accuracy", "latency_ms"] and len(table["data"]) == 2
    assert (root / "front.png").read_bytes().startswith(b"\x89PNG")
    assert StudyPlan.model_validate(yaml.safe_load((root / "plan.yaml").read_text())) == study.plan


def test_digests_one_by_one_give_the_same_curves_as_one_at_the_end(place, make_study, make_trial):
    trials = [make_trial(n, 0.5 + n / 20, 0.01 * (n % 3 + 1), 2000 - n) for n in range(4)]
    step_by_step = place.ledger()
    for count in range(1, len(trials) + 1):
        step_by_step.record(make_study(trials[:count]), trials[:count])
        step_by_step.digest(make_study(trials[:count]))
    sync(make_study(trials, name="try-2"), place.ledger())
    for key in ("hypervolume", "front_size", "best_accuracy", "trials_measured"):
        assert place.history(place.parent(), key) == place.history(place.parent("try-2"), key)
    assert len(place.history(place.parent(), "hypervolume")) == 4


def test_a_better_trial_takes_the_mark_of_the_front(place, make_study, make_trial):
    trials, ledger = [make_trial(0, 0.8, 0.02, 2000)], place.ledger()
    sync(make_study(trials), ledger)
    assert place.children()[0].data.tags["edgesearch.front"] == "yes"
    trials.append(make_trial(1, 0.9, 0.01, 1000))
    sync(make_study(trials), place.ledger())
    assert "edgesearch.front" not in place.children()[0].data.tags
    assert place.children()[1].data.tags["edgesearch.front"] == "yes"


def test_a_plan_that_changed_is_shown_as_it_stands(place, make_study, trials):
    sync(make_study(trials, timeout_s=60), place.ledger())
    sync(make_study(trials, timeout_s=90, limits={"model_bytes": "2500"}), place.ledger())
    assert place.parent().data.tags["plan.timeout_s"] == "90.0"
    assert place.parent().data.tags["plan.limits.model_bytes"] == "2500"


def test_other_limits_show_in_the_runs_and_in_the_figures(place, make_study, make_trial):
    """A trial of which nothing is known any more was screened out by a limit that it would keep today."""
    trials = [make_trial(0, 0.8, 0.02, 2000)]
    screened = make_trial(2, None, None, 4000, state="infeasible")
    sync(make_study([*trials, screened], limits={"model_bytes": "3K"}), place.ledger())
    assert place.parent().data.metrics["best_accuracy"] == 0.8
    sync(make_study(trials), place.ledger())
    gone = place.children()[2]
    assert (gone.info.status, gone.data.tags["edgesearch.state"]) == ("KILLED", "unlisted")
    assert place.parent().data.metrics["trials_infeasible"] == 0
    wide = make_study([make_trial(0, 0.9, 0.01, 9000), make_trial(1, 0.8, 0.02, 2000)])
    for _ in range(2):
        sync(wide, place.ledger())
        assert place.parent().data.metrics["best_accuracy"] == 0.9
    assert len(place.history(place.parent(), "best_accuracy")) == 3
    sync(make_study([*wide.trials, screened]), place.ledger())
    assert place.children()[2].data.tags["edgesearch.state"] == "infeasible"


def test_a_deleted_experiment_comes_back(place, make_study, trials):
    study = make_study(trials)
    sync(study, place.ledger())
    place.client.delete_experiment(place.client.get_experiment_by_name("edgesearch/try-1").experiment_id)
    sync(study, place.ledger())
    assert len(states(place, "try-1")) == len(trials)


def test_the_table_opens_with_columns_that_exist(place, make_study, trials):
    sync(make_study(trials), place.ledger())
    experiment = place.client.get_experiment_by_name("edgesearch/try-1")
    view = json.loads(experiment.tags["mlflow.sharedViewState.edgesearch"])
    run = place.children()[0]
    known = {f"metrics.`{k}`" for k in run.data.metrics} | {f"params.`{k}`" for k in run.data.params}
    known |= {f"tags.`{k}`" for k in run.data.tags} | {"tags.`edgesearch.reason`"}
    assert set(view["selectedColumns"]) <= known
    assert (view["orderByKey"], view["orderByAsc"]) == ("metrics.`accuracy`", False)
    assert experiment.tags["edgesearch.parent"] == place.parent().info.run_id
    listed = place.client.search_runs(
        [experiment.experiment_id], view["searchFilter"], order_by=[f"{view['orderByKey']} DESC"]
    )
    assert [r.info.run_name for r in listed][:3] == ["trial 0", "trial 1", "trial 2"]


def test_values_that_are_not_finite_are_left_out(make_trial):
    trial = make_trial(0, 0.9, 0.01, 2000, compressed_bytes=900.0)
    broken = trial.evidence.measurements[0].model_copy(update={"value": math.inf, "high": math.nan})
    evidence = trial.evidence.model_copy(update={"measurements": (broken, *trial.evidence.measurements[1:])})
    trial = trial.model_copy(update={"outcome": trial.outcome.model_copy(update={"evidence": evidence})})
    keys = {point.key for point in trial_points(trial)}
    assert broken.metric not in keys and f"{broken.metric}_high" not in keys and "compressed_bytes" in keys


def test_the_curve_carried_along_equals_the_front_of_each_beginning(make_study, make_trial):
    measured = [
        make_trial(n, 0.5 + (7 * n % 5) / 10, 0.01 + (3 * n % 4) / 100, 1000 + 500 * (n % 3))
        for n in range(12)
    ]
    study = make_study(measured)
    curve = {point.step: point.value for point in progress(study) if point.key == "hypervolume"}
    for count in range(1, len(measured) + 1):
        kept = front(measured[:count], study.goals)
        assert curve[count] == pytest.approx(hypervolume([figures(t) for t in kept], study.goals, 0.1))
    assert {point.step for point in progress(study, after=9)} == {10, 11, 12}


def test_a_server_that_is_away_is_one_line_without_its_password(tmp_path, monkeypatch, make_study, trials):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    ledger = MlflowLedger("http://me:hunter22@127.0.0.1:9", None, ArtifactStore(tmp_path))
    with pytest.raises(
        StudyError, match=r"MLflow at http://me:\*\*\*@127.0.0.1:9 cannot be written"
    ) as caught:
        ledger.record(make_study(trials), trials)
    assert "hunter22" not in str(caught.value)
    assert "\n" not in str(caught.value)


class Gate:
    """A ledger that waits to be let through, and then writes to a MemoryLedger."""

    def __init__(self) -> None:
        self.memory, self.entered, self.open = MemoryLedger(), threading.Event(), threading.Event()
        self.digests = 0

    def record(self, study, trials: Sequence[TrialRecord]) -> None:
        self.entered.set()
        assert self.open.wait(60)
        self.memory.record(study, trials)

    def digest(self, study) -> None:
        self.digests += 1
        self.memory.digest(study)


def test_a_slow_ledger_holds_nobody_up(make_study, make_trial):
    gate = Gate()
    ledger, trials = BackgroundLedger(gate), [make_trial(n, 0.9, 0.01, 2000) for n in range(5)]
    for count in range(1, 6):
        ledger.record(make_study(trials[:count]), trials[count - 1 : count])
        ledger.digest(make_study(trials[:count]))
    assert gate.entered.wait(60)
    assert gate.memory.trials == {}
    assert ledger.missed == 6, "five trials and one digest wait"
    gate.open.set()
    assert ledger.close(60) is True
    assert list(gate.memory.trials["try-1"]) == [0, 1, 2, 3, 4]
    assert gate.digests == 1 and len(gate.memory.digests["try-1"].trials) == 5


def test_what_the_deadline_cuts_off_is_counted(make_study, make_trial):
    gate, trial = Gate(), make_trial(0, 0.9, 0.01, 2000)
    ledger = BackgroundLedger(gate)
    ledger.record(make_study([trial]), [trial])
    ledger.digest(make_study([trial]))
    assert ledger.close(0) is False
    assert ledger.missed == 2
    gate.open.set()
    assert ledger.close(60) is True


class Broken:
    """A ledger whose server is away."""

    def record(self, study, trials: Sequence[TrialRecord]) -> None:
        raise StudyError(f"cannot reach {PASSWORD_URL}")

    digest = record


def test_a_dead_ledger_complains_once_and_sync_makes_up_for_it(make_study, trials, caplog):
    study, ledger = make_study(trials), BackgroundLedger(Broken())
    with caplog.at_level(logging.WARNING):
        for trial in trials:
            ledger.record(study, [trial])
        assert ledger.close(60) is False
    assert ledger.missed == len(trials)
    complaints = [r.getMessage() for r in caplog.records if "goes on without" in r.getMessage()]
    assert complaints == [
        "the study goes on without its ledger: cannot reach postgresql://me:***@db.example/studies"
    ]
    memory = MemoryLedger()
    sync(study, memory)
    assert len(memory.trials[study.name]) == len(trials)


def test_a_closed_ledger_refuses(make_study, make_trial):
    ledger, trial = BackgroundLedger(NullLedger()), make_trial(0, 0.9, 0.01, 2000)
    assert ledger.close(60) is True
    with pytest.raises(StudyError, match="closed"):
        ledger.record(make_study([trial]), [trial])


def fresh(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    root = str(Path(search.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.append({root!r}); {code}"],
        cwd=folder, capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip


def test_importing_the_ledger_imports_nothing_heavy(tmp_path):
    modules = ("ledger", "mlflow_ledger", "ui", "ray_cluster", "home", "secrets")
    code = "".join(f"import search.{module}; " for module in modules)
    heavy = (
        "{'mlflow', 'pandas', 'ray', 'tensorflow', 'plotly', 'matplotlib', 'sqlalchemy'} & set(sys.modules)"
    )
    assert fresh(f"{code}print(sorted({heavy}))", tmp_path).stdout.strip() == "[]"


@pytest.mark.slow
def test_making_a_store_says_nothing_and_asks_nobody(tmp_path):
    code = (
        "import os; from pathlib import Path; from search.mlflow_ledger import _open; "
        "_open('sqlite:///m.db').get_experiment_by_name('x'); "
        f"print([n for n in {list(ENVIRONMENT)!r} if os.environ[n] != {dict(ENVIRONMENT)!r}[n]])"
    )
    done = fresh(code, tmp_path)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.db"]
