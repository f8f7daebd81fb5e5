"""What is foretold of a study: shares with intervals, what to relax, how long it takes; nothing is kept."""

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from search_doubles import SOURCE, write_table

from hardware_profiles.measurement import Measurement
from objectives.canonical import least_bytes
from objectives.goals import Goal
from objectives.outcome import Evidence, Failed
from objectives.probe import Probe
from search.beginning import ladder_of
from search.cli import main
from search.commands.forecast import figure, percent, show, times
from search.forecast import Course, Forecast, Samples, Timed, Weighed, duration_of
from search.foreseeing import FEWEST_WEIGHED, MOST_PROBES, _foreseen, _in_turns, _Probing, bounded, drawn
from search.home import Home
from search.intervals import CONFIDENCE, Interval, mean_by_size, mean_of_times, share, share_in_strata
from search.places import Places
from search.plan import make_plan
from search.prepared import Prepared


def limit(metric, value):
    return Goal(metric=metric, direction="minimize", limit=value)


def samples(figures, *, beyond=(), passing=None, candidates=None, goals):
    """Return samples by (bytes, ms), None for what cannot be made; those beyond break the bound on bytes."""
    weighed = [Weighed(passes, told(f)) for fs, passes in ((figures, True), (beyond, False)) for f in fs]
    passing = len(figures) if passing is None else passing
    return Samples(weighed, passing, candidates or len(weighed), goals)


def told(figures):
    return None if figures is None else dict(zip(("model_bytes", "latency_ms"), figures, strict=True))


BYTES, BOTH = (limit("model_bytes", 100.0),), (limit("model_bytes", 100.0), limit("latency_ms", 2.0))


def test_half_fits_where_half_is_small_enough():
    fit = samples([(80, 1)] * 20 + [(150, 1)] * 20, goals=BYTES).fit()
    assert fit.fits.value == 0.5 and 0.35 < fit.fits.low < fit.fits.high < 0.65
    assert fit.binding == "model_bytes" and fit.relaxed is None
    (told_of,) = fit.limits
    assert told_of.broken.value == 0.5 and told_of.half == 80


def test_what_the_bound_rules_out_counts_by_how_much_of_the_space_it_is():
    within, beyond = [(80, 1)] * 9 + [(110, 1)] * 3, [(200, 1), (300, 1)]
    fit = samples(within, beyond=beyond, passing=200, candidates=1000, goals=BYTES).fit()
    assert fit.fits.value == pytest.approx(0.2 * 9 / 12)
    assert fit.fits.high < 0.2
    assert fit.limits[0].broken.value == pytest.approx(1 - fit.fits.value)
    assert fit.relaxed is not None and fit.relaxed.value == 200, "half lies among those that break the bound"
    assert fit.relaxed.low <= 200 <= (fit.relaxed.high or math.inf)


def test_the_limit_that_is_broken_most_often_binds_and_is_relaxed_beside_the_others():
    figures = [(120, 1)] * 6 + [(90, 1)] * 2 + [(90, 3)] * 1 + [(500, 3)] * 1
    fit = samples(figures, goals=BOTH).fit()
    assert {found.metric: found.broken.value for found in fit.limits} == {
        "model_bytes": pytest.approx(0.7),
        "latency_ms": pytest.approx(0.2),
    }
    assert fit.binding == "model_bytes" and fit.relaxed is not None and fit.relaxed.value == 120


def test_where_the_other_limits_keep_out_more_than_half_relaxing_one_does_not_help():
    fit = samples([(120, 3)] * 6 + [(200, 1)] * 3 + [(90, 1)], goals=BOTH).fit()
    assert fit.binding == "model_bytes" and fit.relaxed is None and fit.fits.value == pytest.approx(0.1)


def test_what_cannot_be_made_does_not_fit_and_breaks_no_limit():
    fit = samples([(80, 1)] * 4 + [None] * 6, goals=BYTES).fit()
    assert fit.unmade == 6 and fit.fits.value == pytest.approx(0.4)
    assert fit.limits[0].broken.value == 0 and fit.binding is None and fit.limits[0].half is None


