"""The statistics of measuring, on machines whose truth is known because they are made up.

A machine is a sequence of states, each a factor on the anchor's and another on the model's duration
(clock steps slow both alike, a neighbour on the same core does not), with spikes on top. It is busy
in spells of ten rounds, for a share of the run that is exact, in random order; so is its clock low. Copies of
a model, which lie elsewhere in memory, take turns of three rounds.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_profiles.measurement import Source
from hardware_profiles.statistics import (
    FEWEST_QUICK,
    PLACEMENT,
    Ratio,
    Timing,
    drift,
    latency,
    levels_of_copies,
    placement,
    quantile_interval,
    quick_rounds,
    ratio_to_anchor,
    verdict,
)

ANCHOR_NS = 11_000.0
SOURCE = Source(provenance="measured", device="d")


@dataclass(frozen=True)
class Machine:
    """How a made-up machine disturbs what runs on it."""

    load: float = 1.0
    busy_share: float = 0.0
    busy_anchor: float = 1.8
    busy_model: float = 1.25
    spike_share: float = 0.02
    clock_end: float = 1.0
    model_end: float = 1.0
    low_clock: float = 1.2
    low_clock_share: float = 0.0
    copies: tuple[float, ...] = (1.0,)

    def run(self, ratio: float, rounds: int, seed: int) -> Timing:
        """Return what a run of so many rounds sees of a model that takes `ratio` anchors."""
        rng = np.random.default_rng(seed)
        low, busy = (self.spells(rng, share, rounds) for share in (self.low_clock_share, self.busy_share))
        clock = self.load * np.linspace(1, self.clock_end, rounds) * np.where(low, self.low_clock, 1)
        copies = np.arange(rounds) // 3 % len(self.copies)
        on_anchor = clock * np.where(busy, self.busy_anchor, 1)
        on_model = clock * np.where(busy, self.busy_model, 1) * np.linspace(1, self.model_end, rounds)
        before, after = (ANCHOR_NS * on_anchor * self.noise(rng, rounds) for _ in range(2))
        model = ratio * ANCHOR_NS * on_model * np.array(self.copies)[copies] * self.noise(rng, rounds)
        quantiles = np.percentile(model * 1.1, [50, 90, 99])
        return Timing(
            min_ns=model.min(),
            median_ns=quantiles[0],
            p90_ns=quantiles[1],
            p99_ns=quantiles[2],
            runs=rounds,
            rounds=tuple(zip(before.tolist(), model.tolist(), after.tolist(), strict=True)),
            copies=tuple(copies.tolist()),
        )

    def spells(self, rng: np.random.Generator, share: float, rounds: int) -> np.ndarray:
        """Tell for each round whether it is one of a share of the spells."""
        spells = rounds // 10 + 1
        return np.repeat(rng.permutation(spells) < share * spells, 10)[:rounds]

    def noise(self, rng: np.random.Generator, rounds: int) -> np.ndarray:
        """Return factors: a fraction of a percent, and now and then a spike of up to a hundredfold."""
        spikes = np.where(rng.random(rounds) < self.spike_share, 10 ** rng.uniform(0, 2, rounds), 1)
        return (1 + np.abs(rng.normal(0, 0.003, rounds))) * spikes


QUIET = Machine()
SPIKY = Machine(spike_share=0.3)
CONTENDED = Machine(busy_share=0.8)
HOT = Machine(clock_end=1.2)
STEPPING = Machine(low_clock_share=0.7)
EVERYTHING = Machine(low_clock_share=0.5, busy_share=0.5, spike_share=0.1, clock_end=1.03)
ALIKE = Machine(copies=(1.0, 1.004, 0.997))
PLACED = Machine(copies=(0.9, 1.0, 1.12))
UNDISTURBED = (QUIET, SPIKY, CONTENDED, HOT, STEPPING, EVERYTHING, ALIKE)
ratios = st.floats(0.05, 500)
seeds = st.integers(0, 10_000)


@given(ratio=ratios, seed=seeds, machine=st.sampled_from(UNDISTURBED))
def test_the_truth_is_found_however_the_machine_is_disturbed(
    ratio: float, seed: int, machine: Machine
) -> None:
    timing = machine.run(ratio, 400, seed)
    found = ratio_to_anchor(timing, ANCHOR_NS)
    assert found.quick_rounds >= FEWEST_QUICK
    assert found.value == pytest.approx(ratio, rel=0.02)
    assert found.low <= ratio <= found.high
    assert verdict(found) == "stable"


def test_the_plain_statistics_would_not_have_found_it() -> None:
    medians = [CONTENDED.run(1.0, 400, seed).median_ns for seed in range(20)]
    assert np.median(medians) > 1.2 * ANCHOR_NS


@given(ratio=ratios, seed=seeds, load=st.floats(1.3, 20))
def test_a_load_that_slows_everything_alike_cancels(ratio: float, seed: int, load: float) -> None:
    found = ratio_to_anchor(Machine(load=load).run(ratio, 100, seed), ANCHOR_NS)
    assert found.value == pytest.approx(ratio, rel=0.02)
    assert verdict(found) == "noisy"


@given(ratio=ratios, seed=seeds, on_model=st.floats(1.0, 1.8))
def test_where_it_was_never_quick_the_interval_says_how_much_is_unknown(
    ratio: float, seed: int, on_model: float
) -> None:
    timing = Machine(busy_share=1.0, busy_anchor=1.8, busy_model=on_model).run(ratio, 100, seed)
    seen = latency(timing, min(before for before, _, _ in timing.rounds), ANCHOR_NS / 1e6, SOURCE)
    truth_ms = ratio * ANCHOR_NS / 1e6
    assert seen.verdict == "noisy"
    assert seen.low_ms <= truth_ms <= seen.high_ms
    assert seen.latency_ms <= truth_ms * 1.02


@given(seed=seeds, ratio=ratios)
def test_a_model_that_slows_down_on_its_own_is_drifting(seed: int, ratio: float) -> None:
    found = ratio_to_anchor(Machine(model_end=1.24, spike_share=0).run(ratio, 200, seed), ANCHOR_NS)
    assert verdict(found) == "drifting"


@given(ratio=ratios, seed=seeds, faster=st.floats(1.06, 3))
def test_models_are_ranked_rightly_in_different_weather(ratio: float, seed: int, faster: float) -> None:
    slow, quick = QUIET.run(ratio * faster, 200, seed), CONTENDED.run(ratio, 400, seed + 1)
    assert ratio_to_anchor(quick, ANCHOR_NS).value < ratio_to_anchor(slow, ANCHOR_NS).value


def test_the_interval_keeps_its_promise_in_repeats() -> None:
    found = [ratio_to_anchor(CONTENDED.run(3.0, 300, seed), ANCHOR_NS) for seed in range(200)]
    best = np.median([one.value for one in found])
    assert np.mean([one.low <= best <= one.high for one in found]) >= 0.95
    assert np.median([(one.high - one.low) / one.value for one in found]) < 3 * PLACEMENT


@given(ratio=ratios, seed=seeds, scale=st.floats(0.01, 1000))
def test_a_machine_of_another_speed_gives_the_same_ratio(ratio: float, seed: int, scale: float) -> None:
    timing = CONTENDED.run(ratio, 60, seed)
    scaled = timing.model_copy(
        update={"rounds": tuple((b * scale, m * scale, a * scale) for b, m, a in timing.rounds)}
    )
    there = ratio_to_anchor(scaled, ANCHOR_NS * scale)
    assert there.value == pytest.approx(ratio_to_anchor(timing, ANCHOR_NS).value, rel=1e-6)


positive = st.floats(1, 1e12)


@given(
    rounds=st.lists(st.tuples(positive, positive, positive), min_size=1, max_size=60),
    constant=st.floats(1e-5, 1e4),
)
def test_any_rounds_at_all_give_figures_in_order(
    rounds: list[tuple[float, float, float]], constant: float
) -> None:
    fastest = min(middle for _, middle, _ in rounds)
    timing = Timing(
        min_ns=fastest, median_ns=fastest, p90_ns=fastest, p99_ns=fastest, runs=1, rounds=tuple(rounds)
    )
    seen = latency(timing, min(before for before, _, _ in rounds), constant, SOURCE)
    assert seen.low_ms <= seen.latency_ms <= seen.high_ms
    assert seen.latency_ms == pytest.approx(seen.anchor_ratio * constant)


def test_quick_rounds_are_quick_before_after_and_within() -> None:
    rounds = np.array(
        [[10, 5, 10], [10, 5, 18], [18, 5, 10], [10, 9, 10], [12, 5, 12], [13, 5, 13], [10, 5, 10.3]]
    )
    assert quick_rounds(rounds, 10).tolist() == [True, False, False, False, True, False, False]


@given(values=st.lists(st.floats(0.1, 10), min_size=1, max_size=200), quantile=st.sampled_from([0.25, 0.5]))
def test_a_quantiles_interval_holds_its_estimate(values: list[float], quantile: float) -> None:
    low, high = quantile_interval(np.array(values), quantile)
    assert min(values) <= low <= np.quantile(values, quantile) <= high <= max(values)


def test_a_quantiles_interval_covers_it_95_times_of_100() -> None:
    rng = np.random.default_rng(0)
    truth = np.quantile(rng.exponential(size=1_000_000), 0.25)
    intervals = [quantile_interval(rng.exponential(size=40), 0.25) for _ in range(1000)]
    assert np.mean([low <= truth <= high for low, high in intervals]) >= 0.95


def test_drift_needs_enough_to_judge_by() -> None:
    halves = np.array([1.0] * FEWEST_QUICK + [1.5] * FEWEST_QUICK)
    assert drift(halves, 0.5) == pytest.approx(0.5)
    assert drift(halves[1:], 0.5) == 0.0


def test_a_wide_interval_is_noisy() -> None:
    ratio = Ratio(value=1.0, low=0.9, high=1.1, quick_rounds=50, drift=0.0)
    assert verdict(ratio) == "noisy"
    assert verdict(ratio.model_copy(update={"low": 0.98, "high": 1.02})) == "stable"


def test_a_timing_without_rounds_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one round"):
        Timing(min_ns=1, median_ns=1, p90_ns=1, p99_ns=1, runs=1, rounds=())


@given(ratio=ratios, seed=seeds, rounds=st.integers(60, 400))
def test_where_copies_differ_so_may_the_next_process(ratio: float, seed: int, rounds: int) -> None:
    timing = PLACED.run(ratio, rounds, seed)
    found = ratio_to_anchor(timing, ANCHOR_NS)
    assert verdict(found) == "noisy"
    for copy in PLACED.copies:
        assert found.low <= copy * ratio <= found.high


def test_copies_that_differ_would_not_be_seen_without_knowing_which_is_which() -> None:
    timing = PLACED.run(1.0, 300, 0).model_copy(update={"copies": ()})
    found = ratio_to_anchor(timing, ANCHOR_NS)
    assert verdict(found) == "stable"
    assert found.high < max(PLACED.copies)


def test_what_other_processes_find_lies_in_the_interval_of_one() -> None:
    rng = np.random.default_rng(0)
    placed = [Machine(copies=tuple(rng.uniform(0.9, 1.1, 3).tolist())) for _ in range(200)]
    seen = [machine.run(1.0, 100, seed) for seed, machine in enumerate(placed)]
    found = [ratio_to_anchor(timing, ANCHOR_NS) for timing in seen]
    typical = np.median([one.value for one in found])
    assert np.mean([one.low <= typical <= one.high for one in found]) >= 0.9
    unaware = [ratio_to_anchor(timing.model_copy(update={"copies": ()}), ANCHOR_NS) for timing in seen]
    assert np.mean([one.low <= typical <= one.high for one in unaware]) < 0.75


@given(ratio=ratios, seed=seeds)
def test_copies_that_are_alike_change_next_to_nothing(ratio: float, seed: int) -> None:
    timing = ALIKE.run(ratio, 300, seed)
    alike, alone = (
        ratio_to_anchor(one, ANCHOR_NS) for one in (timing, timing.model_copy(update={"copies": ()}))
    )
    # A spike at the very border of QUICK may count by one copy's standard and not by that of all.
    for field in ("value", "low", "high"):
        assert getattr(alike, field) == pytest.approx(getattr(alone, field), rel=0.002)
    assert verdict(alike) == "stable"


def test_a_slow_copy_is_neither_disturbed_nor_a_drift() -> None:
    machine = Machine(copies=(1.0, 1.0, 1.5), spike_share=0)
    short = ratio_to_anchor(machine.run(1.0, 18, 0), ANCHOR_NS)
    assert short.quick_rounds == 18
    assert abs(short.drift) < 0.01


def test_of_a_copy_that_was_hardly_seen_nothing_is_said() -> None:
    values, copies = np.array([1.0, 1.0, 1.0, 1.0, 9.0]), np.array([0, 0, 0, 0, 1])
    assert levels_of_copies(values, copies, 0.25).tolist() == [1.0] * 5
    assert placement(np.array([1.0])) == PLACEMENT


def test_every_round_has_its_copy() -> None:
    with pytest.raises(ValueError, match="every round has a copy, got 2 for 1 rounds"):
        Timing(min_ns=1, median_ns=1, p90_ns=1, p99_ns=1, runs=1, rounds=((1, 1, 1),), copies=(0, 1))
