"""The command line as people use it: what it prints where, with which exit code, and what bad input gets."""

import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from search_doubles import TableExecutor, screened, table, write_table

import search
from search import cli
from search.errors import NothingFits
from search.home import Home
from search.ledger import MemoryLedger
from search.plan import make_plan
from search.storage import load, open_storage, read_study, study_names
from search.study import run_study

ROOT = Path(search.__file__).parents[1]


class Said(NamedTuple):
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The one line that a refusal is."""
        *before, last = self.err.splitlines()
        assert last.startswith("error: "), self.err
        assert not [line for line in before if "Traceback" in line or line.startswith("error")]
        return last.removeprefix("error: ")


Run = Callable[..., Said]


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A folder with data, and a home in it with the finished study 'base'."""
    from unittest import mock

    folder = tmp_path_factory.mktemp("finished")
    data = write_table(folder / "three.npz")
    plan = make_plan({"data": str(data), "name": "base", "trials": 6, "limits": {"model_bytes": 4000}})
    with mock.patch("search.study.mlflow_ledger", return_value=MemoryLedger()):
        run_study(plan, home=folder / "home", executor=lambda s: TableExecutor(table(s.goals)))
    return folder


@pytest.fixture
def here(finished, tmp_path, monkeypatch) -> Path:
    """Stand in a copy of that folder."""
    folder = Path(shutil.copytree(finished, tmp_path / "here"))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("EDGESEARCH_HOME", str(folder / "home"))
    for variable in cli.ADDRESS_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return folder


