"""Studies from plan to front on real data and real SQLite: made, taken up again, judged anew, refused."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import optuna
import pytest
from search_doubles import Harvesting, TableExecutor, table, write_table

import search
from objectives.errors import DataError
from search import reach
from search.errors import NothingFits, StudyError
from search.front import front
from search.home import Home
from search.lease import DRIVER, STALE_AFTER_S, Holder, Lease
from search.places import Places
from search.plan import StudyPlan, make_plan
from search.prepared import Prepared
from search.storage import FACTS, KEPT, load, open_storage, read_study, study_names
from search.study import run_study

ROOT = Path(search.__file__).parents[1]
TrialState = optuna.trial.TrialState


@pytest.fixture(autouse=True)
def _no_mlflow(monkeypatch):
    """The view has tests of its own; here it would take seconds a study."""
    from search.ledger import MemoryLedger

    ledger = MemoryLedger()
    monkeypatch.setattr("search.study.mlflow_ledger", lambda _: ledger)


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    return write_table(tmp_path_factory.mktemp("data") / "three.npz")


@pytest.fixture(scope="session")
def begun(tmp_path_factory, data) -> Path:
    """A home with a study of 8 trials named 'base'."""
    from unittest import mock

    from search.ledger import MemoryLedger

    home = tmp_path_factory.mktemp("begun") / "home"
    with mock.patch("search.study.mlflow_ledger", return_value=MemoryLedger()):
        run_study(plan_of(data, trials=8), home=home, executor=Table())
    return home


@pytest.fixture
def home(begun, tmp_path) -> Path:
    """A copy of that home, free to be changed."""
    return Path(shutil.copytree(begun, tmp_path / "home"))


class Killed(BaseException):
    """Stands for `kill -9`."""


class Table:
    """Makes executors that answer from the table, and keeps them."""

    def __init__(self, answer=None):
        self.answer, self.made = answer, []

    def __call__(self, setting):
        self.made.append(TableExecutor(self.answer or table(setting.goals)))
        return self.made[-1]

    @property
    def submitted(self):
        return [candidate for executor in self.made for _, candidate in executor.submitted]


RANGES = {
    "sparsity": 0.0, "l1": 1e-5, "l2": 1e-5, "dropout": 0.0, "layers": 1, "precision": ["float32", "int8"],
}  # fmt: skip
FORMS = RANGES | {"keep": 1.0, "clusters": 0, "quantization": "post-training"}
"""With nothing but another precision to offer a network in."""


def plan_of(data: Path, **changes) -> StudyPlan:
    content = {"data": str(data), "name": "base", "ranges": RANGES, **changes}
    return make_plan(content)


def stored(home: Path, name: str = "base"):
    return load(open_storage(Home(home).studies_db), name)


def points(record) -> set[tuple[float, ...]]:
    return {tuple(t.values[g.metric] for g in record.goals) for t in front(record.trials, record.goals)}


def optunas(home: Path, name: str = "base") -> set[tuple[float, ...]]:
    study = optuna.load_study(study_name=name, storage=Home(home).studies_db)
    return {tuple(trial.values) for trial in study.best_trials}


def test_a_study_is_made_run_and_returned(begun):
    record = read_study(stored(begun))
    assert [trial.state for trial in record.trials] == ["measured"] * 8
    assert record.name == "base" and record.space == "mlp" and record.data.name == "three"
    assert points(record) == optunas(begun)


def test_the_same_plan_again_runs_nothing_and_returns_the_same(home, data):
    table = Table()
    record = run_study(plan_of(data, trials=8), home=home, executor=table)
    assert not table.made and len(record.trials) == 8


def test_more_trials_go_on_where_it_was(home, data):
    before = {t.number: t for t in read_study(stored(home)).trials}
    table = Table()
    record = run_study(plan_of(data, trials=14), home=home, executor=table)
    assert len(record.trials) == 14 and len(table.submitted) == 6
    assert {t.number: t for t in record.trials}.items() >= before.items()
    assert not {t.candidate.digest for t in before.values()} & {c.digest for c in table.submitted}


@pytest.mark.slow
def test_a_seed_of_any_size_works_and_proposes_something_else(tmp_path, data):
    first, second = Table(), Table()
    run_study(plan_of(data, trials=2, seed=2**31 - 1, strategy="plain"), home=tmp_path / "a", executor=first)
    run_study(plan_of(data, trials=2, seed=0, strategy="plain"), home=tmp_path / "b", executor=second)
    assert [c.digest for c in first.submitted] != [c.digest for c in second.submitted]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "chosen"), [({}, True), ({"without": ["preselection"]}, False), ({"sampler": "tpe"}, False)]
)
def test_after_twenty_trials_what_promises_most_is_tried(tmp_path, data, monkeypatch, changes, chosen):
    from search.preselect import BEGINNING, Preselect

    choose, said = Preselect.choose, []

    def choosing(self):
        said.append(choose(self))
        return said[-1]

    monkeypatch.setattr(Preselect, "choose", choosing)
    record = run_study(plan_of(data, trials=BEGINNING + 6, **changes), home=tmp_path / "a", executor=Table())
    assert len(record.trials) == BEGINNING + 6
    assert any(said) == chosen
    tried = {f"{trial.candidate.training.learning_rate:.3g}" for trial in record.trials}
    rates = [params.get("learning_rate", params.get("sgd_learning_rate")) for params in said if params]
    assert {f"{rate:.3g}" for rate in rates} <= tried


def test_the_default_name_is_that_of_the_identity(data, tmp_path):
    places = Places(Home(tmp_path))
    names = [
        Prepared.of(plan_of(data, **changes), places).name
        for changes in ({"name": None}, {"name": None, "trials": 3, "workers": 1}, {"name": None, "seed": 1})
    ]
    assert names[0] == names[1] != names[2]
    assert names[0].startswith("three-this-machine-") and len(names[0]) == len("three-this-machine-") + 6


# What may not change under a name.


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": 1}, r"started with another seed \(0, now 1\)"),
        ({"space": "convnet"}, "is for image"),
        ({"epochs": 7}, r"started with another epochs \(20, now 7\)"),
        (
            {"objectives": ["accuracy"]},
            r"another objectives \(accuracy, latency_ms, model_bytes, now accuracy\)",
        ),
        ({"input_type": "int8", "ranges": {"precision": "int8"}}, "another input type"),
    ],
)
def test_a_change_of_identity_under_an_old_name_is_refused(home, data, changes, told):
    before = dict(stored(home).user_attrs)
    with pytest.raises(ValueError, match=told):
        run_study(plan_of(data, **changes), home=home, executor=Table())
    assert stored(home).user_attrs == before


def test_changed_data_under_an_old_name_is_refused(home, tmp_path):
    other = write_table(tmp_path / "three.npz", samples=93)
    with pytest.raises(StudyError, match=r"'base' was started with another data .* use another --name"):
        run_study(plan_of(other), home=home, executor=Table())


def test_another_machine_is_refused(home, data, monkeypatch):
    from search import prepared

    def elsewhere(*arguments):
        return reach.probe(*arguments).model_copy(update={"machine": "elsewhere"})

    monkeypatch.setattr(prepared, "probe", elsewhere)
    with pytest.raises(StudyError, match=r"measured with machine '.*', and now it is 'elsewhere', whose"):
        run_study(plan_of(data), home=home, executor=Table())


def test_narrower_ranges_are_kept_and_the_stored_ones_bound_the_next(home, data):
    narrow = plan_of(data, trials=14)
    narrow = narrow.model_copy(
        update={"ranges": {**narrow.ranges, **plan_of(data, ranges={"units": [8, 9, 10, 11]}).ranges}}
    )
    table = Table()
    run_study(narrow, home=home, executor=table)
    assert {c.architecture[-1].units for c in table.submitted} <= {8, 9, 10, 11}
    again = Table()
    run_study(plan_of(data, trials=20), home=home, executor=again)  # as wide as at first
    assert len(again.submitted) == 6


def test_wider_ranges_are_refused(home, data):
    wider = plan_of(data)
    wider = wider.model_copy(update={"ranges": {k: v for k, v in wider.ranges.items() if k != "precision"}})
    with pytest.raises(
        StudyError, match=r"narrower range 'precision' \(float32, int8, now .*--range precision=float32,int8"
    ):
        run_study(wider, home=home, executor=Table())


def test_a_name_of_an_optuna_study_that_is_not_ours_is_refused(home, data):
    foreign = optuna.create_study(study_name="foreign", storage=Home(home).studies_db)
    foreign.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    with pytest.raises(StudyError, match="'foreign' is an Optuna study that edgesearch did not make"):
        run_study(plan_of(data, name="foreign"), home=home, executor=Table())


def test_what_was_cut_off_while_it_was_made_is_made_anew(home, data):
    optuna.create_study(study_name="cut", storage=Home(home).studies_db)
    assert len(run_study(plan_of(data, name="cut", trials=2), home=home, executor=Table()).trials) == 2


def test_a_study_of_another_version_is_not_touched(home, data):
    study = stored(home)
    facts = {**json.loads(study.user_attrs[FACTS]), "format": 2}
    study.set_user_attr(FACTS, json.dumps(facts))
    with pytest.raises(StudyError, match=r"written by another version of edgesearch .*'format'"):
        run_study(plan_of(data), home=home, executor=Table())


# Limits that change.


@pytest.mark.parametrize("model_bytes", [2000, 900, None])
def test_limits_that_change_judge_anew_here_and_in_optuna(home, data, model_bytes):
    run_study(plan_of(data, trials=8, limits={"model_bytes": 1500}), home=home, executor=Table())
    limits = {"model_bytes": model_bytes}
    record = run_study(plan_of(data, trials=8, limits=limits), home=home, executor=Table())
    assert len(record.trials) == 8
    for trial in record.trials:
        fits = model_bytes is None or trial.values["model_bytes"] <= model_bytes
        assert trial.state == ("measured" if fits else "infeasible")
    assert points(record) == optunas(home)
    assert optuna.load_study(study_name="base", storage=Home(home).studies_db).metric_names == [
        "accuracy", "latency_ms", "model_bytes",
    ]  # fmt: skip


@pytest.mark.parametrize("without", [{}, {"without": ["harvest"]}])
def test_forms_that_keep_the_new_limits_become_trials_of_a_finished_study(tmp_path, data, without):
    home = tmp_path / "home"
    tight = plan_of(data, trials=4, ranges=FORMS, limits={"model_bytes": 900})
    before = run_study(tight, home=home, executor=lambda _: Harvesting())
    wide = plan_of(data, trials=4, ranges=FORMS, limits={"model_bytes": "1M"}, **without)
    after = run_study(wide, home=home, executor=Table())  # and nobody works
    found = {t.candidate.digest for t in after.trials} - {t.candidate.digest for t in before.trials}
    assert found
    assert points(after) == optunas(home)
    forms = [t for t in after.trials if t.candidate.digest in found]
    assert {t.state for t in forms} == {"measured"}
    assert {t.parent for t in forms} <= {t.number for t in before.trials}
    assert len(run_study(wide, home=home, executor=Table()).trials) == len(after.trials)


def test_judging_anew_keeps_numbers_times_parameters_and_attributes(home, data):
    before = stored(home).get_trials()
    run_study(plan_of(data, trials=8, limits={"model_bytes": 1500}), home=home, executor=Table())
    after = stored(home).get_trials()
    for old, new in zip(before, after, strict=True):
        assert (old.number, old.params, old.user_attrs) == (new.number, new.params, new.user_attrs)
        assert (old.datetime_start, old.datetime_complete) == (new.datetime_start, new.datetime_complete)
        kept = new.constraints["model_bytes"] <= 0
        assert new.state == (TrialState.COMPLETE if kept else TrialState.PRUNED)
    assert study_names(open_storage(Home(home).studies_db)) == ["base"]


@pytest.mark.parametrize(
    ("limit", "limit_on", "fits"),
    [(5.0, "min", False), (8.0, "min", True), (20.0, "min", True), (5.0, "p90", True)],
)
def test_a_blank_is_judged_anew_by_the_best_end_of_its_estimate(limit, limit_on, fits):
    """As screening does it: what it would let pass today may be proposed again."""
    from hardware_profiles.measurement import Measurement, Source
    from objectives.goals import Violation
    from objectives.outcome import Evidence, Infeasible
    from search.storage import judged

    source = Source(provenance="estimated", device="nucleo-l4r5zi")
    told = Measurement(metric="latency_ms", value=10.0, low=7.0, high=14.0, source=source)
    p90 = Measurement(metric="latency_p90_ms", value=11.0, source=source)
    broken = Violation(metric="latency_ms", limit=3.0, value=10.0, excess=1.0)
    screened = Infeasible(violations=(broken,), evidence=Evidence(measurements=(told, p90)))
    plan = make_plan({"data": "iris", "limits": {"latency_ms": limit}, "limit_on": limit_on})
    assert (judged(screened, plan.goals) is None) == fits


@pytest.mark.parametrize(
    "call", [pytest.param(call, marks=() if call in {4, 8, 12} else pytest.mark.slow) for call in range(14)]
)
def test_a_kill_while_it_is_judged_anew_leaves_one_whole_study(home, data, monkeypatch, call):
    from search import rejudge

    limited = plan_of(data, trials=8, limits={"model_bytes": 1500})
    numbers = [t.number for t in stored(home).get_trials()]
    calls = iter(range(100))

    def killing(inner):
        def write(*args, **kwargs):
            if next(calls) == call:
                raise Killed
            return inner(*args, **kwargs)

        return write

    with monkeypatch.context() as patched:
        for name in ("add_trials", "set_user_attr", "set_metric_names"):
            patched.setattr(optuna.Study, name, killing(getattr(optuna.Study, name)))
        patched.setattr(rejudge, "create", killing(rejudge.create))
        patched.setattr(optuna, "delete_study", killing(optuna.delete_study))
        with pytest.raises(Killed):
            run_study(limited, home=home, executor=Table())
    assert study_names(open_storage(Home(home).studies_db)) == ["base"]
    assert [t.number for t in stored(home).get_trials()] == numbers  # whoever only looks sees it all
    record = run_study(limited, home=home, executor=Table())
    assert [t.number for t in record.trials] == numbers
    assert points(record) == optunas(home)
    assert KEPT not in "".join(optuna.get_all_study_names(Home(home).studies_db))


def test_nothing_fits_carries_the_study(home, data, monkeypatch):
    monkeypatch.setattr("search.driver.PATIENCE", 3)
    limited = plan_of(data, trials=100, limits={"model_bytes": 600})
    with pytest.raises(NothingFits, match="the limit model_bytes 600 binds") as caught:
        run_study(limited, home=home, executor=Table(table(limited.goals)))
    assert len(caught.value.record.trials) > 8


# One driver at a time.


def test_a_second_driver_is_refused_with_one_line(home, data):
    refused = pytest.raises(StudyError, match="'base' is being run by another process; wait for it")
    with Prepared.of(plan_of(data), Places(Home(home))).locked(), refused:
        run_study(plan_of(data), home=home, executor=Table())


def claim(url: str, **changes) -> Holder:
    study = load(open_storage(url), "base")
    holder = Lease("ray", shared=True)._mine.model_copy(update={"token": "other", **changes})
    study.set_user_attr(DRIVER, holder.model_dump_json())
    return holder


@pytest.fixture
def shared(begun, tmp_path, monkeypatch) -> str:
    """The same study in a storage that other machines may reach."""
    monkeypatch.setattr("search.lease.SETTLED_AFTER_S", 0.0)
    shutil.copy(begun / "studies.db", tmp_path / "shared.db")
    return f"sqlite:///{tmp_path / 'shared.db'}"


def go_on(shared: str, data: Path, home: Path, trials: int = 9):
    return run_study(plan_of(data, trials=trials), home=home, storage=shared, executor=Table())


def test_a_driver_on_another_machine_is_respected(shared, data, home):
    claim(shared, host="other", machine="m-2")
    with pytest.raises(StudyError, match=r"is being run by process \d+ on 'other', heard of \d s ago"):
        go_on(shared, data, home)


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "other", "machine": "m-2", "renewed": time.time() - STALE_AFTER_S - 60},
        {"host": "other", "machine": "m-2", "ended": True},
        {"pid": 2**22 + 1},
        {"born": 1.0},
    ],
)
def test_a_driver_that_is_gone_is_not(shared, data, home, changes):
    claim(shared, **changes)
    assert len(go_on(shared, data, home).trials) == 9
    assert Holder.model_validate_json(load(open_storage(shared), "base").user_attrs[DRIVER]).ended


def test_who_lost_the_race_for_a_study_gives_way(shared, monkeypatch):
    study = load(open_storage(shared), "base")
    monkeypatch.setattr("search.lease.time.sleep", lambda _: claim(shared, host="other", machine="m-2"))
    with pytest.raises(StudyError, match="on 'other'"):
        Lease("ray", shared=True).take(study)


def test_a_lease_is_renewed_while_it_is_held(shared, monkeypatch):
    monkeypatch.setattr("search.lease.RENEWED_EVERY_S", 0.01)
    study, lease = load(open_storage(shared), "base"), Lease("ray", shared=True)
    lease.take(study)
    first = Holder.model_validate_json(study.user_attrs[DRIVER])
    with lease.kept(study):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            now = Holder.model_validate_json(load(open_storage(shared), "base").user_attrs[DRIVER])
            if now.renewed > first.renewed:
                break
        assert now.renewed > first.renewed and not now.ended


@pytest.mark.parametrize("call", [0, 1, 2, 4])
def test_a_kill_while_a_study_is_made_leaves_its_name_free(tmp_path, data, monkeypatch, call):
    home, plan = tmp_path / "home", plan_of(data, trials=30)
    calls, write = iter(range(100)), optuna.Study.set_user_attr

    def killing(inner):
        def wrapped(*args, **kwargs):
            if next(calls) == call:
                raise Killed
            return inner(*args, **kwargs)

        return wrapped

    with monkeypatch.context() as patched:
        patched.setattr(optuna.Study, "set_user_attr", killing(write))
        patched.setattr(optuna.Study, "enqueue_trial", killing(optuna.Study.enqueue_trial))
        with pytest.raises(Killed):
            run_study(plan, home=home, executor=Table())
    assert "base" in optuna.get_all_study_names(Home(home).studies_db)
    assert study_names(open_storage(Home(home).studies_db)) == []
    assert len(run_study(plan, home=home, executor=Table()).trials) == 30


def test_a_study_that_another_machine_is_making_is_left_alone(shared, data, home):
    study = optuna.create_study(study_name="new", storage=shared)
    study.set_user_attr(DRIVER, claim(shared, host="other", machine="m-2").model_dump_json())
    study.enqueue_trial({"layers": 1})
    with pytest.raises(StudyError, match=r"'new' is being run by process \d+ on 'other'"):
        run_study(plan_of(data, name="new"), home=home, storage=shared, executor=Table())
    assert len(optuna.load_study(study_name="new", storage=shared).trials) == 1


def test_who_seemed_dead_and_comes_back_writes_nothing_more(shared, data, home):
    """Its study is another driver's by now, and so is what was under way."""
    submitted = []

    def answer(candidate):
        submitted.append(candidate)
        if len(submitted) == 3:
            claim(shared, host="other", machine="m-2")
        return table()(candidate)

    with pytest.raises(StudyError, match=r"'base' was taken over by process \d+ on 'other'"):
        run_study(plan_of(data, trials=30), home=home, storage=shared, executor=Table(answer))
    study = load(open_storage(shared), "base")
    assert len([t for t in study.trials if t.state == TrialState.COMPLETE]) == 8 + 2
    assert [t for t in study.trials if t.state == TrialState.RUNNING], "they are the other one's to judge"
    assert Holder.model_validate_json(study.user_attrs[DRIVER]).token == "other"


