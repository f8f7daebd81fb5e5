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
from spaces.chooser import Choices, Integers

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's, SQLAlchemy's and TensorFlow's own affairs
DIGITS = ("study", "--data", "digits", "--epochs", "2", "--executor", "in-process")


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
    ranges = {
        "precision": Choices(options=runs),
        "quantization": Choices(options=("post-training", "aware")),
        "width": Integers(low=1, high=9),
        "batch_size": Choices(options=(32, 64)),
    }
    given = {"precision": precision, "quantization": "aware", "width_2": 3, "batch_size": 128, "other": 1}
    how = "aware" if precision == becomes else "post-training"
    assert runnable(given, ranges) == {"precision": becomes, "quantization": how, "width_2": 3}


def test_a_plan_for_another_device_has_its_own_goals():
    plan = make_plan(
        {"data": "wine", "objectives": ["accuracy"], "limits": {"model_bytes": 100}, "epochs": 7}
    )
    moved = make_plan(plan_for(plan, {}, "first", "rp2040", None, ("float32", "int8")))
    assert (moved.device, moved.source, moved.epochs, moved.only_carried) == ("rp2040", "first", 7, True)
    assert "objectives" not in moved.model_fields_set
    assert moved.limits.model_bytes is None
    assert not make_plan(plan_for(plan, {}, "first", "rp2040", 50, ("int8",))).only_carried


@pytest.mark.parametrize(
    ("asked", "runs", "left"),
    [
        (["int8", "float16"], ("float32", "int8"), ("int8",)),
        (["float16"], ("float32", "int8"), ("float32", "int8")),
    ],
)
def test_a_plan_for_another_device_asks_for_what_that_runs_and_takes(asked, runs, left):
    given = {"data": "wine", "ranges": {"precision": asked}, "limit_on": "p90", "input_type": "int8"}
    plan = make_plan({**given, "threads": 4, "limits": {"latency_ms": 3.0}})
    moved = make_plan(plan_for(plan, plan.ranges, "first", "rp2040", None, runs))
    assert moved.ranges["precision"].options == left
    assert not {"limit_on", "input_type", "threads", "limits"} & moved.model_fields_set


def test_networks_from_before_the_ranges_were_narrower_are_measured_too():
    first = {"filters": Integers(low=4, high=64), "batch_size": Choices(options=(32, 64))}
    plan = make_plan({"data": "wine", "ranges": {"filters_1": 8, "batch_size": 64}})
    moved = make_plan(plan_for(plan, first, "first", "rp2040", None, ("int8",)))
    assert moved.ranges == {"filters_1": first["filters"], "batch_size": first["batch_size"]}
    assert make_plan(plan_for(plan, first, "first", "rp2040", 50, ("int8",))).ranges == plan.ranges


def test_no_training_needs_somebody_who_trained():
    with pytest.raises(StudyError, match="no training is for a network of yours; give --model"):
        make_plan({"data": "wine", "training": False})


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("retarget")
    ranges = ("--range", "optimizer=adam", "--range", "batch_size=32,64")
    code, _, told = run(folder, *DIGITS, *ranges, "--trials", "3", "--name", "first")
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
    assert there.wanted == len(there.trials) < there.plan.trials, "and that is not waited for"
    assert f"{there.wanted}/{there.wanted} trials, done" in told
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
def test_what_lies_outside_of_the_ranges_is_chosen_anew(home):
    more = ("--from", "first", "--range", "batch_size=64,128", "--name", "other")
    code, _, told = run(home, *DIGITS, "--trials", "1", *more)
    assert code == 0, told
    assert (
        "what 'first' had of batch_size lies outside of the ranges in part, and is chosen anew there" in told
    )
    begun = record(home, "other").trials[0]
    assert begun.candidate.training.batch_size in {64, 128}
    assert begun.candidate.architecture in {t.candidate.architecture for t in record(home, "first").trials}


@pytest.mark.slow
def test_what_the_first_device_was_asked_is_not_asked_of_the_other(home):
    """It takes int8 alone, in its input too, and nobody has said otherwise."""
    elsewhere = ("--device", "corstone-300", "--on", "estimated", "--executor", "in-process", "--name", "npu")
    code, _, told = run(home, "retarget", "first", *elsewhere)
    assert code == 0, told
    npu = record(home, "npu")
    assert npu.plan.input_type == "int8"
    assert {t.state for t in npu.trials} <= {"measured", "infeasible"}
    code, _, told = run(home, "retarget", "first", *elsewhere, "--dry-run")
    assert (code, "No such option" in told) == (2, True)


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
