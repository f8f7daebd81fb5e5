"""The runner that plays recorded measurements, and its file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from runner_contract import RunnerContract

from hardware_profiles.anchor import anchor_path, calibrate
from hardware_profiles.errors import DeviceError, MeasuringFailed
from hardware_profiles.measurement import Latency, Source
from hardware_profiles.runners import replay
from hardware_profiles.runners.replay import Recorder, Recording, ReplayRunner, record, sha256_of

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


class TestRecorder(RunnerContract):
    @pytest.fixture
    def runner(self, recording: Recording, tmp_path: Path) -> Recorder:
        return Recorder(ReplayRunner(recording), tmp_path / "deep" / "recording.json")

    @pytest.fixture
    def models(self, small_model: Path, large_model: Path) -> tuple[Path, Path]:
        return small_model, large_model


def test_what_was_recorded_is_played_elsewhere(
    recording: Recording, small_model: Path, large_model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "board.json"
    recorder = Recorder(ReplayRunner(recording), path)
    anchor = calibrate(recorder, processes=1)
    seen = recorder.measure([small_model], anchor) + recorder.measure([large_model], anchor)
    player = ReplayRunner.from_file(path)
    assert calibrate(player, processes=1) == anchor
    assert player.measure([small_model, large_model], anchor) == seen


def test_a_recording_without_the_anchor_is_played_all_the_same(small_model: Path) -> None:
    player = ReplayRunner({sha256_of(small_model): latency(0.5)})
    anchor = calibrate(player)
    assert (anchor.constant_ms, anchor.source) == (1.0, SOURCE)
    assert player.measure([small_model], anchor) == (latency(0.5),)
    other = latency(0.5).model_copy(update={"source": SOURCE.model_copy(update={"machine": "m-2"})})
    with pytest.raises(MeasuringFailed, match=r"anchor\.tflite.*not among the 2 recorded"):
        calibrate(ReplayRunner({"a": latency(0.5), "b": other}))


def test_the_newest_figure_of_a_model_stays(recording: Recording, small_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "board.json"
    Recorder(ReplayRunner(recording), path).measure([small_model], None)
    newer = {sha256_of(small_model): latency(7.0)}
    Recorder(ReplayRunner(newer), path).measure([small_model], None)
    assert Recording.load(path).latencies == newer


def test_what_failed_is_not_recorded(recording: Recording, tmp_path: Path) -> None:
    path, stranger = tmp_path / "board.json", tmp_path / "stranger.tflite"
    stranger.write_bytes(b"stranger")
    with pytest.raises(MeasuringFailed):
        Recorder(ReplayRunner(recording), path).measure([stranger], None)
    assert not path.exists()


def test_a_file_that_is_no_recording_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "board.json"
    path.write_text("mine")
    with pytest.raises(DeviceError, match=r"board\.json is no recording"):
        Recorder(ReplayRunner({}), path)
    with pytest.raises(DeviceError, match=r"board\.json is no recording"):
        ReplayRunner.from_file(path)
    assert path.read_text() == "mine"


def test_a_place_that_cannot_be_written(recording: Recording, small_model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    recorder = Recorder(ReplayRunner(recording), tmp_path / "file" / "board.json")
    with pytest.raises(DeviceError, match=r"cannot write the recording .*board\.json"):
        recorder.measure([small_model], None)


def test_a_writer_that_never_ends_is_not_waited_for_for_ever(
    recording: Recording, small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "board.json"
    monkeypatch.setattr(replay, "LOCK_S", 0.1)
    with FileLock(f"{path}.lock"), pytest.raises(DeviceError, match="written by another process"):
        Recorder(ReplayRunner(recording), path).measure([small_model], None)


ADD = """
import sys
from pathlib import Path
from hardware_profiles.measurement import Latency
from hardware_profiles.runners.replay import Recorder, ReplayRunner, sha256_of

folder, name, latency = Path(sys.argv[1]), sys.argv[2], Latency.model_validate_json(sys.argv[3])
for number in range(10):
    model = folder / f"{name}-{number}.tflite"
    model.write_bytes(model.name.encode())
    Recorder(ReplayRunner({sha256_of(model): latency}), folder / "board.json").measure([model], None)
"""


def test_processes_that_record_at_once_lose_nothing(tmp_path: Path) -> None:
    root = str(Path(__file__).resolve().parent.parent.parent)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", ADD, str(tmp_path), name, latency(1.0).model_dump_json()],
            env=os.environ | {"PYTHONPATH": root},
        )
        for name in "abc"
    ]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    assert len(Recording.load(tmp_path / "board.json").latencies) == 30