def test_without_limits_everything_fits_and_what_only_a_trained_one_tells_is_named():
    assert samples([], candidates=2000, goals=()).fit().fits == Interval.exactly(1.0)
    accuracy = Goal(metric="accuracy", direction="maximize", limit=0.9)
    fit = samples([(80, 1)] * 5, goals=(*BYTES, accuracy, limit("compressed_bytes", 9.0))).fit()
    assert fit.untold == ("accuracy", "compressed_bytes") and [f.metric for f in fit.limits] == [
        "model_bytes"
    ]


def test_a_figure_that_the_device_does_not_tell_of_a_blank_is_not_guessed():
    weighed = [Weighed(passes=True, figures={"model_bytes": 80.0})] * 5
    fit = Samples(weighed, 5, 5, BOTH).fit()
    assert fit.untold == ("latency_ms",) and fit.fits.value == 1


SEEN = st.one_of(st.none(), st.tuples(st.floats(1, 1e3), st.floats(1e-3, 10)))


@given(st.lists(SEEN, min_size=1, max_size=40), st.lists(SEEN, max_size=9), st.floats(0.05, 1))
def test_shares_are_shares_and_a_relaxed_limit_lets_half_fit(figures, beyond, part):
    passing = max(1, round(1000 * part)) if beyond else 1000
    heavy = [f and (f[0] + 1000, f[1]) for f in beyond]
    found = samples(figures, beyond=heavy, passing=passing, candidates=1000, goals=BOTH)
    fit = found.fit()
    for told_of in fit.limits:
        assert 0 <= told_of.broken.low <= told_of.broken.high <= 1
        assert fit.fits.value <= 1 - told_of.broken.value + 1e-9
    if fit.relaxed is not None and passing < 1000:
        at = {goal.metric: goal.limit for goal in BOTH} | {fit.relaxed.metric: fit.relaxed.value}
        wider = [limit(metric, value) for metric, value in at.items()]
        kept = Samples(found.weighed, passing, 1000, wider)
        assert sum(kept._weight(w) for w in found.weighed if kept.keeps(w)) >= 0.5 - 1e-6
        assert fit.fits.value < 0.5


def test_an_interval_holds_the_truth_as_often_as_it_says():
    generator = random.Random(1)
    for true_share in (0.03, 0.22, 0.5, 0.9):
        hits = [sum(generator.random() < true_share for _ in range(30)) for _ in range(2000)]
        held = sum(share(h, 30).low <= true_share <= share(h, 30).high for h in hits) / len(hits)
        assert held > CONFIDENCE - 0.06  # Wilson's covers on average, not everywhere
    times_s = [[math.exp(generator.gauss(0, 0.8)) for _ in range(4)] for _ in range(1000)]
    true_mean = math.exp(0.32)
    held = sum(mean_of_times(s, 100).low <= true_mean <= mean_of_times(s, 100).high for s in times_s)
    assert held / 1000 > CONFIDENCE - 0.06


def test_times_that_go_by_size_are_told_of_other_sizes():
    seen = [(size, 3.0 * size**0.5) for size in (1e2, 1e4, 1e6)]
    found = mean_by_size(seen, [1e3, 1e5], 10)
    assert found.value == pytest.approx((3e3**0.5 * 3**0.5 + 3 * 1e5**0.5) / 2)
    assert found.high == pytest.approx(1.1 * found.value), "what fits them all leaves no other doubt"
    assert mean_by_size(seen, [1.0], 1).value == pytest.approx(3.0)


def test_a_time_grows_by_its_size_at_most_and_never_shrinks():
    steep = [(size, size**3) for size in (1.0, 10.0, 100.0)]
    assert mean_by_size(steep, [1e4], 1).value == pytest.approx(1e4 * mean_by_size(steep, [1.0], 1).value)
    falling = [(size, 1 / size) for size in (1.0, 10.0, 100.0)]
    assert mean_by_size(falling, [1e6], 1).value == pytest.approx(mean_by_size(falling, [1.0], 1).value)


