"""What a study learns from its trials, tells its workers, and makes of the forms that they bring back."""

import math

import optuna
import pytest
from search_doubles import (
    SOURCE,
    Harvesting,
    Screen,
    SmallSpace,
    evidence,
    facts_of,
    figures,
    form,
    measured,
)

from hardware_profiles.measurement import Measurement
from objectives.outcome import Doubt, Epoch, Harvested, Measured, Stopped
from search.asking import Asker
from search.book import Book
from search.counsel import Counsel, forms_of
from search.driver import Driver
from search.errors import StudyError
from search.front import front
from search.ledger import MemoryLedger
from search.lessons import CHANCE, FEWEST_CURVES, TOLERATED, Lessons, about_frugality
from search.limits import Limits
from search.offers import offers
from search.rejudge import rejudge
from search.storage import FACTS, create, open_storage, read_study, write_facts
from search.strategies import Strategy, frugal, plain
from search.trial import TrialRecord
from spaces.candidate import Candidate, Compression
from spaces.chooser import Choices, Integers
from spaces.layers import Dense, Flatten

FORMS = ("float32", "float16", "int8")
WIDTHS = 40


class FormSpace(SmallSpace):
    """Forty widths, in three precisions."""

    name = "forms"

    def ranges(self, problem):
        return {"units": Integers(low=1, high=WIDTHS), "precision": Choices(options=FORMS)}


def network(units: int, **compression) -> Candidate:
    layers = (Flatten(), Dense(units=units))
    return Candidate(architecture=layers, compression=Compression(**compression))


def trial(number: int, candidate: Candidate, **changes) -> TrialRecord:
    seen = evidence(candidate, **changes)
    return TrialRecord(number=number, state="measured", candidate=candidate, outcome=Measured(evidence=seen))


@pytest.fixture
def facts(make_study):
    record = make_study([], data={"kind": "table", "input_shape": (4,)})
    known = facts_of(record)
    ranges = FormSpace().ranges(known.problem)
    return known.model_copy(update={"ranges": ranges})


@pytest.fixture
def asker(facts):
    return Asker(FormSpace(), facts)


def test_gaps_are_what_each_step_changed(facts):
    lessons = Lessons(facts)
    for units in (10, 20, 30):
        asked = network(units, precision="int8", sparsity=0.5)
        made = evidence(asked, stages=(0.9, 0.85))
        own = made.values["accuracy"]
        lessons.learn(
            TrialRecord(number=units, state="measured", candidate=asked, outcome=Measured(evidence=made))
        )
    gaps = lessons.standing(()).gaps
    assert gaps["sparsity 0.5"].mean == pytest.approx(math.log(0.15 / 0.1))
    assert gaps["sparsity 0.5"].count == gaps["int8"].count == 3
    last = figures(network(30, precision="int8", sparsity=0.5))["accuracy"]
    assert last == own
    assert gaps["int8"].deviation > 0


def test_forms_that_lost_too_much_to_be_measured_teach_what_they_lost(facts):
    """If only those that were good enough did, every form would look better than it is."""
    lessons = Lessons(facts)
    for units in (10, 20, 30):
        asked = network(units)
        before = 1 - form(asked, "int8").values[0]
        seen = form(asked, "int8", accuracy=1 - 1.5 * before)
        unread = seen.model_copy(
            update={
                "measurements": tuple(m for m in seen.measurements if m.metric != "latency_ms"),
                "latency": None,
                "error": "not measured: its accuracy and bytes cannot join the front",
            }
        )
        lessons.learn(trial(units, asked, harvest=(unread,)))
    standing = lessons.standing(())
    assert standing.gaps["int8"].mean == pytest.approx(math.log(1.5))
    assert standing.gaps["int8"].count == 3
    assert "model_bytes: float32 > int8" in standing.ratios
    assert "latency_ms: float32 > int8" not in standing.ratios


