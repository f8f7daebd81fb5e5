"""How trainings are augmented, as a plan or the command says it, and what is refused."""

import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from search_doubles import TableExecutor, table, write_table

from search import cli
from search.errors import StudyError
from search.home import Home
from search.ledger import MemoryLedger
from search.places import Places
from search.plan import make_plan
from search.prepared import Prepared
from search.study import run_study
from spaces.errors import SpaceError

AUTO = ("none", "shift", "shift-flip", "cutout")


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Path:
    """90 images of 16 x 16 pixels, in three classes."""
    path = tmp_path_factory.mktemp("images") / "images.npz"
    y = np.arange(90) % 3
    x = np.random.default_rng(0).integers(0, 99, (90, 16, 16, 1)) + 50 * y[:, None, None, None]
    np.savez(path, x=x.astype(np.uint8), y=y)
    return path


def plan_of(data: Path, **changes):
    return make_plan(
        {
            "data": str(data),
            "name": "shown",
            "strategy": "plain",
            "objectives": ["accuracy", "model_bytes"],
            **changes,
        }
    )


def searched(data: Path, home: Path, **changes) -> tuple:
    """Return the augmentations among which a study chooses."""
    return Prepared.of(plan_of(data, **changes), Places(Home(home))).ranges["augmentation"].options


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({}, AUTO),
        ({"augment": "auto"}, AUTO),
        ({"augment": "none"}, ("none",)),
        ({"augment": "shift-flip"}, ("shift-flip",)),
        ({"epochs": 3}, ("none",)),
        ({"epochs": 3, "augment": "shift"}, ("shift",)),
        ({"epochs": 3, "ranges": {"augmentation": ["none", "cutout"]}}, ("none", "cutout")),
        ({"augment": "shift", "ranges": {"augmentation": "cutout"}}, ("cutout",)),
    ],
)
def test_a_plan_says_what_is_searched(images, tmp_path, changes, options):
    assert searched(images, tmp_path / "home", **changes) == options


def test_tables_are_not_augmented(tmp_path):
    data = write_table(tmp_path / "three.npz")
    assert searched(data, tmp_path / "home") == ("none",)
    with pytest.raises(
        SpaceError, match=r"no augmentation 'shift' for table data of 4; \(there are auto, none\)"
    ):
        searched(data, tmp_path / "home", augment="shift")


def test_a_wrong_name_is_one_line_with_those_that_fit(images, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGESEARCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(SystemExit) as ended:
        cli.main(["study", "--data", str(images), "--augment", "cut-out", "--executor", "in-process"])
    assert ended.value.code == 2
    assert capfd.readouterr().err.splitlines()[-1] == (
        "error: there is no augmentation 'cut-out' for image data of 16x16x1; did you mean 'cutout'? "
        "(there are auto, none, shift, shift-flip, cutout)"
    )
    assert not list((tmp_path / "home").glob("*.db"))  # nothing was written for a study


class Tables:
    """Makes executors that answer from the table, and keeps what they were given."""

    def __init__(self):
        self.made = []

    def __call__(self, setting):
        self.made.append(TableExecutor(table(setting.goals)))
        return self.made[-1]

    @property
    def augmentations(self):
        return {c.training.augmentation for executor in self.made for _, c in executor.submitted}


@pytest.mark.slow
def test_trials_are_augmented_as_asked_and_a_study_may_narrow_it_later(images, tmp_path):
    def run(**changes):
        tables = Tables()
        with mock.patch("search.study.mlflow_ledger", return_value=MemoryLedger()):
            run_study(plan_of(images, space="mlp", **changes), home=tmp_path / "home", executor=tables)
        return tables.augmentations

    assert len(run(trials=12)) > 1
    assert run(trials=16, augment="cutout") == {"cutout"}
    assert run(trials=2, name="one", augment="shift") == {"shift"}
    with pytest.raises(StudyError, match=r"narrower range 'augmentation' \(shift, .*augmentation=shift"):
        run(trials=4, name="one")