def test_of_few_times_or_of_one_size_the_mean_is_that_of_what_was_seen():
    for seen in ([(1.0, 5.0)], [(1.0, 5.0), (9.0, 7.0)], [(4.0, 2.0)] * 5):
        assert mean_by_size(seen, [1e9], 3) == mean_of_times([time_s for _, time_s in seen], 3)


def test_an_interval_by_size_holds_the_truth_as_often_as_it_says():
    generator, held = random.Random(2), 0
    sizes = [math.exp(generator.gauss(9, 2)) for _ in range(60)]
    for _ in range(1000):
        took = [(s, 0.01 * s**0.6 * math.exp(generator.gauss(0, 0.4))) for s in sizes]
        seen = generator.sample(took, 6)
        found, truth = mean_by_size(seen, sizes, 60), sum(time_s for _, time_s in took) / 60
        held += found.low <= truth <= found.high
    assert held / 1000 > CONFIDENCE - 0.06


@pytest.mark.parametrize("hits", [0, 12])
def test_all_or_nothing_of_a_few_is_not_all_or_nothing(hits):
    found = share(hits, 12)
    assert found.value == hits / 12 and found.low < found.high
    assert found.low >= 0 and found.high <= 1


def test_an_interval_holds_its_value():
    with pytest.raises(ValidationError, match="an interval holds its value, got 3 outside 1 to 2"):
        Interval(low=1, value=3, high=2)
    assert share(0, 0) == Interval(low=0, value=0.5, high=1)
    assert share_in_strata([(0.5, 10, 10), (0.5, 0, 10)]).value == 0.5
    assert mean_of_times([5.0], 100).high == 15


def plan_of(**changes):
    return make_plan({"data": "digits", **changes})


def probes(*seconds):
    return [Probe(start_s=s / 2, epoch_s=s / 40, epochs=20) for s in seconds]


def took(probes, fits, screen_s, plan, workers, **course):
    """Return what is foretold where all probes had the size of everything that is to come."""
    same = [Timed(100.0, probe) for probe in probes]
    return duration_of(same, Course(**{"others": [100.0], **course}), fits, screen_s, plan, workers)


def test_a_study_takes_between_what_fits_by_chance_and_all_of_it():
    fits = Interval(low=0.2, value=0.4, high=0.6)
    told_of = took(probes(8, 10, 12), fits, 1.0, plan_of(epochs=10, trials=100), 2)
    assert told_of.trial_s == Interval(low=8, value=10, high=12)
    assert told_of.epoch_s.value == pytest.approx(0.5), "an epoch of the plan has two of these"
    assert told_of.study_s.value == pytest.approx(50 * (0.7 * 10 + 1))
    assert told_of.study_s.low < 50 * (0.2 * 10 + 1) and told_of.study_s.high > 50 * (10 + 1)


def test_other_forms_make_a_study_longer_but_for_its_least():
    whole, plan = Interval.exactly(1.0), plan_of(epochs=20, trials=100)
    alone = took(probes(8, 10, 12), whole, 0.0, plan, 2)
    forms = [probe.model_copy(update={"forms_s": probe.seconds}) for probe in probes(8, 10, 12)]
    harvested = took(forms, whole, 0.0, plan, 2)
    assert (alone.forms_s, harvested.forms_s) == (Interval.exactly(0.0), harvested.trial_s)
    assert harvested.trial_s == alone.trial_s and harvested.study_s.low == alone.study_s.low
    assert harvested.study_s.value == pytest.approx(2 * alone.study_s.value)
    assert harvested.study_s.high == pytest.approx(2 * alone.study_s.high)


def test_it_ends_when_its_time_is_up_and_one_trial_has_one_worker():
    whole = Interval.exactly(1.0)
    assert took(probes(10, 10), whole, 0, plan_of(epochs=20, trials=1), 8).study_s.value == 10
    short = took(probes(10, 10), whole, 0, plan_of(epochs=20, trials=99, timeout_s=60), 1)
    assert short.study_s == Interval.exactly(60.0)


