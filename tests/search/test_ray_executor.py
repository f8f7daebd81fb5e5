"""Trials on a real Ray cluster, whose workers are really killed. One cluster for all tests here."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
import search_doubles
from executor_contract import ExecutorContract, back, small
from search_doubles import Screen, facts_of, figures, measured, setting_for, units

import search
from objectives.brief import Brief
from objectives.outcome import Measured, Outcome
from objectives.setting import Setting
from search.asking import Asker
from search.book import Book
from search.driver import Driver
from search.errors import StudyError
from search.executors.on_ray import RayExecutor, Worker
from search.home import Home
from search.ledger import MemoryLedger
from search.ray_cluster import start_ray
from search.storage import create, open_storage, read_study, write_facts
from spaces.candidate import Candidate

ROOT = Path(search.__file__).parents[1]
SEGFAULTS, HANGS = 13, 14

pytestmark = pytest.mark.slow


class Fragile:
    """Answers from the table, but some widths end or hold the process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def evaluate(self, candidate: Candidate, brief: Brief) -> Outcome:
        (self._folder / f"pid-{os.getpid()}").touch()
        if units(candidate) == SEGFAULTS:
            os.kill(os.getpid(), signal.SIGSEGV)
        if units(candidate) == HANGS:
            time.sleep(600)
        return Measured(evidence=measured(figures(candidate)))


class FragileWorker(Worker):
    def evaluator(self, setting: Setting) -> Fragile:
        return Fragile(setting.artifacts)


class BrokenWorker(Worker):
    def evaluator(self, setting: Setting) -> Fragile:
        raise FileNotFoundError("the data is gone")


class DyingWorker(Worker):
    def evaluator(self, setting: Setting) -> Fragile:
        os._exit(1)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    home = Home(tmp_path_factory.mktemp("ray"))
    home.ensure_writable()
    with start_ray(home, cpus=2):
        from ray import cloudpickle

        for module in (sys.modules[__name__], search_doubles):  # workers do not know the tests' modules
            cloudpickle.register_pickle_by_value(module)
        yield


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    return setting_for(tmp_path_factory.mktemp("home"))


@pytest.fixture
def fragile(cluster: None, setting: Setting) -> Iterator[RayExecutor]:
    executor = RayExecutor(setting, 2, worker=FragileWorker)
    executor.wait_until_ready(300)
    yield executor
    executor.close()


@pytest.fixture(scope="module")
def warm(cluster: None, setting: Setting) -> Iterator[RayExecutor]:
    """The pool as a study has it; it needs all the cores, so that its tests come first."""
    executor = RayExecutor(setting, 2)
    executor.wait_until_ready(300)
    yield executor
    executor.close()


class TestRay(ExecutorContract):
    @pytest.fixture
    def executor(self, warm: RayExecutor) -> RayExecutor:
        return warm

    def test_closing_frees_the_cores(self, warm: RayExecutor) -> None:
        import ray

        warm.close()
        deadline = time.monotonic() + 60
        while ray.available_resources().get("CPU", 0) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert ray.available_resources()["CPU"] == 2


def test_a_worker_that_is_killed_is_told_and_replaced(fragile, setting):
    for file in setting.artifacts.glob("pid-*"):
        file.unlink()
    fragile.submit(1, small(HANGS))
    deadline = time.monotonic() + 120
    while not (found := list(setting.artifacts.glob("pid-*"))) and time.monotonic() < deadline:
        assert fragile.next(0.1) is None
    os.kill(int(found[0].name.removeprefix("pid-")), signal.SIGKILL)
    number, outcome = back(fragile)
    assert number == 1
    assert (outcome.state, outcome.fault) == ("failed", "infrastructure")
    assert outcome.error == "the worker died: it crashed or was killed"
    for again in range(2, 6):
        fragile.submit(again, small(again))
        assert back(fragile).outcome.state == "measured"


def test_a_trial_that_outlives_its_time_is_the_candidates_fault(cluster, setting):
    executor = RayExecutor(setting, 1, trial_timeout_s=2.0, worker=FragileWorker)
    executor.wait_until_ready(300)
    executor.submit(1, small(HANGS))
    number, outcome = back(executor)
    assert (number, outcome.state, outcome.fault) == (1, "failed", "candidate")
    assert outcome.error == "no result after 2 s, the worker was ended; --trial-timeout allows more"
    executor._trial_timeout_s = 300.0
    executor.submit(2, small(3))
    assert back(executor).outcome.state == "measured"
    executor.close()


def test_a_candidate_that_segfaults_costs_its_trial_alone(fragile, make_study):
    class FewWidths(search_doubles.SmallSpace):
        """Widths 10 to 17: 13 ends the worker's process."""

        def ranges(self, problem):
            return {**super().ranges(problem), "units": search_doubles.Integers(low=10, high=17)}

    space = FewWidths()
    record = make_study([], data={"kind": "table", "input_shape": (4,)})
    facts = facts_of(record)
    facts = facts.model_copy(update={"ranges": space.ranges(facts.problem)})
    facts = facts.model_copy(update={"plan": facts.plan.model_copy(update={"trials": 12})})
    study = create(None, "try-1", facts.plan.goals)
    study.sampler = optuna.samplers.RandomSampler(seed=0)  # so that all of the few are proposed
    write_facts(study, facts)
    screen = Screen()
    fragile._trial_timeout_s = 20.0  # for the width that hangs
    Driver(Book(study, facts, Asker(space, facts)), fragile, MemoryLedger(), screen).run()
    trials = read_study(study).trials
    assert sum(t.state == "measured" for t in trials) == 12
    crashed = [t for t in trials if t.candidate and units(t.candidate) == SEGFAULTS]
    assert crashed, "neither form of that width was proposed"
    for trial in crashed:
        assert trial.state == "failed"
        assert trial.reason is not None and trial.reason.startswith("the worker died: ")
        assert trial.reason.endswith(", 3 times")
    assert len({t.candidate.digest for t in crashed}) == len(crashed)
    assert sum("trying it again" in line for line in screen.said) == 2 * len(crashed)


