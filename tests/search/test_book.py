"""The book of a study: what is asked and told is in the storage, and in as few writes as that takes."""

import optuna
import pytest
from search_doubles import SmallSpace, facts_of, screened, table

from objectives.outcome import Measured
from search.asking import Asker
from search.book import Book
from search.counsel import Reaped
from search.offers import Offer
from search.storage import create, load, open_storage, read_study, write_facts
from search.trial import TrialRecord

TrialState = optuna.trial.TrialState


@pytest.fixture
def book(make_study, tmp_path):
    """Make the book of a new study: `book(sampler, storage=None, limits={...})`."""

    def make(sampler=None, storage=None, widths=200, **plan):
        facts = facts_of(make_study([], data={"kind": "table", "input_shape": (4,)}, **plan), widths)
        study = create(open_storage(storage) if storage else None, "try-1", facts.plan.goals)
        study.sampler = sampler or optuna.samplers.RandomSampler(seed=1)
        write_facts(study, facts)
        return Book(study, facts, Asker(SmallSpace(widths), facts))

    return make


def test_a_trial_that_nobody_asked_for_is_added_whole(book, tmp_path):
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    study = book(storage=url, limits={"model_bytes": 2000})
    asked = study.ask()
    study.begin(asked)
    goals = study.facts.plan.goals
    study.finish(asked, table(goals)(asked.candidate))
    compression = asked.candidate.compression.model_copy(
        update={"precision": "int8" if asked.candidate.compression.precision == "float32" else "float32"}
    )
    sibling = asked.candidate.model_copy(update={"compression": compression})
    params = {**asked.params, "precision": compression.precision}
    outcome = table(goals)(sibling)
    form = TrialRecord(
        number=99, state=outcome.state, candidate=sibling, outcome=outcome, parent=asked.number
    )
    (added,) = study.add([Reaped(form, Offer(sibling, params, study.asker.ranges))])
    number = added.number
    assert added == form.model_copy(update={"number": asked.number + 1})

    stored = load(open_storage(url), "try-1").get_trials()[number]
    assert stored.params == params and stored.user_attrs["parent"] == asked.number
    fits = isinstance(outcome, Measured)
    assert stored.state == (TrialState.COMPLETE if fits else TrialState.PRUNED)
    assert (max(stored.constraints.values()) <= 0) == fits
    record = read_study(load(open_storage(url), "try-1")).trials[number]
    assert (record.candidate, record.outcome) == (sibling, outcome)


def test_a_sibling_that_breaks_a_limit_is_added_as_such(book):
    study = book(limits={"model_bytes": 400})
    asked = study.ask()
    study.begin(asked)
    goal = next(goal for goal in study.facts.plan.goals if goal.metric == "model_bytes")
    outcome = screened(goal, 500)
    form = asked.record(outcome, parent=asked.number)
    (added,) = study.add([Reaped(form, Offer(asked.candidate, asked.params, study.asker.ranges))])
    (record,) = study.finished()
    assert (record.number, record.state) == (added.number, "infeasible")


# In how many transactions it is written, and what a kill leaves of one.


@pytest.fixture
def commits(monkeypatch):
    """Count the transactions that wrote something."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    counted, wrote = [], []

    def executed(connection, cursor, statement, *_):
        if not statement.lstrip().upper().startswith("SELECT"):
            wrote.append(statement)

    def committed(connection):
        if wrote:
            counted.append(len(wrote))
        wrote.clear()

    event.listen(Engine, "after_cursor_execute", executed)
    event.listen(Engine, "commit", committed)
    yield counted
    event.remove(Engine, "after_cursor_execute", executed)
    event.remove(Engine, "commit", committed)


def test_an_ask_is_one_transaction_and_so_is_its_end(book, tmp_path, commits):
    study = book(storage=f"sqlite:///{tmp_path / 'studies.db'}")
    commits.clear()
    asked = study.ask()
    assert not commits
    study.begin(asked)
    assert len(commits) == 1
    outcome = table(study.facts.plan.goals)(asked.candidate)
    form = asked.record(outcome, parent=asked.number)
    added = study.finish(
        asked, outcome, [Reaped(form, Offer(asked.candidate, asked.params, study.asker.ranges))]
    )
    assert len(commits) == 2, "and of the forms of its network"
    assert [trial.number for trial in added] == [asked.number + 1]


def test_a_batch_of_asks_is_one_transaction(book, tmp_path, commits):
    study = book(storage=f"sqlite:///{tmp_path / 'studies.db'}")
    first = study.ask()
    study.begin(first)
    outcome = table(study.facts.plan.goals)(first.candidate)
    study.finish(first, outcome)
    known = study.finished()[0]
    commits.clear()
    with study.together():
        begun = [study.ask() for _ in range(3)]
        for asked in begun:
            study.begin(asked)
        study.answer_duplicate(study.ask(), known)
        study.decline(study.ask(), "because", steer_away=True)
    assert len(commits) == 1
    assert [asked.number for asked in begun] == [1, 2, 3]
    states = [trial.state for trial in study._study.get_trials()]
    assert states == [TrialState.COMPLETE, *[TrialState.RUNNING] * 3, TrialState.COMPLETE, TrialState.PRUNED]


def test_of_a_batch_that_fails_nothing_is_written(book, tmp_path):
    study = book(storage=f"sqlite:///{tmp_path / 'studies.db'}")

    def half():
        with study.together():
            study.begin(study.ask())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert not study._study.get_trials()
    study.begin(study.ask())
    assert len(study._study.get_trials()) == 1


@pytest.mark.parametrize("where", ["begin", "finish"])
def test_a_kill_within_a_transaction_leaves_nothing_of_it(book, tmp_path, monkeypatch, where):
    class Killed(BaseException):
        pass

    def killing(*_, **__):
        raise Killed

    url = f"sqlite:///{tmp_path / 'studies.db'}"
    study = book(storage=url)
    asked = study.ask()
    if where == "finish":
        study.begin(asked)
    outcome = table()(asked.candidate)
    with monkeypatch.context() as patched:
        patched.setattr("search.writing._set_attributes", killing)
        with pytest.raises(Killed):
            study.begin(asked) if where == "begin" else study.finish(asked, outcome)
    left = load(open_storage(url), "try-1").get_trials()
    if where == "begin":
        assert not left
    else:
        assert left[0].state == TrialState.RUNNING and "outcome" not in left[0].user_attrs


# What waits.


@pytest.mark.parametrize("stored", [True, False])
def test_what_waits_is_asked_first_and_in_order_under_its_number(book, tmp_path, stored):
    study = book(storage=f"sqlite:///{tmp_path / 'studies.db'}" if stored else None)
    study.begin(study.ask())
    for width in (3, 1, 2):
        study._study.enqueue_trial({"units": width, "precision": "int8"}, user_attrs={"retry_of": 0})
    assert study.waiting
    asks = [study.ask() for _ in range(4)]
    assert not study.waiting
    for asked in asks:
        study.begin(asked)
    assert [asked.params["units"] for asked in asks[:3]] == [3, 1, 2]
    assert [asked.number for asked in asks] == [1, 2, 3, 4]
    first = study._study.get_trials()[1]
    assert first.state == TrialState.RUNNING and first.user_attrs["retry_of"] == 0
    assert first.params == {"units": 3, "precision": "int8"} and first.datetime_start
