"""What every estimator keeps. Its tests subclass this and supply the fixtures `estimator` and `model`."""

import math
from pathlib import Path

import pytest

from hardware_profiles.errors import MeasuringFailed
from hardware_profiles.runners.base import Estimate, Estimates


class EstimatesContract:
    """Subclass with a fixture `estimator` and a fixture `model`, a path that it can tell something of."""

    def test_has_the_seam(self, estimator: Estimates) -> None:
        assert isinstance(estimator, Estimates)

    def test_every_figure_is_estimated_and_in_its_range(self, estimator: Estimates, model: Path) -> None:
        estimate = estimator.estimate(model)
        assert isinstance(estimate, Estimate) and estimate.measurements
        for measurement in estimate.measurements:
            assert measurement.low is not None and measurement.high is not None
            assert 0 <= measurement.low <= measurement.value <= measurement.high < math.inf
            assert measurement.source.provenance == "estimated"
            assert measurement.source.device and measurement.source.runtime
            assert measurement.source.machine is None

    def test_a_metric_is_given_once(self, estimator: Estimates, model: Path) -> None:
        metrics = [measurement.metric for measurement in estimator.estimate(model).measurements]
        assert len(set(metrics)) == len(metrics)

    def test_what_stands_in_the_way_is_said_in_lines(self, estimator: Estimates, model: Path) -> None:
        remarks = estimator.estimate(model).remarks
        assert remarks and all(remark.strip() and "\n" not in remark for remark in remarks)

    def test_the_same_again(self, estimator: Estimates, model: Path) -> None:
        assert estimator.estimate(model) == estimator.estimate(model)

    def test_a_name_like_an_option_is_a_name(
        self, estimator: Estimates, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        strange = Path("--help; $(touch bad).tflite")
        strange.write_bytes(model.read_bytes())
        assert estimator.estimate(strange) == estimator.estimate(model)
        assert sorted(path.name for path in tmp_path.iterdir() if "bad" in path.name) == [strange.name]

    def test_leaves_nothing_behind(
        self, estimator: Estimates, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "scratch").mkdir()
        (tmp_path / "here").mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
        monkeypatch.chdir(tmp_path / "here")
        estimator.estimate(model)
        assert not list((tmp_path / "scratch").iterdir()) and not list((tmp_path / "here").iterdir())

    @pytest.mark.parametrize(
        "content", [b"", b"this is no flatbuffer", b"\x1c\0\0\0TFL3" + b"\xff" * 64, b"\0" * 4096]
    )
    def test_a_file_that_is_no_model_is_refused_in_one_line(
        self, estimator: Estimates, tmp_path: Path, content: bytes
    ) -> None:
        (wrong := tmp_path / "wrong.tflite").write_bytes(content)
        with pytest.raises(MeasuringFailed) as caught:
            estimator.estimate(wrong)
        assert "\n" not in str(caught.value)

    def test_a_truncated_model_is_refused_in_one_line(
        self, estimator: Estimates, model: Path, tmp_path: Path
    ) -> None:
        (short := tmp_path / "short.tflite").write_bytes(model.read_bytes()[: model.stat().st_size // 2])
        with pytest.raises(MeasuringFailed) as caught:
            estimator.estimate(short)
        assert "\n" not in str(caught.value)

    def test_a_missing_model_is_refused_with_its_name(self, estimator: Estimates, tmp_path: Path) -> None:
        with pytest.raises(MeasuringFailed, match=r"gone\.tflite"):
            estimator.estimate(tmp_path / "gone.tflite")