def test_a_step_that_forms_have_in_common_is_seen_once(facts):
    lessons = Lessons(facts)
    asked = network(10)
    lessons.learn(trial(0, asked, harvest=(form(asked, "int8"), form(asked, "float16"))))
    gaps = lessons.standing(()).gaps
    assert {name: gap.count for name, gap in gaps.items()} == {"float32": 1, "int8": 1, "float16": 1}


def test_ratios_compare_the_forms_of_one_network(facts):
    lessons = Lessons(facts)
    for units in (10, 40):
        asked = network(units)
        lessons.learn(trial(units, asked, harvest=(form(asked, "int8"),)))
    ratio = lessons.standing(()).ratios["model_bytes: float32 > int8"]
    expected = [
        math.log(figures(network(u, precision="int8"))["model_bytes"] / figures(network(u))["model_bytes"])
        for u in (10, 40)
    ]
    assert ratio.mean == pytest.approx(sum(expected) / 2)
    back = lessons.standing(()).ratios["model_bytes: int8 > float32"]
    assert back.mean == pytest.approx(-ratio.mean)
    own = lessons.standing((), Compression(precision="int8")).ratios
    assert own["model_bytes: int8 > float32"] == back
    assert all(": int8 > " in name for name in own), "a trial is told what it needs"


def curve(*averaged):
    points = enumerate(averaged, start=1)
    return tuple(Epoch(epoch=e, loss=1.0, valid=0.5, averaged=a) for e, a in points)


def test_curves_say_what_becomes_of_an_error(facts):
    lessons = Lessons(facts)
    for i in range(FEWEST_CURVES):
        asked = network(10 + i)
        asked = asked.model_copy(update={"training": asked.training.model_copy(update={"epochs": 4})})
        seen = evidence(asked, stages=(0.9,), curve=curve(None, 0.8, 0.85, 0.9))
        one = TrialRecord(number=i, state="measured", candidate=asked, outcome=Measured(evidence=seen))
        assert not lessons.standing(()).rises  # fewer than it takes
        lessons.learn(one)
        lessons.learn(one)  # the same training with another form adds nothing
    rises = lessons.standing(()).rises
    assert {part: rise.mean for part, rise in rises.items()} == {
        10: pytest.approx(math.log(0.1 / 0.2)),
        15: pytest.approx(math.log(0.1 / 0.15)),
        20: pytest.approx(0.0),
    }
    assert rises[10].count == FEWEST_CURVES


def test_a_rule_that_is_often_wrong_grows_patient(facts):
    lessons = Lessons(facts)
    assert lessons.chance == CHANCE
    for wrong in (False, True, False, False):
        lessons.audit(wrong=wrong)
    assert lessons.chance == pytest.approx(CHANCE * TOLERATED / 0.25)
    for _ in range(36):
        lessons.audit(wrong=False)
    assert lessons.chance == CHANCE


def test_forms_are_offered_with_the_parameters_that_lead_to_them(asker, facts):
    asked, params = network(12), {"units": 12, "precision": "float32"}
    found = offers(asker, facts.plan, asked, params)
    assert [c.precision for c in found] == ["float16", "int8"]
    for compression, offer in found.items():
        assert offer.params == {"units": 12, "precision": compression.precision}
        assert offer.candidate == network(12, precision=compression.precision)
        assert offer.distributions["precision"] == optuna.distributions.CategoricalDistribution(FORMS)
        assert offer.distributions["units"] == optuna.distributions.IntDistribution(1, WIDTHS)


def test_a_space_that_asks_what_nobody_answered_has_no_forms(asker, facts):
    assert offers(asker, facts.plan, network(12), {"precision": "float32"}) == {}