def test_a_short_study_takes_what_its_ladder_takes():
    timed = [Timed(macs, *probes(macs / 100)) for macs in (100.0, 1000.0, 10_000.0)]
    course = Course(others=[100_000.0], climbed=4, ladder=[100.0, 100.0, 1000.0])
    fits = Interval(low=0.2, value=0.5, high=0.8)
    climbing = duration_of(timed, course, fits, 0.5, plan_of(epochs=20, trials=4), 1)
    assert climbing.climbed == 4 and climbing.study_s.value == pytest.approx(1 + 1 + 10 + 4 * 0.5)
    beyond = duration_of(timed, course, fits, 0.5, plan_of(epochs=20, trials=6), 1)
    assert beyond.study_s.value == pytest.approx(1 + 1 + 10 + 2 * 0.75 * 1000 + 6 * 0.5)


SEEN_S = st.lists(
    st.tuples(st.floats(1, 1e9), st.floats(0.01, 1e4), st.floats(0, 1e3)), min_size=1, max_size=6
)
SIZES = st.lists(st.floats(1, 1e9), max_size=9)


@given(SEEN_S, SIZES, SIZES, st.integers(0, 9), st.integers(1, 1000), st.integers(1, 64))
def test_a_duration_is_in_order_whatever_was_seen(seen, others, ladder, more, trials, workers):
    timed = [Timed(m, Probe(start_s=s / 2, epoch_s=s / 40, epochs=20, forms_s=f)) for m, s, f in seen]
    ladder = ladder[:trials]
    course = Course(others, min(trials, len(ladder) + more), ladder)
    plan = plan_of(epochs=20, trials=trials)
    study_s = duration_of(timed, course, share(3, 12), 0.5, plan, workers).study_s
    assert 0 < study_s.low <= study_s.value <= study_s.high


def test_figures_for_people():
    assert percent(Interval(low=0.12, value=0.22, high=0.353)) == "22 % (12 to 35 %)"
    assert percent(Interval(low=0.0, value=0.004, high=0.04)) == "0.4 % (0 to 4.0 %)"
    assert percent(Interval.exactly(1.0)) == "100 %"
    assert times(Interval(low=1.25, value=42, high=125)) == "42 s (1.2 s to 2:05 min)"
    assert (figure("model_bytes", 16384), figure("latency_ms", 0.5)) == ("16.0 KiB", "500 us")


class TableEvaluator:
    """Weighs by the bound on bytes and something more, as TensorFlow would; every third candidate fails."""

    def __init__(self, problem):
        self.problem, self.weighed, self.probed, self.siblings = problem, [], [], []

    def weigh(self, candidate, limited):
        assert limited == {"model_bytes"}
        self.weighed.append(candidate)
        size = least_bytes(candidate, self.problem) + 900
        found = Measurement(metric="model_bytes", value=size, source=SOURCE)
        return Evidence(measurements=(found,), seconds={"screen": 0.1})

    def probe(self, candidate, siblings):
        self.probed.append(candidate)
        self.siblings += siblings
        return Failed(error="NaN") if len(self.probed) % 3 == 0 else probes(10)[0]


@pytest.fixture
def prepared(tmp_path):
    """Return a maker of prepared plans over a small table."""

    def make(**plan):
        content = make_plan({"data": str(write_table(tmp_path / "three.npz")), **plan})
        return Prepared.of(content, Places(Home(tmp_path / "home")))

    return make