# What a disk or a database does.


def test_a_storage_that_fails_in_the_middle_is_one_line(home, data):
    def answer(candidate):
        (home / "studies.db").chmod(0o600)
        with sqlite3.connect(home / "studies.db") as database:
            database.execute("DROP TABLE trial_user_attributes")
        return table()(candidate)

    with pytest.raises(StudyError, match=r"the storage cannot be read or written \(no such table"):
        run_study(plan_of(data, trials=12), home=home, executor=Table(answer))


def test_a_storage_that_is_away_is_told_before_anything_else_and_without_its_password(tmp_path, data):
    with pytest.raises(StudyError, match="cannot be opened") as caught:
        run_study(plan_of(data), home=tmp_path / "h", storage="postgresql://me:pLaNtEd@127.0.0.1:1/x")
    assert "pLaNtEd" not in str(caught.value)
    assert not (tmp_path / "h" / "data").exists()


def test_data_that_is_wrong_leaves_no_study(tmp_path):
    with pytest.raises(DataError):
        run_study(make_plan({"data": str(tmp_path / "none.npz")}), home=tmp_path / "h", executor=Table())
    assert not (tmp_path / "h" / "studies.db").exists()


@pytest.mark.skipif(sys.platform != "linux" or os.getuid() != 0, reason="this machine has no right to mount")
@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_same_command_goes_on(tmp_path, data):
    small, script = tmp_path / "small", tmp_path / "full.py"
    small.mkdir()
    script.write_text(textwrap.dedent(FULL))
    command = f"mount -t tmpfs -o size=600k none {small} && exec {sys.executable} {script} {small} {data}"
    run = ["unshare", "--mount", "sh", "-c", command]
    done = subprocess.run(run, env=environment(), capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.splitlines() == ["2", "8"], done.stderr
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")], done.stderr
    assert "Traceback" not in done.stderr


FULL = """
    import subprocess, sys
    from pathlib import Path
    from unittest import mock
    from search.ledger import MemoryLedger
    from search_doubles import TableExecutor, table
    from search.errors import StudyError
    from search.plan import make_plan
    from search.study import run_study

    small, data = Path(sys.argv[1]), sys.argv[2]
    plan = make_plan({"data": data, "name": "base", "trials": 8})

    def answer(candidate):
        filler = small / "filler"
        if not filler.exists():
            with filler.open("wb", buffering=0) as file:
                try:
                    while file.write(bytes(512)):
                        pass
                except OSError:
                    pass
        return table()(candidate)

    with mock.patch("search.study.mlflow_ledger", lambda _: MemoryLedger()):
        try:
            run_study(plan, home=small / "home", executor=lambda _: TableExecutor(answer))
        except StudyError as error:
            print("error:", error, file=sys.stderr)
            print(error.exit_code)
        (small / "filler").unlink()
        done = run_study(plan, home=small / "home", executor=lambda _: TableExecutor(table()))
    print(len(done.trials))
"""


# Real processes, really killed.


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(__file__).parent}", **more}