def test_a_worker_that_cannot_start_is_one_line(cluster, setting):
    executor = RayExecutor(setting, 1, worker=BrokenWorker)
    with pytest.raises(
        StudyError, match=r"^a worker cannot start \(FileNotFoundError: the data is gone\); `edge"
    ):
        executor.wait_until_ready(300)
    executor.close()


def test_a_worker_that_dies_at_its_start_is_one_line(cluster, setting):
    executor = RayExecutor(setting, 1, worker=DyingWorker)
    with pytest.raises(StudyError, match=r"^a worker died while it started .*; give fewer --workers$"):
        executor.wait_until_ready(300)
    executor.close()


def test_workers_that_are_not_ready_in_time_are_one_line(cluster, setting):
    executor = RayExecutor(setting, 1, worker=FragileWorker)
    with pytest.raises(StudyError, match=r"^the workers were not ready after 0 s"):
        executor.wait_until_ready(0.0)
    executor.close()


def test_more_workers_than_cores_are_refused(cluster, setting):
    with pytest.raises(
        StudyError, match="the Ray cluster has 2 cores, too few for 3 workers; give --workers 2"
    ):
        RayExecutor(setting, 3)


def test_closing_ends_the_workers_and_may_be_repeated(cluster, setting):
    import psutil

    executor = RayExecutor(setting, 1, worker=FragileWorker)
    executor.wait_until_ready(300)
    for file in setting.artifacts.glob("pid-*"):
        file.unlink()
    executor.submit(1, small(3))
    back(executor)
    (pid,) = (int(file.name.removeprefix("pid-")) for file in setting.artifacts.glob("pid-*"))
    executor.close()
    executor.close()
    deadline = time.monotonic() + 60
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not psutil.pid_exists(pid)


# The whole command, in a folder with modules of the user's own.

MODULES = {
    "search.py": "raise ImportError('the wrong search')\n",
    "spaces.py": "raise ImportError('the wrong spaces')\n",
    "objectives.py": "raise ImportError('the wrong objectives')\n",
    "my_metric.py": """
        def score(y_true, scores):
            print("a metric may print")
            return float((scores.argmax(axis=1) == y_true).mean())
    """,
    "my_space.py": """
        from spaces.candidate import Candidate, Training
        from spaces.chooser import Integers
        from spaces.layers import Dense, Flatten

        class Space:
            name = "mine"
            kinds = frozenset({"table"})

            def ranges(self, problem):
                return {"units": Integers(low=4, high=40)}

            def suggest(self, pick, problem):
                layers = (Flatten(), Dense(units=pick.integer("units")))
                return Candidate(architecture=layers, training=Training(epochs=problem.epochs))
    """,
    "my_data.py": """
        import numpy as np

        def load():
            print("so may data")
            generator = np.random.default_rng(0)
            y = np.arange(90) % 3
            return generator.normal(size=(90, 4)).astype("float32") + 3 * np.eye(4)[y], y
    """,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("own")
    for name, text in MODULES.items():
        (made / name).write_text(textwrap.dedent(text))
    return made


def edgesearch(folder: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = Path(sys.executable).parent / "edgesearch"
    return subprocess.run(
        [str(command), *arguments], cwd=folder,
        env={**os.environ, "EDGESEARCH_HOME": str(folder / "home"), "PYTHONPATH": "", **environment},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


OWN = ("--data", "my_data:load", "--metric", "my_metric:score", "--space", "my_space:Space", "--epochs", "2")


def test_modules_of_the_users_own_work_in_workers_and_hide_none_of_ours(folder):
    done = edgesearch(folder, "study", *OWN, "--trials", "3", "--workers", "1", "--name", "own", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)  # one document, and nothing else
    assert document["study"] == "own" and document["trials"] == 3
    assert {"trial", "state", "accuracy", "latency_ms", "model_bytes"} <= set(document["front"][0])
    trials = json.loads(edgesearch(folder, "trials", "own", "--json").stdout)
    assert [trial["state"] for trial in trials] == ["measured"] * 3


def test_a_cluster_that_is_not_there_is_one_line(folder):
    done = edgesearch(
        folder, "study", *OWN, "--trials", "5", "--ray-address", "127.0.0.1:1", "--name", "away"
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: the Ray cluster at 127.0.0.1:1 cannot be joined")
    assert done.stdout == ""


def test_ctrl_c_in_the_whole_process_group_ends_it_all_and_the_same_command_goes_on(folder):
    import psutil

    command = Path(sys.executable).parent / "edgesearch"
    arguments = [str(command), "study", *OWN, "--trials", "200", "--workers", "1", "--name", "long"]
    environment = {**os.environ, "EDGESEARCH_HOME": str(folder / "home"), "PYTHONPATH": ""}
    process = subprocess.Popen(
        arguments, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("ready"):
            break
    time.sleep(3)
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert stderr.splitlines()[-1] == "interrupted; the same command goes on from here"
    assert "Traceback" not in stderr
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]
    study = read_study_of(folder)
    assert not study.get_trials(states=(optuna.trial.TrialState.RUNNING,))
    done = len(read_study(study).trials)
    again = edgesearch(
        folder, "study", "--name", "long", "--trials", str(done + 2), "--json", "--workers", "1"
    )
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["trials"] >= done


def read_study_of(folder: Path):
    return optuna.load_study(study_name="long", storage=open_storage(Home(folder / "home").studies_db))
