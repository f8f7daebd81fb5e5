"""The benchmark of scaling in miniature."""

import optuna
import pytest

from benchmarks import report, scaling
from benchmarks.scaling import MOST_ROWS, PROBLEM, STUDY, filled, filled_with_forms, simulated
from benchmarks.scaling_lines import Cost, Scaling, Simulated, scaling_lines
from benchmarks.simulated_study import facts_for
from benchmarks.values import circumstances, save
from search.storage import load, open_storage, read_study
from spaces.catalog import load_space


def result(**changes) -> Scaling:
    run = Simulated(
        workers=64, trials=2000, charge_ms=60, shortest_s=10, longest_s=100, seed=0, busy=0.981,
        filling_s=3.84, tail_s=90, total_s=1300,
    )  # fmt: skip
    cost = {"trials": 5000, "over": 100, "sampler": "tpe", "space": "convnet", "load": 0.2}
    costs = (
        Cost(strategy="plain", forms=0, wall_ms=81.4, cpu_ms=70.2, taking_up_s=1.5, **cost),
        Cost(strategy="frugal", forms=3456, wall_ms=99.4, cpu_ms=98.2, taking_up_s=4.25, **cost),
    )
    return Scaling(circumstances=circumstances(), simulated=(run,), costs=costs)


def test_the_page_says_what_was_found(tmp_path) -> None:
    text = "\n".join(scaling_lines(result()))
    assert "| 64 | 2,000 | 10 to 100 s | 60 ms each | **98.1 %** | 3.8 s | 90 s of 1,300 s |" in text
    assert "| plain (tpe, convnet) | 5,000 | **81 ms**, mean of 100 | 70 ms | 1.5 s |" in text
    assert (
        "| frugal (tpe, convnet) | 5,000 (3,456 of them forms) | **99 ms**, mean of 100 | 98 ms | 4.2 s |"
        in text
    )
    save(tmp_path / "scaling.json", result())
    assert text in report.document(tmp_path)


def test_busy_is_what_workers_did_until_the_last_trial_was_begun() -> None:
    alone = simulated(1, 20, seed=1)
    # One worker waits for every tell and ask, 0.12 s a trial of 39 s on average.
    assert 0.99 < alone.busy < 1
    assert simulated(1, 20, seed=1) == alone != simulated(1, 20, seed=2)
    many = simulated(16, 200, seed=1)
    assert many.busy > 0.95 and many.filling_s == pytest.approx(16 * 0.06)
    assert 10 <= many.tail_s < 101 < many.total_s


def test_a_study_that_was_partly_filled_is_filled_up(tmp_path) -> None:
    space = load_space("convnet")
    facts = facts_for(space, PROBLEM, 30, 0)
    for count in (7, 12):
        filled(tmp_path / "filled.db", facts, space, count, 0)
        study = load(open_storage(f"sqlite:///{tmp_path / 'filled.db'}"), STUDY)
        assert [trial.number for trial in study.get_trials()] == list(range(count))
    states = {trial.state for trial in study.get_trials()}
    assert states == {optuna.trial.TrialState.COMPLETE}
    assert len({trial.candidate.digest for trial in read_study(study).trials}) == 12


def test_a_study_with_forms_is_filled_up_too(tmp_path) -> None:
    space = load_space("convnet")
    facts = facts_for(space, PROBLEM, 30, 0, strategy="frugal")
    seen = []
    for count in (7, 40):
        filled_with_forms(tmp_path / "filled.db", facts, space, count, 0)
        study = load(open_storage(f"sqlite:///{tmp_path / 'filled.db'}"), STUDY)
        seen.append(read_study(study).trials)
        assert count <= len(study.get_trials()) < count + MOST_ROWS
    assert seen[1][: len(seen[0])] == seen[0]
    asked = [trial for trial in seen[1] if trial.parent is None]
    assert all(trial.evidence.harvest for trial in asked)
    assert len({trial.candidate.base.digest for trial in asked}) == len(asked), "none was drawn twice"
    forms = [trial for trial in seen[1] if trial.parent is not None]
    assert {trial.candidate.compression.keep for trial in forms} >= {0.5}


def test_it_runs_and_what_is_finished_is_not_done_again(tmp_path, capsys, monkeypatch) -> None:
    small = ["--simulated-trials", "70", "--trials", "20", "--over", "4"]
    folders = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "scaling.json")]
    scaling.main([*small, *folders])
    first = Scaling.model_validate_json((tmp_path / "scaling.json").read_text())
    assert [run.workers for run in first.simulated] == [2, 64]
    assert [(cost.strategy, cost.over) for cost in first.costs] == [("plain", 4), ("frugal", 4)]
    plain, frugal = first.costs
    assert (plain.trials, plain.forms) == (16, 0)
    assert frugal.trials >= 16 and 0 < frugal.forms < frugal.trials
    assert "**, mean of 4 |" in capsys.readouterr().out
    monkeypatch.setattr(scaling, "simulated", None)
    monkeypatch.setattr(scaling, "cost", None)
    scaling.main([*small, *folders])
    again = Scaling.model_validate_json((tmp_path / "scaling.json").read_text())
    assert (again.simulated, again.costs) == (first.simulated, first.costs)


def test_more_than_there_is_cannot_be_measured(tmp_path, capsys) -> None:
    with pytest.raises(SystemExit):
        scaling.main(["--trials", "10", "--over", "10", "--work", str(tmp_path)])
    assert "some of 10, got 10" in capsys.readouterr().err
