"""`edgesearch measure`: a model as it is, its figures for people and programs, and what is refused."""

import json
import sys
import zlib

import pytest

from hardware_profiles.anchor import anchor_path
from search import cli
from search.measuring import compared

KEYS = {
    "latency_ms", "latency_ms_low", "latency_ms_high", "latency_ms_min", "latency_ms_median",
    "latency_ms_p90", "provenance", "verdict", "model_bytes", "compressed_bytes", "arena_bytes",
}  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGESEARCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "path", list(sys.path))

    def edgesearch(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return edgesearch


def test_one_file_is_one_object(run):
    code, out, _ = run("measure", str(anchor_path()), "--json")
    row = json.loads(out)
    data = anchor_path().read_bytes()
    assert code == 0
    assert row.keys() >= KEYS
    assert (row["model_bytes"], row["compressed_bytes"]) == (len(data), len(zlib.compress(data, 9)))
    assert 0 < row["latency_ms_low"] <= row["latency_ms"] <= row["latency_ms_high"]
    assert row["latency_ms_min"] <= row["latency_ms_median"] <= row["latency_ms_p90"]
    assert (row["provenance"], row["device"]) == ("measured", "this-machine")
    assert (row["arena_bytes"] is None) == (row["arena_bytes_reason"] is not None)


def test_a_file_beside_itself_is_equally_quick(run, tmp_path):
    copy = tmp_path / "copy.tflite"
    copy.write_bytes(anchor_path().read_bytes())
    code, out, _ = run("measure", str(anchor_path()), str(copy))
    assert code == 0
    assert "latency" in out
    assert "measured" in out
    assert "anchor.tflite" in out.splitlines()[-1]
    code, out, _ = run("measure", str(anchor_path()), str(copy), "--json")
    assert [row["model"] for row in json.loads(out)] == [str(anchor_path()), str(copy)]


def test_it_makes_no_home(run, tmp_path):
    run("measure", str(anchor_path()), "--json")
    assert not (tmp_path / "home").exists()


def test_the_quicker_one_is_named_only_if_the_intervals_are_apart(make_measured):
    slow, quick, near = make_measured("slow", 2.0), make_measured("quick", 1.0), make_measured("near", 1.02)
    assert compared(slow, quick) == "quick is 2.00 times as quick as slow"
    assert "equally quick" in compared(near, quick)


@pytest.fixture
def make_measured():
    from pathlib import Path

    from hardware_profiles.measurement import Latency, Source
    from search.measuring import Measured

    def make(name, latency_ms):
        latency = Latency(
            latency_ms=latency_ms, low_ms=latency_ms * 0.98, high_ms=latency_ms * 1.02, min_ms=latency_ms,
            median_ms=latency_ms, p90_ms=latency_ms, p99_ms=latency_ms, anchor_ratio=1.0, runs=3,
            verdict="stable", source=Source(provenance="measured", device="this-machine"),
        )  # fmt: skip
        return Measured(Path(name), latency, 1, 1, "not asked", (), ())

    return make


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("none.tflite",), "none.tflite"),
        (("broken.tflite",), "no .tflite that LiteRT can load"),
        (("anchor.tflite", "--device", "raspberry-pi-4"), "nothing was measured"),
        (("anchor.tflite", "--device", "rpi4"), "no device profile named 'rpi4'"),
        (("anchor.tflite", "--threads", "0"), "1 thread or more"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_measured_is_refused_in_one_line(run, tmp_path, arguments, said):
    (tmp_path / "broken.tflite").write_text("no model")
    (tmp_path / "anchor.tflite").write_bytes(anchor_path().read_bytes())
    code, out, err = run("measure", *arguments)
    assert (code, out) == (2, "")
    assert said in err.strip().splitlines()[-1]
