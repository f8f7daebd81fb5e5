"""What benchmark_model prints, read; and what a latency makes of it."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_profiles.benchmark_model import (
    NotDelegated,
    Runs,
    Unreadable,
    complaint,
    delegated,
    judge,
    read_runs,
)
from hardware_profiles.measurement import Source

SOURCE = Source(provenance="measured", device="phone", machine="m", runtime="benchmark_model cpu", threads=1)
WARM_UP = "INFO: count=9 first=91020 curr=55300 min=54900 max=91020 avg=60125.5 std=11800"
TIMED = "INFO: count=20 first=31500 curr=30900 min=30718 max=36410 avg=31118.1 std=1323"
QUANTILES = " p5=30720 median=30990 p95=34000"
END = (
    "INFO: Inference timings in us: Init: 21432, First inference: 91020, "
    "Warmup (avg): 60125.5, Inference (avg): 31118.1"
)


def log(timed: str = TIMED + QUANTILES, extra: str = "") -> str:
    return f"INFO: STARTING!\nINFO: Graph: [a.tflite]\n{extra}\n{WARM_UP}\n\n{timed}\n\n{END}\n"


def test_the_timed_runs_are_read_not_the_warm_up() -> None:
    assert read_runs(log()) == Runs(
        count=20, min_us=30718, max_us=36410, avg_us=31118.1, median_us=30990, p95_us=34000
    )


def test_an_older_program_prints_no_quantiles() -> None:
    assert read_runs(log(TIMED)) == Runs(count=20, min_us=30718, max_us=36410, avg_us=31118.1)


def test_numbers_may_have_exponents() -> None:
    timed = "count=5 first=9992420 curr=9992420 min=9992420 max=10013451 avg=1.00005e+07 std=9"
    assert read_runs(log(timed)).avg_us == 1.00005e7


@pytest.mark.parametrize(("timed", "count"), [("count=50 curr=7(all same)", 50), ("count=1 curr=7", 1)])
def test_runs_that_all_took_as_long(timed: str, count: int) -> None:
    assert read_runs(log(timed)) == Runs(count=count, min_us=7, max_us=7, avg_us=7, median_us=7, p95_us=7)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        log().replace(END, ""),
        log().replace(WARM_UP, ""),
        log("count=0"),
        log("count=20 first=3 curr=3 min=-3 max=3 avg=3 std=0"),
        log("count=20 first=3 curr=3 min=nan max=3 avg=3 std=0"),
        log("count=20 first=3 curr=3 min=3 max=3"),
        log("count=20 first=3 curr=3 min=9 max=3 avg=3 std=0"),
        log("count=20 first=3 curr=3 min=3 max=9 avg=30 std=0"),
        log("count=20 first=3 curr=3 min=3 max=9 avg=4 std=0 p5=3 median=8 p95=4"),
        log("count=20 first=3 curr=3 min=1.2.3 max=9 avg=4 std=0"),
    ],
)
def test_what_makes_no_sense_is_refused_on_one_line(text: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read_runs(text)
    assert "\n" not in str(caught.value)


@given(st.integers(0, 200), st.text(string.printable, max_size=40))
def test_a_log_cut_anywhere_before_its_end_is_refused(cut: int, garbage: str) -> None:
    whole = log()
    shortened = whole[: max(0, whole.index(END) - cut)]
    with pytest.raises(Unreadable):
        read_runs(shortened + garbage)


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=50))
def test_what_the_program_would_print_is_read_back(durations: list[int]) -> None:
    ordered, mean = sorted(durations), sum(durations) / len(durations)
    middle, late = ordered[len(ordered) // 2], ordered[int(0.95 * len(ordered))]
    timed = (
        f"count={len(ordered)} first={durations[0]} curr={durations[-1]} min={ordered[0]} max={ordered[-1]} "
    )
    timed += f"avg={mean:.6g} std=1 p5={ordered[0]} median={middle} p95={late}"
    runs = read_runs(log(timed))
    assert (runs.count, runs.min_us, runs.max_us) == (len(ordered), ordered[0], ordered[-1])
    assert (runs.median_us, runs.p95_us) == (middle, late)


ALL = (
    "INFO: Explicitly applied GPU delegate, and the model graph will be completely executed by the delegate."
)
SOME = (
    "INFO: Explicitly applied GPU delegate, and the model graph will be partially executed by the "
    "delegate w/ 2 delegate kernels."
)
NONE = (
    "INFO: Though GPU delegate is explicitly applied, the model graph will not be executed by the delegate."
)
TWELVE = "VERBOSE: Replacing 12 out of 14 node(s) with delegate (TfLiteGpuDelegateV2) node,\n"
XNNPACK = "VERBOSE: Replacing 2 out of 3 node(s) with delegate (TfLiteXNNPackDelegate) node\n"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (ALL, ""),
        ("Applied GPU delegate, and the model graph will be completely executed w/ the delegate.", ""),
        (TWELVE + SOME, "12 of 14 nodes"),
        (TWELVE + XNNPACK + SOME, "12 of 14 nodes"),
        (XNNPACK + SOME, "some of its nodes"),
        ("Replacing 12 node(s) with delegate (TfLiteGpuDelegateV2) node\n" + SOME, "some of its nodes"),
        (TWELVE.replace("TfLiteGpuDelegateV2", "LITERT_CL") + SOME, "12 of 14 nodes"),
    ],
)
def test_how_much_an_accelerator_took(text: str, part: str) -> None:
    assert delegated(text, "gpu") == part


@pytest.mark.parametrize(
    "text", ["", NONE, TWELVE + NONE, XNNPACK, ALL.replace("GPU", "XNNPACK"), TWELVE, ALL + "\n" + NONE]
)
def test_a_run_that_was_not_delegated_is_no_figure_of_the_accelerator(text: str) -> None:
    with pytest.raises(NotDelegated, match="gpu"):
        delegated(text, "gpu")


def test_each_accelerator_has_its_own_delegate() -> None:
    text = ALL.replace("GPU", "NNAPI") + "\n" + NONE
    assert delegated(text, "nnapi") == ""
    with pytest.raises(NotDelegated):
        delegated(text, "hexagon")


def test_the_first_complaint_is_told() -> None:
    assert (
        complaint("INFO: a\nERROR: Failed to load model\nERROR: Benchmarking failed.")
        == "Failed to load model"
    )
    assert complaint("INFO: no ERROR") is None


def runs(least: float, *, quantiles: bool = True, avg: float | None = None) -> Runs:
    known = {"median_us": 2 * least, "p95_us": 3 * least} if quantiles else {}
    return Runs(count=50, min_us=least, max_us=4 * least, avg_us=avg or 2 * least, **known)


def test_a_model_of_twice_the_anchors_duration() -> None:
    seen = judge([(runs(1000), runs(2000), runs(1000))] * 6, 0.999, SOURCE)
    assert seen.anchor_ratio == pytest.approx(2, rel=1e-3)
    assert seen.latency_ms == pytest.approx(2 * 0.999, rel=1e-3)
    assert (seen.min_ms, seen.median_ms, seen.p90_ms, seen.p99_ms) == (2.0005, 4, 6, 8)
    assert (seen.verdict, seen.runs, seen.source) == ("stable", 300, SOURCE)


def test_without_quantiles_those_of_the_averages_stand() -> None:
    rounds = [(runs(1000), runs(2000, quantiles=False, avg=3000 + n), runs(1000)) for n in range(11)]
    seen = judge(rounds, None, SOURCE)
    assert (seen.median_ms, seen.p90_ms) == (3.005, 3.009)
    assert seen.p99_ms <= 3.010


def test_what_the_clock_cannot_tell_widens_the_interval() -> None:
    wide = judge([(runs(4), runs(4), runs(4))] * 6, None, SOURCE)
    sharp = judge([(runs(4000), runs(4000), runs(4000))] * 6, None, SOURCE)
    assert wide.verdict == "noisy" and sharp.verdict == "stable"
    assert wide.low_ms / wide.latency_ms < 0.85
    assert sharp.low_ms / sharp.latency_ms > 0.95
    assert wide.high_ms / wide.latency_ms > 1.2


@given(st.lists(st.tuples(*[st.integers(0, 10**7)] * 3), min_size=1, max_size=12), st.booleans())
def test_any_rounds_give_figures_in_order(minima: list[tuple[int, int, int]], quantiles: bool) -> None:
    rounds = [tuple(runs(least, quantiles=quantiles) for least in one) for one in minima]
    seen = judge(rounds, None, SOURCE)
    assert 0 < seen.low_ms <= seen.latency_ms <= seen.high_ms
    assert 0 < seen.min_ms <= seen.median_ms <= seen.p90_ms <= seen.p99_ms