def test_a_space_is_drawn_weighed_and_probed(prepared):
    plan = prepared(limits={"model_bytes": 2500}, trials=50)
    evaluator, said = TableEvaluator(plan.problem), []
    forecast = _foreseen(plan, plan.plan.goals, evaluator, 2, said.append)
    candidates = list(drawn(plan, 2000))
    sizes = sorted(least_bytes(c, plan.problem) + 900 for c in candidates)
    true_share = sum(size <= 2500 for size in sizes) / len(sizes)
    fit = forecast.fit
    rungs = ladder_of(plan, 50)
    assert fit.candidates == len(candidates) > 1500
    assert fit.weighed == len(evaluator.weighed) - len(rungs) >= FEWEST_WEIGHED, "rungs are no random sample"
    assert fit.fits.low <= true_share <= fit.fits.high
    assert fit.binding == "model_bytes"
    half = sizes[len(sizes) // 2]
    assert fit.limits[0].half == pytest.approx(half, rel=0.4)
    assert all(least_bytes(c, plan.problem) + 900 <= 2500 for c in evaluator.probed)
    assert forecast.duration is not None and forecast.duration.probes == MOST_PROBES
    assert (forecast.duration.trials, forecast.duration.workers) == (50, 2)
    assert evaluator.siblings and said


def test_designs_of_the_ladder_are_timed_between_others(prepared):
    plan = prepared(limits={"model_bytes": 2500}, trials=50)
    evaluator = TableEvaluator(plan.problem)
    forecast = _foreseen(plan, plan.plan.goals, evaluator, 2, lambda _: None)
    rungs = [rung.candidate for rung in ladder_of(plan, 50)]
    assert forecast.duration is not None and forecast.duration.climbed == len(rungs) > 4
    probing = _Probing(evaluator, lambda _: (), plan.problem)
    small, other, large, *more = evaluator.probed
    assert {small, large} < set(rungs) and not {other, *more} & set(rungs)
    assert probing.size(small) < probing.size(large)


def test_without_a_ladder_or_in_a_study_of_one_trial_no_more_of_it_is_foretold(prepared):
    for changes, climbed in (({"without": ["ladder"]}, 0), ({"trials": 1}, 1)):
        plan = prepared(limits={"model_bytes": 2500}, **changes)
        forecast = _foreseen(plan, plan.plan.goals, TableEvaluator(plan.problem), 2, lambda _: None)
        assert forecast.duration is not None and forecast.duration.climbed == climbed


def test_a_strategy_without_harvest_offers_no_other_forms(prepared, monkeypatch):
    monkeypatch.setattr("search.foreseeing.DRAWN", 50)
    plan = prepared(trials=50, without=["harvest"])
    evaluator = TableEvaluator(plan.problem)
    _foreseen(plan, plan.plan.goals, evaluator, 2, lambda _: None)
    assert evaluator.probed and not evaluator.siblings


def shown(capsys, forecast):
    show(forecast)
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_a_forecast_for_people(capsys):
    found = samples(
        [(80, 1)] * 9 + [(110, 1)] * 3, beyond=[(200, 1)] * 2, passing=200, candidates=1000, goals=BYTES
    )
    plan = plan_of(epochs=20, trials=100)
    duration = took(probes(8, 10, 12), found.fit().fits, 1.0, plan, 2)
    forecast = Forecast(study="s", space="mlp", device="this-machine", fit=found.fit(), duration=duration)
    lines = shown(capsys, forecast)
    assert lines[0].startswith("1,000 candidates were drawn from the space mlp; 14 of them were built")
    assert lines[1] == "15 % (9.2 to 20 %) of the space fits"
    assert lines[2:4] == [
        "limit at breaks it half of the space keeps",
        "model_bytes 100 B 85 % (80 to 91 %) 200 B",
    ]
    assert lines[4].startswith("model_bytes binds")
    assert lines[5] == "200 B (200 B to 200 B) would let half of the space fit"
    assert lines[6].startswith(
        "a trial takes 5 s and 0.25 s an epoch: 10 s (8 s to 12 s) with 20 epochs (3 cand"
    )
    assert (
        lines[7].startswith("the study takes about 5:38 min (") and "for 100 trials on 2 workers" in lines[7]
    )


def test_what_other_forms_take_is_said(capsys):
    forms = [probe.model_copy(update={"forms_s": 3.0}) for probe in probes(8, 10, 12)]
    plan = plan_of(epochs=20, trials=100)
    duration = took(forms, Interval.exactly(1.0), 0.0, plan, 2, climbed=8, ladder=[100.0] * 7)
    fit = samples([], candidates=2000, goals=()).fit()
    lines = shown(capsys, Forecast(study="s", space="mlp", device="d", fit=fit, duration=duration))
    assert "offering a network in its other forms takes up to 3 s more" in "\n".join(lines)
    assert "the first 8 trials are proven designs" in "\n".join(lines)


def test_what_is_not_known_is_said(capsys):
    everything = samples([], candidates=2000, goals=()).fit()
    lines = shown(capsys, Forecast(study="s", space="mlp", device="d", fit=everything, duration=None))
    assert "everything fits" in lines[1] and "is not known" in lines[2]
    figures = [(120, 3)] * 6 + [(200, 1)] * 3 + [None]
    stuck = samples(figures, goals=(*BOTH, limit("compressed_bytes", 9.0))).fit()
    lines = shown(capsys, Forecast(study="s", space="mlp", device="d", fit=stuck, duration=None))
    assert "1 of these could not be made or run there" in lines
    assert "relaxing model_bytes alone would not let half of the space fit" in lines
    assert "only trained networks tell whether they keep the limit on compressed_bytes" in lines


def test_a_plan_narrows_what_is_drawn_and_the_same_seed_draws_the_same(prepared):
    plan = prepared(ranges={"layers": 1, "precision": ["int8"]})
    candidates = drawn(plan, 50)
    assert {c.compression.precision for c in candidates} == {"int8"}
    assert [c.digest for c in candidates] == [c.digest for c in drawn(plan, 50)]
    assert len({c.digest for c in candidates}) == len(candidates)


def test_nothing_fits_and_so_nothing_is_timed(prepared):
    plan = prepared(limits={"model_bytes": 300})
    evaluator = TableEvaluator(plan.problem)
    forecast = _foreseen(plan, plan.plan.goals, evaluator, 2, lambda _: None)
    assert forecast.fit.fits.value == 0 < forecast.fit.fits.high < 0.2
    assert forecast.duration is None and not evaluator.probed
    assert forecast.fit.relaxed is not None and forecast.fit.relaxed.value > 300


def test_the_bound_parts_the_candidates_and_both_parts_are_weighed_in_turns(prepared):
    plan = prepared(limits={"model_bytes": 800})
    fitting, rest = bounded(drawn(plan, 200), plan.plan.goals, plan)
    assert fitting and rest
    assert max(least_bytes(c, plan.problem) for c in fitting) <= 800
    assert min(least_bytes(c, plan.problem) for c in rest) > 800
    assert [passes for _, passes in _in_turns([1] * 4, [2] * 3)] == [
        True,
        True,
        True,
        False,
        True,
        False,
        False,
    ]


@pytest.mark.slow
def test_a_dry_run_tells_all_and_writes_no_study(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("search.foreseeing.WEIGHING_S", 1.0)
    monkeypatch.setattr("search.foreseeing.PROBING_S", 1.0)
    monkeypatch.setattr("search.foreseeing.FEWEST_WEIGHED", 4)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGESEARCH_HOME", str(tmp_path / "home"))
    write_table(tmp_path / "three.npz", samples=1200)  # of few samples there would be folds, each a training
    plan = ["study", "--data", "three.npz", "--epochs", "3"]
    limits = ["--max-model-bytes", "5K", "--max-latency-ms", "1"]
    with pytest.raises(SystemExit, match="0"):
        main([*plan, *limits, "--dry-run", "--json", "--executor", "in-process"])
    forecast = json.loads(capsys.readouterr().out)
    assert {found["metric"] for found in forecast["fit"]["limits"]} == {"model_bytes", "latency_ms"}
    assert 0 < forecast["fit"]["fits"]["low"] < forecast["fit"]["fits"]["high"] <= 1
    assert forecast["fit"]["weighed"] >= 4 and forecast["fit"]["unmade"] == 0
    took = forecast["duration"]
    assert took["workers"] == 1 and took["probes"] >= 2
    assert 0 < took["study_s"]["low"] < took["study_s"]["high"]
    kept = [path.relative_to(tmp_path / "home") for path in (tmp_path / "home").rglob("*") if path.is_file()]
    assert kept and {path.parts[0] for path in kept} == {"data"}