@pytest.fixture
def empty(tmp_path, monkeypatch) -> Path:
    """Stand in an empty folder with no home yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGESEARCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.fixture
def run(capfd) -> Run:
    """Run a command in this process: `run("front", "base", "--json")`."""

    def command(*arguments: str) -> Said:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        out, err = capfd.readouterr()
        return Said(ended.value.code or 0, out, err)  # type: ignore[arg-type]

    return command


@pytest.fixture
def by_table(monkeypatch) -> None:
    """Let `--executor in-process` answer from the table, and MLflow be away."""
    monkeypatch.setattr(
        "search.executors.inprocess.InProcessExecutor", lambda setting: TableExecutor(table(setting.goals))
    )
    monkeypatch.setattr("search.study.mlflow_ledger", lambda _: MemoryLedger())


STUDY = ("study", "--executor", "in-process")


# What is there.


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help_shows_the_commands_and_the_first_steps(run, arguments):
    said = run(*arguments)
    assert said.code == 0 and not said.err
    for command in ("devices", "study", "studies", "trials", "front", "export", "sync", "ui", "doctor"):
        assert f"\n  {command} " in said.out
    assert "\n    edgesearch front STUDY\n" in said.out


@pytest.mark.parametrize("command", sorted(cli.edgesearch.commands))
def test_every_command_has_help_with_an_example(run, command):
    said = run(command, "--help")
    assert said.code == 0
    example = said.out.split("Example:\n")[1].strip()
    assert shlex.split(example)[:2] == ["edgesearch", command]


def test_the_version(run):
    from importlib.metadata import version

    assert version("edgesearch") in run("--version").out


def test_devices(run, empty):
    listed = run("devices", "--json").json
    assert [device["name"] for device in listed][:1] == ["this-machine"]
    assert "raspberry-pi-4" in {device["name"] for device in listed}
    assert run("devices", "this-machine", "--json").json["name"] == "this-machine"
    assert "measured" in run("devices").out
    assert "Cortex-A72" in run("devices", "raspberry-pi-4").out
    assert not list(empty.iterdir()), "looking writes nothing"


def test_a_device_of_ones_own_is_found_beside_the_plan(run, empty):
    profile = (ROOT / "hardware_profiles/catalog/raspberry-pi-4.yaml").read_text()
    (empty / "mine.yaml").write_text(profile.replace("name: raspberry-pi-4", "name: mine"))
    assert "mine" in {device["name"] for device in run("devices", "--json").json}


def test_studies(run, here):
    (study,) = run("studies", "--json").json
    assert (study["study"], study["trials"], study["data"]) == ("base", 6, "three")
    assert "base" in run("studies").out


def test_no_studies_is_no_error_and_makes_nothing(run, empty):
    assert run("studies", "--json").json == []
    assert "no studies yet" in run("studies").out
    assert not list(empty.iterdir())


KEYS = {"trial", "state", "accuracy", "latency_ms", "model_bytes"}


def test_trials_and_front_are_lists_of_objects(run, here):
    trials, front = run("trials", "base", "--json").json, run("front", "base", "--json").json
    assert len(trials) == 6 and front
    assert all(set(row) >= KEYS for row in (*trials, *front))
    assert {row["state"] for row in front} == {"measured"}
    assert {row["trial"] for row in front} <= {row["trial"] for row in trials}
    assert "base" in run("trials", "base").out and "base" in run("front", "base").out


def test_tables_and_plots_go_into_files(run, here):
    said = run("front", "base", "--csv", "front.csv", "--plot", "front.html")
    assert said.code == 0 and said.out == "" and "wrote front.html" in said.err
    with (here / "front.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(run("front", "base", "--json").json)
    assert run("front", "base", "--plot", "front.png").code == 0
    assert (here / "front.png").read_bytes().startswith(b"\x89PNG")
    assert run("trials", "base", "--csv", "none/trials.csv").error.startswith(
        "cannot write 'none/trials.csv'"
    )
    assert run("front", "base", "--plot", "front.gif").code == 2


@pytest.mark.parametrize("command", ["trials", "front"])
def test_an_unknown_study_is_suggested_another(run, here, command):
    said = run(command, "bass")
    assert said.code == 2 and said.out == ""
    assert said.error == "no study named 'bass'; did you mean 'base'? (`edgesearch studies` lists all)"


def test_a_study_where_there_is_none_at_all(run, empty):
    said = run("front", "base")
    assert said.code == 2 and "start one with `edgesearch study --data digits`" in said.error
    assert not list(empty.iterdir())


# Studies.


def test_a_finished_study_shows_its_front_and_what_comes_next(run, here):
    said = run("study", "--name", "base")
    assert said.code == 0
    plot = here / "home" / "reports" / "base.html"
    assert f"plot      {plot}" in said.out and plot.is_file()
    assert "export    edgesearch export base --to my-model" in said.out
    assert "go on     edgesearch study --name base --trials 12" in said.out


def test_the_printed_commands_work(run, here, by_table):
    go_on = next(line for line in run("study", "--name", "base").out.splitlines() if line.startswith("go on"))
    _, *arguments = shlex.split(go_on.removeprefix("go on"))
    said = run(*arguments, "--executor", "in-process")
    assert said.code == 0, said.err
    assert len(run("trials", "base", "--json").json) == 12
    assert "go on     edgesearch study --name base --trials 24" in said.out


def test_a_name_alone_takes_the_stored_plan_and_flags_change_it(run, here, by_table):
    assert (
        run(*STUDY, "--name", "base", "--trials", "8", "--timeout", "500", "--max-model-bytes", "3K").code
        == 0
    )
    plan = read_study(load(open_storage(Home(here / "home").studies_db), "base")).plan
    assert (plan.trials, plan.limits.model_bytes, plan.timeout_s) == (8, 3072, 500)
    assert plan.trial_timeout_s == 3600
    assert run(*STUDY, "--name", "base", "--trials", "8", "--trial-timeout", "7200").code == 0
    plan = read_study(load(open_storage(Home(here / "home").studies_db), "base")).plan
    assert plan.trial_timeout_s == 7200
    assert run(*STUDY, "--name", "base", "--trials", "9").code == 0
    plan = read_study(load(open_storage(Home(here / "home").studies_db), "base")).plan
    assert (plan.trials, plan.limits.model_bytes, plan.timeout_s) == (9, 3072, None)


def test_the_commands_repeat_the_storage_but_no_password(run, here, by_table, monkeypatch):
    other = f"sqlite:///{here / 'other place.db'}"
    said = run(*STUDY, "--data", "three.npz", "--name", "x", "--trials", "2", "--storage", other)
    assert said.code == 0, said.err
    assert f"edgesearch study --name x --trials 4 --storage '{other}'" in said.out
    monkeypatch.setenv("EDGESEARCH_STORAGE", other)
    assert "--storage" not in run("study", "--name", "x").out


def test_json_is_one_document_and_nothing_else(run, here, by_table):
    said = run(*STUDY, "--name", "base", "--trials", "8", "--json")
    assert said.json["study"] == "base" and said.json["trials"] == 8
    assert all(set(row) >= KEYS for row in said.json["front"])
    assert "8/8 trials, done" in said.err and "hypervolume" in said.err


def test_nothing_fits_is_exit_code_1_with_the_front_of_what_did(run, here, by_table, monkeypatch):
    monkeypatch.setattr("search.driver.PATIENCE", 5)

    def too_large(setting):
        (size,) = (goal for goal in setting.goals if goal.metric == "model_bytes")
        return TableExecutor(lambda _: screened(size, 1e6))

    monkeypatch.setattr("search.executors.inprocess.InProcessExecutor", too_large)
    said = run(*STUDY, "--name", "base", "--trials", "500", "--json")
    assert said.code == 1
    assert said.json["front"]
    assert "the limit model_bytes 4000 binds, the nearest was trial" in said.error
    said = run(*STUDY, "--name", "base", "--trials", "500")
    assert said.code == 1 and "Pareto front of base" in said.out


def test_a_study_without_a_front_says_where_to_look(run, here, by_table):
    said = run(*STUDY, "--data", "three.npz", "--name", "tight", "--trials", "3", "--max-model-bytes", "100")
    assert said.code == 0
    assert "no trial could be measured within the limits; `edgesearch trials tight` says why" in said.err
    assert "edgesearch export" not in said.out


def test_ctrl_c_is_exit_code_130_and_one_line(run, here, by_table, monkeypatch):
    def interrupted(self, timeout_s):
        raise KeyboardInterrupt

    monkeypatch.setattr(TableExecutor, "next", interrupted)
    said = run(*STUDY, "--name", "base", "--trials", "30")
    assert said.code == 130
    assert said.err.splitlines()[-1] == "interrupted; the same command goes on from here"
    assert "Traceback" not in said.err and said.out == ""


def test_a_plan_file_with_flags_over_it(run, here, by_table):
    (here / "plan.yaml").write_text("data: three.npz\nname: filed\ntrials: 2\n")
    assert run(*STUDY, "plan.yaml", "--trials", "3", "--json").json["trials"] == 3


def test_doctor(run, here):
    said = run("doctor", "--json")
    checks = {check["name"]: check for check in said.json}
    assert {"Python", "tensorflow", "home", "storage", "workers", "measuring", "fashion-mnist"} <= set(checks)
    assert checks["measuring"]["works"] and checks["storage"]["detail"].endswith("1 studies")
    assert said.code == 0
    assert "measuring" in run("doctor").out


# What bad input gets: one line that names the rule, the value and the way out, and nothing to trip over.


def write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(textwrap.dedent(text))
    return name


def rows(*columns: str, label: str = "y", samples: int = 60, classes: int = 3) -> str:
    lines = [",".join((*columns, label))]
    lines += [
        ",".join((*(str((i * 7 + c) % 13) for c in range(len(columns))), str(i % classes)))
        for i in range(samples)
    ]
    return "\n".join(lines)


def arrays(folder: Path, **content: object) -> str:
    np.savez(folder / "bad.npz", **{name: np.asarray(value) for name, value in content.items()})
    return "bad.npz"


X, Y = np.arange(240.0).reshape(60, 4) % 17, np.arange(60) % 3
NAN = np.where(np.arange(240).reshape(60, 4) == 5, np.nan, X)

BAD: dict[str, tuple[Callable[[Path], tuple[str, ...]], str]] = {
    "unknown data": (lambda _: ("--data", "digit"), "no data named 'digit'; did you mean 'digits'?"),
    "unknown device": (
        lambda _: ("--data", "iris", "--device", "this-machin"),
        "did you mean 'this-machine'?",
    ),
    "unknown space": (
        lambda _: ("--data", "iris", "--space", "mpl"),
        "no space named 'mpl'; did you mean 'mlp'?",
    ),
    "space of another kind": (lambda _: ("--data", "iris", "--space", "convnet"), "is for image"),
    "own space that is not there": (
        lambda _: ("--data", "iris", "--space", "none_such:S"),
        "cannot be loaded",
    ),
    "unknown metric": (lambda _: ("--data", "iris", "--metric", "acuracy"), "did you mean 'accuracy'?"),
    "unknown range": (lambda _: ("--data", "iris", "--range", "unit=8"), "did you mean 'units'?"),
    "range outside": (
        lambda _: ("--data", "iris", "--range", "units=1..9999"),
        "the range 'units' lies within",
    ),
    "a device without a way": (
        lambda _: ("--data", "iris", "--device", "raspberry-pi-4"),
        "is not this machine, and nothing is measured in its name: its latency is measured with --on ssh://",
    ),
    "unknown plan key": (
        lambda f: (write(f, "p.yaml", "data: iris\ntrails: 3\n"),),
        "a plan has no key 'trails'; did you mean 'trials'?",
    ),
    "missing plan": (lambda _: ("none.yaml",), "the plan 'none.yaml' cannot be read"),
    "no data at all": (lambda _: (), "a study needs data"),
    "missing file": (
        lambda _: ("--data", "none.csv", "--target", "y"),
        "there is no file or folder 'none.csv'",
    ),
    "unreadable file": (lambda f: ("--data", write(f, "x.npz", "no archive")), "x.npz"),
    "csv without a target": (lambda f: ("--data", write(f, "t.csv", rows("a", "b"))), "--target"),
    "csv without that target": (
        lambda f: ("--data", write(f, "t.csv", rows("a", "b", label="label")), "--target", "lable"),
        "did you mean 'label'?",
    ),
    "csv without that group": (
        lambda f: ("--data", write(f, "t.csv", rows("a", "b")), "--target", "y", "--group", "who"),
        "who",
    ),
    "NaN": (lambda f: ("--data", arrays(f, x=NAN, y=Y)), "1 NaN"),
    "infinite": (lambda f: ("--data", arrays(f, x=np.where(np.isnan(NAN), np.inf, NAN), y=Y)), "infinite"),
    "single class": (lambda f: ("--data", arrays(f, x=X, y=np.zeros(60, int))), "class"),
    "continuous target": (lambda f: ("--data", arrays(f, x=X, y=np.linspace(0, 1, 60))), "continuous"),
    "too few samples": (lambda f: ("--data", arrays(f, x=X[:7], y=Y[:7])), "class"),
    "lengths that differ": (lambda f: ("--data", arrays(f, x=X, y=Y[:-1])), "59"),
    "a test set of another shape": (
        lambda f: ("--data", arrays(f, x_train=X, y_train=Y, x_test=X[:, :3], y_test=Y)),
        "(4,)",
    ),
    "negative trials": (lambda _: ("--data", "iris", "--trials", "-1"), "greater than or equal to 1, got -1"),
    "zero workers": (lambda _: ("--data", "iris", "--workers", "0"), "greater than or equal to 1, got 0"),
    "zero epochs": (lambda _: ("--data", "iris", "--epochs", "0"), "greater than or equal to 1, got 0"),
    "zero threads": (lambda _: ("--data", "iris", "--threads", "0"), "greater than or equal to 1, got 0"),
    "zero timeout": (lambda _: ("--data", "iris", "--timeout", "0"), "greater than 0, got 0"),
    "zero latency": (lambda _: ("--data", "iris", "--max-latency-ms", "0"), "greater than 0"),
    "negative bytes": (
        lambda _: ("--data", "iris", "--max-model-bytes", "-5"),
        "a size is a number of bytes",
    ),
    "an accuracy of 90": (lambda _: ("--data", "iris", "--min-accuracy", "90"), "at most 1, got 90"),
    "trials that are no number": (
        lambda _: ("--data", "iris", "--trials", "many"),
        "'many' is not a valid integer",
    ),
    "a bad name": (lambda _: ("--data", "iris", "--name", "a/b"), "got 'a/b'"),
    "a bad kind": (lambda _: ("--data", "iris", "--kind", "tabel"), "got 'tabel'"),
    "unknown option": (lambda _: ("--data", "iris", "--trails", "3"), "--trials"),
    "an address with an unset variable": (
        lambda _: ("--data", "iris", "--storage", "postgresql://${NO_SUCH_VARIABLE}@h/x"),
        "'${NO_SUCH_VARIABLE}' refers to a variable that is not set",
    ),
    "a storage of no known kind": (lambda _: ("--data", "iris", "--storage", "nonsense"), "cannot be opened"),
    "another seed under an old name": (
        lambda _: ("--data", "three.npz", "--name", "base", "--seed", "9"),
        "was started with another seed (0, now 9); use another --name",
    ),
    "other data under an old name": (
        lambda f: ("--data", arrays(f, x=X, y=Y), "--name", "base"),
        "was started with another data",
    ),
}


def kept(folder: Path):
    """Return the studies of the home, and all that is known of 'base'."""
    storage = open_storage(Home(folder / "home").studies_db)
    return study_names(storage), read_study(load(storage, "base"))


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_exit_code_2_and_leaves_nothing(run, here, case):
    arguments, told = BAD[case]
    before = kept(here)
    said = run("study", *arguments(here))
    assert said.code == 2, said.err
    assert told in said.error and said.out == ""
    assert kept(here) == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("studie",), "No such command 'studie'"),
        (("front",), "Missing argument 'STUDY'"),
        (("front", "base", "--jsn"), "No such option '--jsn'"),
        (("devices", "rpi"), "no device profile named 'rpi'"),
        (("export", "base"), "Missing option '--to'"),
        (("export", "base", "--to", "x", "--trial", "99"), "99"),
        (("export", "base", "--to", "x", "--trial", "1", "--all"), "exclude each other; give one"),
        (("export", "base", "--to", "x", "--prefer", "speed"), "'speed' is not one of"),
        (("export", "base", "--to", "x", "--max-model-bytes", "1Q"), "a size is a number of bytes"),
        (("ui", "--port", "0"), "a port is between 1 and 65535, got 0"),
        (("sync", "bass"), "did you mean 'base'?"),
    ],
)
def test_bad_requests_of_other_commands(run, here, arguments, told):
    said = run(*arguments)
    assert said.code == 2 and told in said.error and said.out == ""


def test_the_files_of_a_table_study_are_not_there_to_export(run, here):
    said = run("export", "base", "--to", "x")
    assert said.code == 2 and "set EDGESEARCH_HOME to the home it was made in" in said.error
    assert not (here / "x").exists()


def test_our_own_mistakes_keep_their_traceback(monkeypatch):
    monkeypatch.setattr("search.places.Places.names", lambda _: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["studies"])


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error(here):
    script = "from search.cli import main; main()"
    command = f"{sys.executable} -c '{script}' trials base --json | head -c 1"
    done = subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "[" and done.stderr == ""


def test_nothing_fits_is_a_study_error():
    assert NothingFits("x").exit_code == 1 and NothingFits("x").record is None


# Homes that cannot be written. Root may write anywhere, so that a mount is needed.


MOUNTED = pytest.mark.skipif(
    sys.platform != "linux" or os.getuid() != 0, reason="this machine has no right to mount"
)


@MOUNTED
@pytest.mark.slow
def test_a_read_only_home_can_be_read_and_refuses_a_study_with_one_line(here):
    script = "from search.cli import main; main()"
    python = f"{sys.executable} -c '{script}'"
    steps = [
        f"mount --bind {here} {here}",
        f"mount -o remount,ro,bind {here}",
        f"cd {here}",
        f"{python} front base --json > /dev/null && echo front works",
        f"{python} study --data three.npz --name new; echo study ends with $?",
        f"{python} study --name base --trials 99; echo base ends with $?",
        f"EDGESEARCH_HOME={here}/other {python} study --data three.npz; echo other ends with $?",
    ]
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", "\n".join(steps)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "front works", "study ends with 2", "base ends with 2", "other ends with 2",
    ], done.stderr  # fmt: skip
    # Others may measure on this machine just then.
    lines = [line for line in done.stderr.splitlines() if not line.startswith("waiting for ")]
    assert len(lines) == 3, done.stderr
    for line in lines:
        assert (
            line.startswith("error: cannot write to '") and "Read-only file system; free the disk, or" in line
        )


# Secrets: planted in addresses, looked for everywhere.


PLANTED = "pLaNtEd-s3cret"


def files_with(text: str, folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


@pytest.mark.parametrize("how", ["option", "environment", "reference"])
def test_the_password_of_a_storage_is_nowhere(run, here, monkeypatch, how):
    address = f"postgresql://user:{PLANTED}@127.0.0.1:1/x"
    options: tuple[str, ...] = ("--storage", address)
    if how == "environment":
        monkeypatch.setenv("EDGESEARCH_STORAGE", address)
        options = ()
    elif how == "reference":
        monkeypatch.setenv("MY_PASSWORD", PLANTED)
        options = ("--storage", "postgresql://user:${MY_PASSWORD}@127.0.0.1:1/x")
    for arguments in (("study", "--data", "three.npz"), ("studies",), ("front", "base"), ("sync",)):
        said = run(*arguments, *options)
        assert said.code == 2 and "cannot be opened" in said.error
        assert PLANTED not in said.out + said.err
    assert not files_with(PLANTED, here)


def test_the_password_of_a_tracking_server_is_nowhere(run, here, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(
        "search.executors.inprocess.InProcessExecutor", lambda setting: TableExecutor(table(setting.goals))
    )
    address = f"http://user:{PLANTED}@127.0.0.1:1"
    said = run(*STUDY, "--name", "base", "--trials", "8", "--tracking-uri", address)
    assert said.code == 0, said.err  # a view that is away does not hold up the study
    assert "warning: the study goes on without its ledger: MLflow at http://user:***@127.0.0.1:1" in said.err
    assert "MLflow missed" in said.err
    assert "--tracking-uri 'http://user:***@127.0.0.1:1'" in said.out
    assert PLANTED not in said.out + said.err
    said = run("sync", "base", "--tracking-uri", address)
    assert said.code == 2 and "MLflow at http://user:***@127.0.0.1:1 cannot be written" in said.error
    assert PLANTED not in said.out + said.err
    assert not files_with(PLANTED, here)


# The import guard, in fresh processes.


HEAVY = (
    "tensorflow", "tf_keras", "ray", "mlflow", "optuna", "pandas", "sklearn", "matplotlib", "plotly", "scipy",
)  # fmt: skip


@pytest.mark.parametrize(
    "script",
    [
        "from search.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit: pass",
        "from search.cli import main\ntry:\n    main(['study', '--help'])\nexcept SystemExit: pass",
        "from search import StudyPlan\nStudyPlan(data='digits')",
    ],
)
def test_help_and_plans_import_nothing_heavy(tmp_path, script):
    script += f"\nimport sys\nprint([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "[]"
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_modules_beside_the_plan_do_not_hide_ours(here):
    for name in ("search", "spaces", "objectives", "hardware_profiles", "click"):
        write(here, f"{name}.py", f"raise ImportError('the wrong {name}')\n")
    command = [str(Path(sys.executable).parent / "edgesearch"), "front", "base", "--json"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