DRIVEN = """
    import sys, time
    from unittest import mock
    from search.ledger import MemoryLedger
    from search_doubles import TableExecutor, table
    from search.plan import make_plan
    from search.study import run_study
    from search.display import Plain

    def answer(candidate):
        time.sleep(0.05)
        return table()(candidate)

    plan = make_plan({"data": sys.argv[2], "name": "base", "trials": int(sys.argv[3])})
    with mock.patch("search.study.mlflow_ledger", lambda _: MemoryLedger()):
        screen = Plain(sys.stderr, 0)
        run_study(plan, home=sys.argv[1], executor=lambda _: TableExecutor(answer), display=screen)
"""


def driven(home: Path, data: Path, trials: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(DRIVEN), str(home), str(data), str(trials)],
        env=environment(), stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def until_ready(process: "subprocess.Popen[str]") -> None:
    said = []
    for line in process.stderr or ():
        said.append(line)
        if line.startswith("ready"):
            return
    process.communicate()
    raise AssertionError(f"the driver ended before it was ready: {''.join(said)}")


@pytest.mark.slow
def test_kill_9_at_any_moment_loses_no_finished_trial(tmp_path, data):
    home, finished = tmp_path / "home", {}
    for moment in (0.3, 0.9, 0.05, 1.7):
        process = driven(home, data, 40)
        until_ready(process)
        time.sleep(moment)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        told = {t.number: t.outcome for t in read_study(stored(home)).trials if t.outcome}
        assert finished.items() <= told.items()
        finished = told
    process = driven(home, data, 40)
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    record = read_study(stored(home))
    assert finished.items() <= {t.number: t.outcome for t in record.trials}.items()
    assert [t.state for t in record.trials] == ["measured"] * 40
    assert len({t.candidate.digest for t in record.trials}) == 40
    assert not stored(home).get_trials(states=(TrialState.RUNNING, TrialState.WAITING))
    assert points(record) == optunas(home)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_leave_nothing_running_and_the_rest_is_asked_again(tmp_path, data, number):
    home = tmp_path / "home"
    process = driven(home, data, 500)
    until_ready(process)
    time.sleep(0.7)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in stderr
    study = stored(home)
    assert not study.get_trials(states=(TrialState.RUNNING,))
    assert study.get_trials(states=(TrialState.WAITING,))
    done = len(read_study(study).trials)
    assert Holder.model_validate_json(study.user_attrs[DRIVER]).ended
    record = run_study(plan_of_file(data, done + 5), home=home, executor=Table())
    assert not stored(home).get_trials(states=(TrialState.WAITING,))
    assert len({t.candidate.digest for t in record.trials}) == len(record.trials)


def plan_of_file(data: Path, trials: int) -> StudyPlan:
    return make_plan({"data": str(data), "name": "base", "trials": trials})
