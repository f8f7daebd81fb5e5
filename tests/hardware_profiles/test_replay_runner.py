"""The runner that plays recorded measurements, and its file."""

from pathlib import Path

import pytest
from runner_contract import RunnerContract

from hardware_profiles.anchor import anchor_path
from hardware_profiles.errors import DeviceError, MeasuringFailed
from hardware_profiles.measurement import Latency, Source
from hardware_profiles.runners.replay import Recording, ReplayRunner, record, sha256_of

SOURCE = Source(provenance="measured", device="board", machine="m-1", runtime="litert", threads=1)


def latency(ms: float) -> Latency:
    return Latency(
        latency_ms=ms,
        low_ms=ms * 0.98,
        high_ms=ms * 1.02,
        min_ms=ms,
        median_ms=ms * 1.1,
        p90_ms=ms * 1.3,
        p99_ms=ms * 2,
        anchor_ratio=ms / 0.02,
        runs=100,
        verdict="stable",
        source=SOURCE,
    )


@pytest.fixture
def recording(small_model: Path, large_model: Path) -> Recording:
    known = {small_model: 0.001, large_model: 0.1, anchor_path(): 0.02}
    return Recording(latencies={sha256_of(path): latency(ms) for path, ms in known.items()})


class TestReplayRunner(RunnerContract):
    @pytest.fixture
    def runner(self, recording: Recording) -> ReplayRunner:
        return ReplayRunner(recording)

    @pytest.fixture
    def models(self, small_model: Path, large_model: Path) -> tuple[Path, Path]:
        return small_model, large_model


def test_a_recording_survives_its_file(recording: Recording, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "recording.json"
    recording.save(path)
    assert Recording.load(path) == recording


def test_models_are_told_apart_by_their_bytes(
    recording: Recording, small_model: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "another-name.tflite"
    copy.write_bytes(small_model.read_bytes())
    runner = ReplayRunner(recording.latencies)
    assert runner.measure([copy], None) == runner.measure([small_model], None)
    copy.write_bytes(small_model.read_bytes() + b"\0")
    with pytest.raises(MeasuringFailed, match="not among the 3 recorded"):
        runner.measure([copy], None)


def test_recording_a_runner_gives_what_it_gave(recording: Recording, small_model: Path) -> None:
    again = record(ReplayRunner(recording), [small_model], None)
    assert again.latencies == {sha256_of(small_model): latency(0.001)}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"latencies": {"a": {}}}', b'{"other": 1}'])
def test_a_file_that_is_no_recording_is_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "recording.json"
    path.write_bytes(content)
    with pytest.raises(DeviceError, match=r"recording\.json is no recording") as caught:
        Recording.load(path)
    assert "\n" not in str(caught.value)


def test_a_missing_recording_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"cannot read the recording .*gone\.json"):
        Recording.load(tmp_path / "gone.json")
