"""What every runner keeps. A runner's tests subclass this and supply the fixtures `runner` and `models`."""

from pathlib import Path
from typing import get_args

import pytest

from hardware_profiles.anchor import anchor_path, anchor_sha256, calibrate
from hardware_profiles.errors import DeviceError, MeasuringFailed
from hardware_profiles.measurement import Verdict
from hardware_profiles.runners.base import Anchor, Runner


class RunnerContract:
    """Subclass with a fixture `runner` that can measure the anchor and the fixture `models` (two paths)."""

    def test_one_latency_per_model_in_the_order_asked(
        self, runner: Runner, models: tuple[Path, Path]
    ) -> None:
        small, large = models
        ascending = runner.measure([small, large], None)
        descending = runner.measure([large, small], None)
        assert ascending[0].latency_ms < ascending[1].latency_ms
        assert descending[1].latency_ms < descending[0].latency_ms

    def test_no_models_no_latencies(self, runner: Runner) -> None:
        assert runner.measure([], None) == ()

    def test_figures_are_in_order(self, runner: Runner, models: tuple[Path, Path]) -> None:
        for seen in runner.measure(models, None):
            assert seen.low_ms <= seen.latency_ms <= seen.high_ms
            assert seen.min_ms <= seen.median_ms <= seen.p90_ms <= seen.p99_ms
            assert seen.measurement.value == seen.latency_ms

    def test_source_says_where_the_number_comes_from(self, runner: Runner, models: tuple[Path, Path]) -> None:
        source = runner.measure(models[:1], None)[0].source
        assert source.provenance in ("measured", "emulated", "estimated")
        assert all((source.device, source.machine, source.runtime, source.threads))

    def test_a_verdict_goes_with_every_figure_and_throttling_before_all(
        self, runner: Runner, models: tuple[Path, Path]
    ) -> None:
        for seen in runner.measure(models, None):
            throttled = seen.conditions is not None and bool(seen.conditions.throttling)
            assert seen.verdict in get_args(Verdict)
            assert (seen.verdict == "throttled") == throttled

    def test_calibrates_and_measures_with_what_it_calibrated(
        self, runner: Runner, models: tuple[Path, Path]
    ) -> None:
        anchor = calibrate(runner, processes=2)
        assert anchor.sha256 == anchor_sha256()
        seen = runner.measure(models, anchor)
        assert len(seen) == len(models)
        assert {latency.source for latency in seen} == {anchor.source}

    def test_the_anchor_is_about_its_own_constant(self, runner: Runner) -> None:
        anchor: Anchor = calibrate(runner, processes=1)
        (seen,) = runner.measure([anchor_path()], anchor)
        assert seen.anchor_ratio == pytest.approx(1.0, rel=0.25)

    def test_a_missing_model_is_one_line_with_its_name(self, runner: Runner, tmp_path: Path) -> None:
        with pytest.raises(MeasuringFailed, match=r"gone\.tflite") as caught:
            runner.measure([tmp_path / "gone.tflite"], None)
        assert "\n" not in str(caught.value)

    def test_a_file_that_is_no_model_is_one_line(self, runner: Runner, tmp_path: Path) -> None:
        wrong = tmp_path / "wrong.tflite"
        wrong.write_bytes(b"this is no flatbuffer, whatever its name says")
        with pytest.raises(MeasuringFailed, match=r"wrong\.tflite") as caught:
            runner.measure([wrong], None)
        assert isinstance(caught.value, DeviceError)
        assert "\n" not in str(caught.value)
