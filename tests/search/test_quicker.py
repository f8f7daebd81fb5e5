"""Which file is quicker: said only where intervals are apart and the circumstances are the same."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "hardware_profiles"))  # for int8_models

from int8_models import small_cnn

from hardware_profiles.errors import MeasuringFailed
from hardware_profiles.graph import Graph, read_graph
from hardware_profiles.measurement import Latency, Source
from search.agreement import compared
from search.measured import Content, Measured
from search.measured_sheet import VERDICTS, lines
from search.quicker import names_of, times, verdicts
from search.shipment import TensorSpec

GRAPHS = {
    "int8": read_graph(small_cnn()),
    "float32": read_graph(small_cnn("FLOAT32", "FLOAT32")),
    None: Graph((), (), (), ()),
}
UNKNOWN = {"arena_bytes": "not asked", "agreement": "not asked", "unsupported_ops": "not asked"}


def measured(name, latency_ms, precision=None, *, verdict="stable", **source):
    content = Content(1, 1, GRAPHS[precision], (), ())
    if latency_ms is None:
        return Measured(Path(name), "a-board", content, reasons=UNKNOWN | {"latency_ms": "why not"})
    made = Source(**{"provenance": "measured", "device": "a-board", "machine": "m-1", **source})
    latency = Latency(
        latency_ms=latency_ms, low_ms=latency_ms * 0.98, high_ms=latency_ms * 1.02, min_ms=latency_ms,
        median_ms=latency_ms, p90_ms=latency_ms, p99_ms=latency_ms, anchor_ratio=1.0, runs=3,
        verdict=verdict, source=made,
    )  # fmt: skip
    figures = {"latency_ms": latency.measurement}
    return Measured(Path(name), "a-board", content, latency, figures, reasons=UNKNOWN)


def test_the_quicker_one_is_named_only_if_the_intervals_are_apart():
    slow, quick, near = measured("slow", 2.0), measured("quick", 1.0), measured("near", 1.02)
    assert verdicts([slow, quick]) == ["quick is 2.00 (1.92–2.08) times as quick as slow"]
    (said,) = verdicts([near, quick])
    assert said.startswith("quick and near are equally quick, as far as can be told")
    assert len(verdicts([slow, quick, near])) == 2
    assert verdicts([slow]) == []


def test_the_interval_of_a_ratio_holds_the_ratio_of_all_that_the_intervals_hold():
    ratio = times(measured("a", 3.0).timed, measured("b", 2.0).timed)
    assert ratio.low == pytest.approx(1.5 * 0.98 / 1.02) and ratio.high == pytest.approx(1.5 * 1.02 / 0.98)
    assert ratio.apart


@pytest.mark.parametrize(
    ("float_ms", "int8_ms", "said"),
    [
        (2.0, 1.0, "int8 is really quicker than float on a-board: i is 2.00 (1.92–2.08) times as quick as f"),
        (1.0, 1.5, "int8 is slower than float on a-board: i takes 1.50 (1.44–1.56) times as long as f"),
        (1.0, 1.01, "int8 is not seen to be quicker than float on a-board: i and f take as long"),
        (None, 1.0, "whether int8 is quicker than float on a-board cannot be told: the latency of f is not"),
    ],
)
def test_int8_against_float_has_an_answer_of_its_own(float_ms, int8_ms, said):
    (sentence,) = verdicts([measured("f", float_ms, "float32"), measured("i", int8_ms, "int8")])
    assert sentence.startswith(said)


def test_figures_of_different_machines_are_not_held_against_each_other():
    here, there = measured("f", 2.0, "float32"), measured("i", 1.0, "int8", machine="m-2")
    (sentence,) = verdicts([here, there])
    assert "cannot be told" in sentence and "machine" in sentence
    (sentence,) = verdicts([measured("a", 2.0), measured("b", 1.0, provenance="estimated")])
    assert "are not held against each other" in sentence


def test_how_much_an_accelerator_took_is_no_other_circumstance():
    part = measured("a", 2.0, runtime="benchmark_model gpu (12 of 14 nodes)")
    assert "times as quick" in verdicts([part, measured("b", 1.0, runtime="benchmark_model gpu")])[0]


def test_estimates_and_shaky_figures_say_so():
    estimates = [measured(name, ms, provenance="estimated") for name, ms in (("a", 2.0), ("b", 1.0))]
    assert verdicts(estimates)[0].endswith(", estimated")
    shaky = verdicts([measured("a", 2.0, verdict="noisy"), measured("b", 1.0)])[0]
    assert "a was noisy" in shaky


@pytest.mark.parametrize(("verdict", "said"), VERDICTS.items())
def test_a_verdict_is_explained_unless_it_is_stable(verdict, said):
    assert any(said in text for _, text in lines(measured("a", 2.0, verdict=verdict)))
    assert not any(said in text for _, text in lines(measured("a", 2.0)))


def test_files_of_one_name_are_told_apart_by_their_path():
    files = [measured("x/m.tflite", 1.0), measured("y/m.tflite", 2.0)]
    assert list(names_of(files).values()) == ["x/m.tflite", "y/m.tflite"]


SPEC = TensorSpec(name="out", shape=(1, 3), dtype="int8", scale=0.5, zero_point=-10)


def test_outputs_are_compared_in_their_unit_and_in_steps():
    here = np.array([[1, 2, 3], [9, 5, 6]], dtype=np.int8)
    there = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.int8)
    seen = compared(SPEC, here, there)
    assert (seen.max_steps, seen.max_difference, seen.largest, seen.equal_argmax) == (5, 2.5, 9.5, 0.5)
    plain = TensorSpec(name="out", shape=(1, 2, 2), dtype="float32")
    ones = np.ones((4, 2, 2), np.float32)
    seen = compared(plain, ones, ones * np.float32(1.5))
    assert (seen.max_steps, seen.max_difference, seen.equal_argmax) == (None, 0.5, None)


def test_extremes_of_a_type_do_not_wrap():
    ends = np.array([[-128, 0, 127]], dtype=np.int8)
    assert compared(SPEC, ends, ends[:, ::-1].copy()).max_steps == 255


def test_outputs_of_another_shape_are_not_compared():
    with pytest.raises(MeasuringFailed, match="'out'"):
        compared(SPEC, np.zeros((8, 3), np.int8), np.zeros((8, 4), np.int8))
