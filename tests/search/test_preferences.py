"""Choosing what to ship: each preference's rule, limits, numbers, and what is said when nothing is left."""

from collections.abc import Callable

import pytest

from search.errors import StudyError
from search.limits import Limits
from search.preferences import choose, prefer_one
from search.trial import StudyRecord, TrialRecord

MakeTrial = Callable[..., TrialRecord]
MakeStudy = Callable[..., StudyRecord]


@pytest.fixture
def study(make_trial: MakeTrial, make_study: MakeStudy) -> StudyRecord:
    """A front from accurate and slow (0) over good bargains (1 to 3) to useless and tiny (4)."""
    return make_study(
        [
            make_trial(0, 0.980, 0.100, 90_000),
            make_trial(1, 0.965, 0.020, 30_000),
            make_trial(2, 0.962, 0.030, 12_000),
            make_trial(3, 0.940, 0.005, 5_000),
            make_trial(4, 0.200, 0.001, 1_000),
            make_trial(5, None, None, None, state="failed"),
            make_trial(6, None, 0.5, 2_000, state="running"),
        ]
    )


@pytest.mark.parametrize(
    ("preference", "number"), [("accuracy", 0), ("latency", 1), ("size", 2), ("balanced", 3)]
)
def test_each_preference_has_its_own_trial_and_none_takes_the_useless_one(
    study: StudyRecord, preference: str, number: int
) -> None:
    assert choose(study, prefer=preference).number == number  # type: ignore[arg-type]


def test_accuracy_prefers_the_quicker_then_the_smaller_of_equals(
    make_trial: MakeTrial, make_study: MakeStudy
) -> None:
    records = [make_trial(0, 0.9, 0.2, 500), make_trial(1, 0.9, 0.1, 900), make_trial(2, 0.9, 0.1, 800)]
    assert prefer_one(records, "accuracy", make_study(records)).number == 2


def test_the_tolerance_counts_from_the_best_that_keeps_the_limits(study: StudyRecord) -> None:
    assert choose(study, prefer="latency", limits=Limits(latency_ms=0.01)).number == 3


def test_exactly_two_points_below_are_within(make_trial: MakeTrial, make_study: MakeStudy) -> None:
    records = [
        make_trial(0, 0.98, 0.1, 900),
        make_trial(1, 0.96, 0.05, 900),
        make_trial(2, 0.9599, 0.01, 900),
    ]
    assert choose(make_study(records), prefer="latency").number == 1


def test_a_metric_to_minimise_spends_points_of_the_majoritys_value(
    make_trial: MakeTrial, make_study: MakeStudy
) -> None:
    records = [
        make_trial(0, 0.010, 0.1, 900),
        make_trial(1, 0.011, 0.05, 900),
        make_trial(2, 0.013, 0.01, 900),
    ]
    study = make_study(records, metric="mine:loss", metric_direction="minimize")
    assert study.majority_accuracy == 0.1
    assert choose(study, prefer="accuracy").number == 0
    assert choose(study, prefer="latency").number == 1


def test_balanced_tells_slow_models_apart_beyond_the_scale(
    make_trial: MakeTrial, make_study: MakeStudy
) -> None:
    records = [make_trial(0, 0.9, 50, 9_000), make_trial(1, 0.899, 5, 9_000)]
    assert choose(make_study(records), prefer="balanced").number == 1


def test_limits_are_kept_beside_the_preference(study: StudyRecord) -> None:
    assert choose(study, prefer="accuracy", limits=Limits(model_bytes=40_000)).number == 1
    assert choose(study, prefer="size", limits=Limits(accuracy=0.97)).number == 0


def test_a_limit_on_p90_lets_a_trial_through_that_min_alone_would_hide(
    make_trial: MakeTrial, make_study: MakeStudy
) -> None:
    records = [make_trial(0, 0.9, 0.10, 900), make_trial(1, 0.8, 0.05, 900)]
    study = make_study(records, limit_on="p90")
    assert choose(study, prefer="accuracy", limits=Limits(latency_ms=0.15)).number == 1


def test_when_nothing_is_left_the_nearest_and_its_limit_are_named(study: StudyRecord) -> None:
    with pytest.raises(
        StudyError, match=r"nearest is trial 4, where latency_ms is 0\.001 against a limit of 0\.0005"
    ):
        choose(study, limits=Limits(latency_ms=0.0005))


def test_without_a_measured_trial_that_is_said(make_trial: MakeTrial, make_study: MakeStudy) -> None:
    with pytest.raises(StudyError, match="no measured trial to choose from; `edgesearch trials try-1`"):
        choose(make_study([make_trial(0, state="failed")]))


def test_a_number_chooses_that_trial_whatever_its_worth(study: StudyRecord) -> None:
    assert choose(study, prefer="accuracy", trial=4).number == 4


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (99, r"no trial 99 \(it has 0 to 6\)"),
        (5, r"trial 5 is failed \(the loss became NaN\); `edgesearch front try-1`"),
        (6, "trial 6 is running; "),
    ],
)
def test_a_number_that_cannot_be_chosen_says_why(study: StudyRecord, number: int, reason: str) -> None:
    with pytest.raises(StudyError, match=reason):
        choose(study, trial=number)


def test_a_study_without_trials_says_so(make_study: MakeStudy) -> None:
    with pytest.raises(StudyError, match="none yet"):
        choose(make_study([]), trial=0)


def test_a_figure_that_was_not_measured_cannot_be_preferred(
    make_trial: MakeTrial, make_study: MakeStudy
) -> None:
    study = make_study([make_trial(0, 0.9, None, 900)], objectives=("accuracy", "model_bytes"))
    assert choose(study, prefer="balanced").number == 0
    with pytest.raises(StudyError, match="did not measure latency_ms"):
        choose(study, prefer="latency")
