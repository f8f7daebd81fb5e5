"""What a sampler sees of a study, and that it may be any sampler."""

from statistics import median

import optuna
import pytest
from search_doubles import RoundingTPESampler, Screen, SmallSpace, TableExecutor, facts_of, measured, table

import search.mirror
from objectives.goals import violations
from objectives.outcome import Infeasible, Measured
from search.asking import Asker
from search.book import Book
from search.driver import Driver
from search.ledger import NullLedger
from search.samplers import SAMPLERS, sampler_of
from search.storage import create, experimental, load, open_storage, read_study, taken, write_facts
from search.telling import requeue
from spaces.candidate import Problem
from spaces.catalog import load_space

TrialState = optuna.trial.TrialState


class Looking(optuna.samplers.RandomSampler):
    """Keeps the trials that it was shown last."""

    def __init__(self) -> None:
        super().__init__(seed=1)
        self.shown: list[optuna.trial.FrozenTrial] = []

    def sample_independent(self, study, trial, param_name, param_distribution):
        self.shown = study.get_trials(deepcopy=False)
        return super().sample_independent(study, trial, param_name, param_distribution)


@pytest.fixture
def drive(make_study):
    """Run a study of the small space for so many trials, in a storage, with a sampler."""

    def run(url, sampler, trials, widths=100_000):
        facts = facts_of(make_study([], data={"kind": "table", "input_shape": (4,)}), widths)
        facts = facts.model_copy(update={"plan": facts.plan.model_copy(update={"trials": trials})})
        storage = open_storage(url) if url else optuna.storages.InMemoryStorage()
        if taken(storage, "try-1"):
            study = load(storage, "try-1")
        else:
            study = create(storage, "try-1", facts.plan.goals)
            write_facts(study, facts)
        requeue(study, facts.plan, blame=False)
        study.sampler = sampler
        book = Book(study, facts, Asker(SmallSpace(widths), facts))
        Driver(book, TableExecutor(table(facts.plan.goals)), NullLedger(), Screen()).run()
        return study

    return run


def test_a_sampler_is_shown_the_front_the_newest_and_what_is_under_way(drive, tmp_path, monkeypatch):
    monkeypatch.setattr(search.mirror, "NEWEST", 10)
    sampler = Looking()
    study = drive(f"sqlite:///{tmp_path / 's.db'}", sampler, 60)
    shown = {trial.number: trial for trial in sampler.shown}
    ended = [t for t in study.get_trials() if t.number in shown and t.state.is_finished()]
    front = {trial.number for trial in study.best_trials if trial.number < 59}
    # The last ask came before the last trials ended: of the two that were under way one was the trial itself.
    assert front - {58, 59} <= set(shown)
    assert len(shown) <= 10 + len(front) + 2
    assert {trial.state for trial in shown.values()} == {TrialState.COMPLETE, TrialState.RUNNING}
    for trial in ended:
        if shown[trial.number].state == TrialState.COMPLETE:
            assert (shown[trial.number].values, shown[trial.number].params) == (trial.values, trial.params)
            assert shown[trial.number].constraints == trial.constraints


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_study_is_the_same_in_the_storage_whatever_its_sampler(drive, tmp_path, name):
    url = f"sqlite:///{tmp_path / 's.db'}"
    drive(url, sampler_of(name, 1), 15)
    study = drive(url, sampler_of(name, 2), 30)  # taken up again
    assert [trial.number for trial in study.get_trials()] == list(range(len(study.get_trials())))
    record = read_study(study)
    assert sum(trial.state == "measured" for trial in record.trials) == 30
    assert not study.get_trials(states=(TrialState.RUNNING, TrialState.WAITING))
    for trial in study.get_trials():
        assert trial.datetime_start <= trial.datetime_complete


def test_nsga2_goes_on_with_its_generations(drive, tmp_path):
    url = f"sqlite:///{tmp_path / 's.db'}"
    first = drive(url, optuna.samplers.NSGAIISampler(population_size=8, seed=1), 20)
    key = "NSGAIISampler:generation"
    before = max(trial.system_attrs[key] for trial in first.get_trials())
    assert before >= 1
    second = drive(url, optuna.samplers.NSGAIISampler(population_size=8, seed=2), 40)
    assert max(trial.system_attrs[key] for trial in second.get_trials()) >= before + 2
    noted = second._storage.get_study_system_attrs(second._study_id)
    parents = [noted[name] for name in noted if name.startswith("NSGAIISampler:parent:")]
    assert len(parents) >= 3
    assert all(len(found) == 8 and max(found) < len(second.get_trials()) for found in parents)


def test_tpe_learns_through_the_mirror(drive):
    """Late on it asks for narrower networks than random asks are, for these are quick and small."""

    def late(name):
        study = drive(None, sampler_of(name, 1), 60)
        return median(trial.params["units"] for trial in study.get_trials()[30:])

    assert late("tpe") < 0.5 * late("random")


def judged_by(facts, **values):
    broken, evidence = violations(facts.plan.goals, values), measured(values)
    return Infeasible(violations=broken, evidence=evidence) if broken else Measured(evidence=evidence)


def test_our_tpe_proposes_what_optunas_own_does(make_study):
    """In a conditional space, with trials under way, some that broke limits and some that were declined."""
    space = load_space("convnet")
    problem = Problem(kind="image", input_shape=(28, 28, 1), classes=10)
    facts = facts_of(make_study([], limits={"model_bytes": 20_000}))
    facts = facts.model_copy(update={"problem": problem, "ranges": dict(space.ranges(problem))})

    def asked(sampler):
        study = create(None, "try-1", facts.plan.goals)
        study.sampler = sampler
        book, under_way, seen = Book(study, facts, Asker(space, facts)), [], []
        for count in range(45):
            under_way.append(book.ask())
            book.begin(under_way[-1])
            seen.append(under_way[-1].params)
            if count >= 4:
                ended = under_way.pop(count % 3)
                size = 300.0 * len(ended.candidate.architecture) ** 3
                rate = ended.candidate.training.learning_rate
                book.finish(ended, judged_by(facts, accuracy=1 / size, latency_ms=rate, model_bytes=size))
        return seen

    with experimental():
        plain = RoundingTPESampler(multivariate=True, seed=3)
        ours = sampler_of("tpe", 3)
    assert asked(ours) == asked(plain)
