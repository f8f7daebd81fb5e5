"""What one study hands to another: its networks to another device untrained, its front to begin with."""

import io
import json
import shutil
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from search import cli
from search.carried import plan_for, runnable
from search.errors import StudyError
from search.home import Home
from search.places import Places
from search.plan import make_plan

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's, SQLAlchemy's and TensorFlow's own affairs
DIGITS = ("study", "--data", "digits", "--epochs", "2", "--executor", "in-process")


class Trial:
    """A trial as far as its parameters go."""

    def __init__(self, **params):
        self.params, self.user_attrs = params, {"candidate": "{}"}


@pytest.mark.parametrize(
    ("precision", "runs", "becomes"),
    [
        ("int8", ("float32", "int8"), "int8"),
        ("float16", ("float32", "int8"), "int8"),
        ("dynamic-int8", ("float32",), "float32"),
        ("int4", ("float16",), "float16"),
    ],
)
def test_a_network_is_converted_to_what_the_device_runs(precision, runs, becomes):
    params = runnable(Trial(precision=precision, width=3), runs)
    assert (params["precision"], params["width"]) == (becomes, 3)
    assert ("quantization" in params) == (precision != becomes)


def test_a_plan_for_another_device_has_its_own_goals():
    plan = make_plan(
        {"data": "wine", "objectives": ["accuracy"], "limits": {"model_bytes": 100}, "epochs": 7}
    )
    moved = make_plan(plan_for(plan, "first", "rp2040", None))
    assert (moved.device, moved.source, moved.epochs, moved.only_carried) == ("rp2040", "first", 7, True)
    assert "objectives" not in moved.model_fields_set
    assert moved.limits.model_bytes is None
    assert not make_plan(plan_for(plan, "first", "rp2040", 50)).only_carried


def test_no_training_needs_somebody_who_trained():
    with pytest.raises(StudyError, match="no training is for a network of yours; give --model"):
        make_plan({"data": "wine", "training": False})


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("retarget")
    code, _, told = run(folder, *DIGITS, "--trials", "3", "--name", "first")
    assert code == 0, told
    return folder


def run(folder: Path, *command: str) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error of a command, run in this very process."""
    output, noise = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(output), redirect_stderr(noise):
        patch.setenv("EDGESEARCH_HOME", str(folder / "home"))
        patch.chdir(folder)
        with pytest.raises(SystemExit) as ended:
            cli.main(command)
    return int(ended.value.code or 0), output.getvalue(), noise.getvalue()


def record(folder: Path, name: str):
    return Places(Home(folder / "home")).record(name)


def retarget(folder: Path, *more: str) -> tuple[int, str, str]:
    where = ("--device", "nucleo-l4r5zi", "--on", "estimated")
    return run(folder, "retarget", "first", *where, "--executor", "in-process", *more)


@pytest.mark.slow
def test_all_networks_of_a_study_are_measured_elsewhere_and_none_is_trained(home):
    code, output, told = retarget(home, "--name", "there", "--json")
    assert code == 0, told
    first, there = record(home, "first"), record(home, "there")
    measured = [t for t in first.trials if t.state == "measured"]
    assert json.loads(output)["trials"] == len(there.trials) > 0
    assert len({t.candidate.digest for t in there.trials}) == len(there.trials)  # what became the same is one
    for trial in there.trials:
        assert trial.state == "measured"
        assert not {"train", "slim", "prune", "cluster", "aware"} & set(trial.evidence.seconds)
        assert trial.candidate.compression.precision == "int8"
        assert trial.measurement("latency_ms").source.provenance == "estimated"
    assert {t.candidate.base.digest for t in there.trials} == {t.candidate.base.digest for t in measured}
    assert retarget(home, "--name", "there")[0] == 0
    assert len(record(home, "there").trials) == len(there.trials)


@pytest.mark.slow
def test_with_trials_the_search_goes_on_from_there(home):
    code, _, told = retarget(home, "--name", "further", "--trials", "6")
    assert code == 0, told
    further, best = record(home, "further"), record(home, "first")
    first = {t.candidate.base.digest for t in best.trials if t.candidate}
    known = [t.candidate.base.digest in first for t in further.trials if t.candidate]
    assert known[0], "the front of the first study comes first"
    assert not all(known), "and what is new after it"


@pytest.mark.slow
def test_a_study_starts_from_another_ones_front(home):
    code, _, told = run(home, *DIGITS, "--trials", "2", "--seed", "5", "--from", "first", "--name", "second")
    assert code == 0, told
    first = {t.candidate.digest for t in record(home, "first").trials if t.candidate}
    assert record(home, "second").trials[0].candidate.digest in first


@pytest.mark.slow
def test_what_is_not_kept_any_more_is_not_trained_behind_ones_back(home, tmp_path):
    shutil.copytree(home / "home", tmp_path / "home")
    shutil.rmtree(tmp_path / "home" / "weights")
    _, _, told = retarget(tmp_path, "--name", "bare")
    bare = record(tmp_path, "bare")
    assert {t.state for t in bare.trials} == {"failed"}
    assert all("nothing is trained here; give --trials" in t.reason for t in bare.trials)
    assert "no trial could be measured" in told


@pytest.mark.slow
def test_an_unknown_study_is_refused_before_anything_is_made(home):
    code, _, told = run(home, "retarget", "gone", "--device", "rp2040")
    assert (code, "no study named 'gone'" in told) == (2, True)
