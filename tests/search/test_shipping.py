"""From a real study to a folder that ships, by the commands: trained, converted, measured, exported, run."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

import search
from search import cli
from search.home import Home
from search.places import Places
from search.shipping import TESTED

ROOT = Path(search.__file__).parents[1]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # MLflow's, SQLAlchemy's and TensorFlow's own affairs
]


def edgesearch(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with a real study of three trials on iris."""
    folder = tmp_path_factory.mktemp("shipping")
    script = (
        "from search import StudyPlan, run_study\n"
        "ranges = {'layers': 1, 'precision': ['int8', 'float32']}\n"
        "plan = StudyPlan(data='iris', name='iris', trials=3, epochs=3, ranges=ranges)\n"
        f"record = run_study(plan, home={str(folder / 'home')!r}, executor='in-process')\n"
        "print(sum(trial.counts for trial in record.trials))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "3", done.stderr
    return folder / "home"


@pytest.fixture
def here(home, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGESEARCH_HOME", str(home))
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def attributes(home: Path) -> dict[str, str]:
    return dict(optuna.load_study(study_name="iris", storage=Home(home).studies_db).user_attrs)


def test_python_does_what_the_command_does_and_mlflow_has_it(home):
    from mlflow import MlflowClient

    client = MlflowClient(Home(home).mlflow_uri)
    experiment = client.get_experiment_by_name("edgesearch/iris")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    kinds = [run.data.tags["edgesearch.kind"] for run in runs if "edgesearch.form_of" not in run.data.tags]
    assert sorted(kinds) == ["study", "trial", "trial", "trial"]
    tables = [run for run in runs if "edgesearch.forms" in run.data.tags]
    for run in tables:  # the other forms of a trial's network stand in its run
        assert "harvest.json" in {file.path for file in client.list_artifacts(run.info.run_id)}
    assert tables


def test_the_best_is_exported_and_runs_and_the_test_set_is_seen_once(here, home, capsys, monkeypatch):
    assert edgesearch("export", "iris", "--to", "best", "--prefer", "accuracy") == 0
    assert f"-> {here / 'best'} (try it: python" in capsys.readouterr().err
    about = json.loads((here / "best" / "model.json").read_text())
    kept = {name: value for name, value in attributes(home).items() if name.startswith(TESTED)}
    (held_out,) = (json.loads(value) for value in kept.values())
    assert 0 < held_out["low"] <= held_out["value"] <= held_out["high"] <= 1 and held_out["samples"] == 30
    assert str(held_out["value"])[:6] in json.dumps(about)
    classified = subprocess.run(
        [sys.executable, "-I", "infer.py"], cwd=here / "best", capture_output=True, text=True, check=True
    )
    assert classified.stdout

    def looked_again(*_):
        raise AssertionError("the test set was looked at again")

    monkeypatch.setattr("search.shipping.interval", looked_again)
    assert edgesearch("export", "iris", "--to", "best", "--prefer", "accuracy") == 0
    assert {n: v for n, v in attributes(home).items() if n.startswith(TESTED)} == kept


def test_the_whole_front_is_exported_a_folder_each(here, capsys):
    assert edgesearch("front", "iris", "--json") == 0
    front = json.loads(capsys.readouterr().out)
    assert edgesearch("export", "iris", "--to", "all", "--all") == 0
    assert {path.name for path in (here / "all").iterdir()} == {f"trial-{row['trial']}" for row in front}


def test_what_is_no_longer_on_the_front_is_removed_from_it(here, capsys):
    assert edgesearch("export", "iris", "--to", "all", "--all") == 0
    front = {path.name for path in (here / "all").iterdir()}
    shutil.copytree(here / "all" / min(front), here / "all" / "trial-999")
    assert edgesearch("export", "iris", "--to", "all", "--all") == 0
    assert {path.name for path in (here / "all").iterdir()} == front
    assert "trial-999: it is not on the front any more" in capsys.readouterr().err
    (here / "all" / "notes.txt").write_text("mine")
    assert edgesearch("export", "iris", "--to", "all", "--all") == 2
    assert "'notes.txt'; choose another --to" in capsys.readouterr().err
    assert {path.name for path in (here / "all").iterdir()} == {*front, "notes.txt"}
    assert edgesearch("export", "iris", "--to", str(next(iter((here / "all").glob("trial-*")))), "--all") == 2


def test_the_exported_plan_repeats_the_study(here, capsys):
    edgesearch("export", "iris", "--to", "one")
    capsys.readouterr()
    assert edgesearch("study", "one/plan.yaml", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["study"], document["trials"]) == ("iris", 3)


def test_data_that_is_gone_is_one_line(here, home, capsys):
    data = home / "data"
    data.rename(home / "elsewhere")
    try:
        assert edgesearch("export", "iris", "--to", "none") == 2
    finally:
        (home / "elsewhere").rename(data)
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ") and not (here / "none").exists()


def test_sync_writes_what_mlflow_lost_and_again_changes_nothing(here, home, capsys):
    from mlflow import MlflowClient

    address, trials = f"sqlite:///{here / 'new.db'}", len(Places(Home(home)).record("iris").trials)
    for _ in range(2):
        assert edgesearch("sync", "--tracking-uri", address) == 0
        assert f"iris: {trials} trials are in MLflow" in capsys.readouterr().err
    client = MlflowClient(address)
    experiment = client.get_experiment_by_name("edgesearch/iris")
    assert experiment is not None
    assert len(client.search_runs([experiment.experiment_id])) == trials + 1


def test_what_feature_elimination_left_out_need_not_be_measured(tmp_path, monkeypatch, capsys):
    """The card names it, the file takes it, and infer.py does without it."""
    folder = tmp_path
    script = (
        "from search import StudyPlan, run_study\n"
        "ranges = {'layers': 1, 'reduction': 'rfe', 'columns': 4, 'precision': 'int8', 'slim': 'no'}\n"
        "plan = StudyPlan(data='wine', name='few', trials=1, epochs=2, ranges=ranges)\n"
        f"run_study(plan, home={str(folder / 'home')!r}, executor='in-process')\n"
    )
    subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, check=True, timeout=500,
    )  # fmt: skip
    monkeypatch.chdir(folder)
    monkeypatch.setenv("EDGESEARCH_HOME", str(folder / "home"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert edgesearch("export", "few", "--to", "few") == 0
    about = json.loads((folder / "few" / "model.json").read_text())
    names = [column["name"] for column in about["columns"]]
    unused = about["reduction"]["not_needed"]
    used = [name for name in names if name not in unused]
    assert (len(names), len(used), about["inputs"][0]["shape"]) == (13, 4, [1, 13])
    card = (folder / "few" / "model_card.md").read_text()
    assert "**Not needed** (9 columns" in card
    (folder / "few" / "row.csv").write_text(f"{','.join(used)}\n{','.join('1' for _ in used)}\n")
    done = subprocess.run(
        [sys.executable, "infer.py", "row.csv"],
        cwd=folder / "few",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("row.csv: ")