def test_forms_outside_of_this_calls_ranges_are_not_offered(facts):
    narrower = facts.plan.model_copy(update={"ranges": {"precision": Choices(options=("float32", "int8"))}})
    asker = Asker(FormSpace(), facts.model_copy(update={"plan": narrower}))
    for precision, others in (("float32", {"int8"}), ("float16", {"float32", "int8"})):
        params = {"units": 12, "precision": precision}
        found = offers(asker, narrower, network(12, precision=precision), params)
        assert {c.precision for c in found} == others
    elsewhere = facts.plan.model_copy(update={"ranges": {"units": Integers(low=20, high=40)}})
    asker = Asker(FormSpace(), facts.model_copy(update={"plan": elsewhere}))
    assert offers(asker, elsewhere, network(12), {"units": 12, "precision": "float32"}) == {}


def test_a_space_that_fails_in_another_form_is_named(asker, facts, monkeypatch):
    monkeypatch.setattr(FormSpace, "suggest", lambda *_: 1 // 0)
    with pytest.raises(StudyError, match=r"the space 'forms' cannot make a candidate \(ZeroDivisionError"):
        offers(asker, facts.plan, network(12), {"units": 12, "precision": "float32"})


def test_what_is_known_is_not_asked_for_again(asker, facts):
    counsel, params = Counsel(asker, facts, frugal(), ()), {"units": 12, "precision": "float32"}
    there = {network(12, precision="int8").digest: trial(3, network(12, precision="int8"))}
    told = counsel.brief(0, network(12), params, (), there.get)
    assert [c.precision for c in told.siblings] == ["float16"]


def test_a_strategy_without_them_asks_for_no_forms_and_stops_nothing(asker, facts):
    params = {"units": 12, "precision": "float32"}
    told = Counsel(asker, facts, plain(), ()).brief(0, network(12), params, ())
    assert (told.siblings, told.standing, told.stopping) == ((), None, False)
    told = Counsel(asker, facts, Strategy(stopping=True), ()).brief(0, network(12), params, ())
    assert (told.siblings, told.stopping) == ((), True)
    told = Counsel(asker, facts, Strategy(harvest=True), ()).brief(0, network(12), params, ())
    assert [c.precision for c in told.siblings] == ["float16", "int8"]
    assert not told.stopping


def test_a_tenth_is_finished_to_check_the_rule_always_the_same_ones(asker, facts):
    def audited():
        counsel = Counsel(asker, facts, frugal(), ())
        params = {"units": 12, "precision": "float32"}
        return [n for n in range(400) if counsel.brief(n, network(12), params, ()).audit]

    assert 20 <= len(audited()) <= 60
    assert audited() == audited()


@pytest.fixture
def drive(facts, tmp_path):
    """Run a study of the form space, or take it up; return it and its executor."""

    def run(trials, executor, strategy=None, name="one", **plan):
        storage = open_storage(f"sqlite:///{tmp_path / 'studies.db'}")
        plan = facts.plan.model_copy(update={"trials": trials, **plan})
        known = facts.model_copy(update={"plan": plan})
        if name in optuna.get_all_study_names(storage):
            study = optuna.load_study(study_name=name, storage=storage)
        else:
            study = create(storage, name, known.plan.goals)
        if FACTS in study.user_attrs:
            study = rejudge(study, known)
        study.sampler = optuna.samplers.RandomSampler(seed=trials)
        write_facts(study, known)
        asker = Asker(FormSpace(), known)
        book = Book(study, known, asker)
        counsel = Counsel(asker, known, strategy or frugal(), book.found)
        Driver(book, executor, MemoryLedger(), Screen(), counsel).run()
        return read_study(study), study, counsel

    return run


def test_forms_that_no_other_form_dominates_become_trials(drive):
    record, study, _ = drive(10, executor := Harvesting())
    asked = [t for t in record.trials if t.parent is None]
    forms = [t for t in record.trials if t.parent is not None]
    assert len(asked) == len(executor.submitted) == 10
    assert forms
    by_number = {t.number: t for t in record.trials}
    for found in forms:
        parent = by_number[found.parent]
        family = [parent, *(f for f in forms if f.parent == parent.number)]
        assert found in front(family, record.goals)
        assert found.candidate.architecture == parent.candidate.architecture
        assert found.candidate.compression != parent.candidate.compression
    stored = study.get_trials()
    for found in forms:
        assert stored[found.number].state == optuna.trial.TrialState.COMPLETE
        assert stored[found.number].params["precision"] == found.candidate.compression.precision


def test_only_what_was_asked_counts(drive):
    record, _, _ = drive(7, Harvesting())
    assert sum(t.counts for t in record.trials) == 7 < len(record.trials)


def test_a_dominated_form_is_no_trial_but_answers_when_it_is_asked(drive, facts):
    record, _, counsel = drive(6, Harvesting(worse=("float16",)))
    assert all(t.candidate.compression.precision != "float16" for t in record.trials if t.parent is not None)
    assert counsel.stock
    assert {s.parent for s in counsel.stock.values()} <= {t.number for t in record.trials}
    units = len({t.candidate.architecture for t in record.trials})
    record, _, _ = drive(30, executor := Harvesting(worse=("float16",)))
    trained = [c for _, c in executor.submitted]
    from_stock = [
        t for t in record.trials if t.parent is not None and t.candidate.compression.precision == "float16"
    ]
    assert from_stock  # of 40 widths in 3 precisions some were asked for
    assert units < len({c.architecture for c in trained})
    assert not {t.candidate.digest for t in from_stock} & {c.digest for c in trained}


def test_a_study_taken_up_knows_what_it_had_learnt(drive):
    _, _, before = drive(8, Harvesting())
    _, _, after = drive(8, Harvesting())
    then, now = before.lessons.standing(()), after.lessons.standing(())
    assert {k: v.count for k, v in now.gaps.items()} == {k: v.count for k, v in then.gaps.items()} != {}
    for name, ratio in now.ratios.items():
        assert ratio.mean == pytest.approx(then.ratios[name].mean)
    assert before.stock.keys() <= after.stock.keys()


def test_a_kill_between_a_trial_and_its_forms_loses_none(drive, facts, asker):
    record, study, _ = drive(3, Harvesting())
    whole = {t.candidate.digest for t in record.trials}
    storage = study._storage
    copied = create(storage, "two", record.goals)
    copied.add_trials([t for t in study.get_trials() if "parent" not in t.user_attrs])
    cut, _, _ = drive(3, Harvesting(), name="two")
    assert {t.candidate.digest for t in cut.trials} == whole


def test_a_kill_loses_no_forms_where_fewer_options_are_wanted_now(drive):
    """Those outside of the ranges stay what they are: known, and no trials."""
    record, study, _ = drive(6, Harvesting())
    copied = create(study._storage, "two", record.goals)
    copied.add_trials([t for t in study.get_trials() if "parent" not in t.user_attrs])
    cut, _, _ = drive(6, Harvesting(), name="two", ranges={"precision": Choices(options=("float32", "int8"))})
    whole = {t.candidate.digest for t in record.trials if t.candidate.compression.precision != "float16"}
    assert whole <= {t.candidate.digest for t in cut.trials}
    assert all(t.candidate.compression.precision != "float16" for t in cut.trials if t.parent is not None)


@pytest.mark.parametrize("limits", [(900, 9000), (9000, 900)])
def test_with_other_limits_other_forms_are_trials(drive, facts, limits):
    for bound in limits:
        record, _, _ = drive(12, Harvesting(), limits=Limits(model_bytes=bound))
    asked = [t for t in record.trials if t.evidence.harvest]
    assert len(asked) == 12
    expected = set()
    for one in asked:
        forms = forms_of(one, record.goals)
        best = front((one, *forms), record.goals)
        expected |= {t.candidate.digest for t in best if t.number != one.number}
    there = {t.candidate.digest for t in record.trials}
    assert expected and expected <= there


def test_forms_asked_for_twice_in_a_row_do_not_end_a_study(drive, monkeypatch):
    """One was answered from stock a moment ago, and is not written down yet."""
    record, study, counsel = drive(2, Harvesting(worse=("float16", "int8")))
    (digest, stocked), *_ = counsel.stock.items()
    parent = record.trials[stocked.parent]
    params = {"units": parent.candidate.architecture[-1].units}
    params["precision"] = next(p for p in FORMS if network(params["units"], precision=p).digest == digest)
    for _ in range(2):
        study.enqueue_trial(params)
    record, _, _ = drive(6, Harvesting(capacity=1))
    assert sum(t.counts for t in record.trials) == 6


def test_a_checked_trial_teaches_whether_the_rule_was_right(asker, facts):
    doubt = Doubt(epoch=3, reason="it showed too little")
    best = trial(0, network(39), doubt=doubt)
    seen = measured({"accuracy": 0.1, "latency_ms": 9.0, "model_bytes": 1e9})
    poor = TrialRecord(number=1, state="measured", candidate=network(2), outcome=Measured(evidence=seen))
    counsel = Counsel(asker, facts, frugal(), ())
    counsel.audit(best, front((best, poor), facts.plan.goals))
    assert (counsel.lessons.audited, counsel.lessons.wrong) == (1, 1)
    counsel.audit(poor, front((best, poor), facts.plan.goals))
    assert counsel.lessons.audited == 1  # it was not in doubt
    again = Counsel(asker, facts, frugal(), (best, poor))
    assert (again.lessons.audited, again.lessons.wrong) == (1, 1)


def test_stopped_trials_teach_no_curve_but_their_forms(facts):
    lessons, asked = Lessons(facts), network(10, sparsity=0.5)
    seen = evidence(asked, stages=(0.9,), harvest=(form(asked, "int8"),), curve=curve(0.5))
    without = seen.model_copy(update={"measurements": ()})
    ended = Stopped(epoch=1, reason="no chance", evidence=without)
    lessons.learn(TrialRecord(number=0, state="stopped", candidate=asked, outcome=ended))
    assert lessons.standing(()).gaps.keys() == {"int8"}


def test_a_form_that_breaks_a_limit_is_infeasible(facts):
    tight = facts.plan.model_copy(
        update={"limits": facts.plan.limits.model_copy(update={"model_bytes": 600})}
    )
    known, asked = facts.model_copy(update={"plan": tight}), network(100)
    seen = trial(
        0, asked, harvest=(form(asked, "int8"), Harvested(compression=Compression(), error="crashed"))
    )
    (found,) = forms_of(seen, known.plan.goals)
    assert found.state == "infeasible"
    assert found.outcome.violations[0].metric == "model_bytes"
    assert found.evidence.seconds == {"harvest": 0.5}


def test_measurements_of_a_form_keep_their_source(facts):
    asked = network(10)
    (found,) = forms_of(trial(0, asked, harvest=(form(asked, "int8"),)), facts.plan.goals)
    assert isinstance(found.measurement("accuracy"), Measurement)
    assert found.measurement("latency_ms").source == SOURCE


def test_a_study_tells_what_was_saved(make_study, facts):
    asked = network(10)
    best = trial(0, asked, doubt=Doubt(epoch=3, reason="it showed too little"))
    (other,) = forms_of(trial(0, asked, harvest=(form(asked, "int8"),)), facts.plan.goals)
    ended = TrialRecord(
        number=2, state="stopped", candidate=network(3), outcome=Stopped(epoch=1, reason="no")
    )
    record = make_study([best, other.model_copy(update={"number": 1}), ended])
    harvest, stopping = about_frugality(record)
    assert harvest == "harvest   1 forms of 1 trained networks are trials of their own"
    assert stopping.startswith("stopping  1 trials ended early")
    assert stopping.endswith("to check it: wrong in 1 of 1")
    assert list(about_frugality(make_study([trial(0, asked)]))) == []
