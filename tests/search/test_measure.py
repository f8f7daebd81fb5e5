"""`edgesearch measure`: a model as it is, its figures for people and programs, and what is refused."""

import json
import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "hardware_profiles"))  # for the models, and sshd

import sshd
from int8_models import Network, image_classification, small_cnn
from tiny_models import fully_connected

from hardware_profiles.anchor import anchor_path, calibrate
from hardware_profiles.micro import arena
from hardware_profiles.runners.local import LocalRunner
from hardware_profiles.runners.replay import record
from search import cli

ROOT = Path(__file__).resolve().parents[2]
KEYS = {
    "latency_ms", "latency_ms_low", "latency_ms_high", "latency_ms_min", "latency_ms_median",
    "latency_ms_p90", "provenance", "verdict", "model_bytes", "compressed_bytes", "arena_bytes",
    "energy_mj", "unsupported_ops", "agreement", "conditions", "macs", "precision", "inputs", "outputs",
}  # fmt: skip
PROGRAM = f"""#!{sys.executable}
import argparse, json
import numpy as np
from ai_edge_litert.interpreter import Interpreter

asked = argparse.ArgumentParser()
asked.add_argument("--model"), asked.add_argument("--inputs")
options = asked.parse_args()
interpreter = Interpreter(model_path=options.model)
interpreter.allocate_tensors()
samples = np.load(options.inputs)["input_0"]
ends = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
given = []
for sample in samples:
    interpreter.set_tensor(ends[0], sample[np.newaxis])
    interpreter.invoke()
    given.append((interpreter.get_tensor(ends[1])[0] CHANGE).tolist())
print(json.dumps({{"latency_ms": [2.0, 2.0, 2.001, 2.0, 2.0, 2.0], "outputs": [given], "arena_bytes": 4321,
  "runtime": "tflite-micro"}}))
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGESEARCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "path", list(sys.path))

    def edgesearch(*arguments):
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(["measure", *arguments])
        told = capfd.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return edgesearch


@pytest.fixture
def models(tmp_path):
    """Models in the folder that commands are run in, by their names."""
    made = {
        "int8": small_cnn(),
        "float": small_cnn("FLOAT32", "FLOAT32"),
        "large": image_classification(),
        "dense": fully_connected(64, 16),
        "strange": strange(),
        "anchor": anchor_path().read_bytes(),
    }
    for name, data in made.items():
        (tmp_path / f"{name}.tflite").write_bytes(data)
    (tmp_path / "broken.tflite").write_text("no model")
    return tmp_path


def strange():
    """A model with an operator that nobody has."""
    network = Network()
    data = network.input(1, 8)
    return network.bytes(network.op("MINE", [data], network.tensor((1, 8))))


def program(folder, change=""):
    path = folder / "time_it"
    path.write_text(PROGRAM.replace("CHANGE", change))
    path.chmod(0o755)
    return "command:./time_it"


def flat(text):
    """Text without the folds of a table."""
    return " ".join(text.split())


def unexplained(row):
    """Figures of a row that are null without a reason, or have a reason although they are known."""
    return {key for key in KEYS if (row[key] is None) == (row.get(f"{key}_reason") is None)}


def test_one_file_is_one_object(run, models):
    code, out, _ = run("anchor.tflite", "--json")
    row, data = json.loads(out), anchor_path().read_bytes()
    assert code == 0
    assert row.keys() >= KEYS and not unexplained(row)
    assert (row["model_bytes"], row["compressed_bytes"]) == (len(data), len(zlib.compress(data, 9)))
    assert 0 < row["latency_ms_low"] <= row["latency_ms"] <= row["latency_ms_high"]
    assert row["latency_ms_min"] <= row["latency_ms_median"] <= row["latency_ms_p90"]
    assert (row["provenance"], row["device"], row["runtime"]) == ("measured", "this-machine", "litert")
    assert (row["precision"], row["unsupported_ops"], row["error"]) == ("int8", [], None)
    assert (row["arena_provenance"], row["arena_bytes"] > 0) == ("estimated", True)
    assert row["conditions"]["processor"] and "host itself" in row["agreement_reason"]
    assert "power" in row["energy_mj_reason"]


@pytest.mark.slow
def test_nothing_heavy_is_imported_and_no_home_is_made(tmp_path):
    code = (
        "import sys\nfrom search.cli import main\n"
        f"try: main(['measure', {str(anchor_path())!r}, '--json'])\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'tensorflow', 'tf_keras', 'keras', 'ray', 'mlflow', 'optuna', 'sklearn'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["provenance"] == "measured"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_several_files_are_held_side_by_side(run, models):
    code, out, _ = run("large.tflite", "dense.tflite", "anchor.tflite")
    text = flat(out)
    assert code == 0
    assert text.count("measured, ") == 3
    assert "dense.tflite is " in text and "times as quick as large.tflite" in text
    assert "int8 is slower than float on this-machine" in text  # another network, much larger
    rows = json.loads(run("large.tflite", "dense.tflite", "large.tflite", "--json")[1])
    assert [row["model"] for row in rows] == ["large.tflite", "dense.tflite", "large.tflite"]


@pytest.mark.slow
def test_one_bad_model_does_not_hide_the_others(run, models):
    arguments = ("broken.tflite", "dense.tflite", "none.tflite", "strange.tflite")
    code, out, err = run(*arguments, "--json")
    rows = {row["model"]: row for row in json.loads(out)}
    assert (code, list(rows)) == (2, list(arguments))
    assert rows["dense.tflite"]["error"] is None and rows["dense.tflite"]["latency_ms"] > 0
    assert "TFL3" in rows["broken.tflite"]["error"] and "cannot be read" in rows["none.tflite"]["error"]
    assert "MINE" in rows["strange.tflite"]["error"]
    assert rows["strange.tflite"]["model_bytes"] == len(strange())
    assert not any(unexplained(row) for row in rows.values())
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert [name for line in errors for name in arguments if name in line] == [
        "broken.tflite", "none.tflite", "strange.tflite"
    ]  # fmt: skip
    code, out, _ = run(*arguments)
    assert (code, "latency" in out, "broken.tflite" in out) == (2, True, False)


def test_a_recording_says_that_it_is_one(run, models):
    runner = LocalRunner("this-machine", budget_s=0.05, patience_s=0.1)
    files = [models / "int8.tflite", models / "dense.tflite"]
    record(runner, files, calibrate(runner, 1)).save(models / "seen.json")
    code, out, _ = run("dense.tflite", "large.tflite", "--on", "replay:seen.json", "--json")
    known, unknown = json.loads(out)
    assert (code, known["provenance"], known["error"]) == (2, "measured", None)
    assert "not measured now" in known["remarks"][0] and "gives no outputs" in known["agreement_reason"]
    assert "not among the 2 recorded models" in unknown["error"]
    code, _, err = run("dense.tflite", "--on", "replay:seen.json", "--device", "raspberry-pi-5")
    assert (code, "was measured on 'this-machine', not on 'raspberry-pi-5'" in err) == (2, True)


def test_what_is_measured_can_be_recorded_for_others(run, models):
    code, out, err = run("dense.tflite", "--on", "local", "--record", "mine.json", "--json")
    assert code == 0, err
    code, played, err = run("dense.tflite", "--on", "replay:mine.json", "--json")
    assert (code, json.loads(played)["latency_ms"]) == (0, json.loads(out)["latency_ms"]), err
    code, _, err = run("dense.tflite", "--on", "replay:mine.json", "--record", "again.json")
    assert (code, "--record does not go with --on replay" in err) == (2, True)


@pytest.mark.slow
def test_a_program_of_the_users_own_is_compared_with_this_host(run, models):
    arguments = ("int8.tflite", "--device", "nucleo-l4r5zi", "--on", program(models))
    code, out, err = run(*arguments, "--json")
    row = json.loads(out)
    assert (code, row["provenance"], row["runtime"]) == (0, "measured", "tflite-micro"), err
    assert (row["arena_bytes"], row["arena_provenance"]) == (4321, "measured")
    (output,) = row["agreement"]["outputs"]
    assert (output["max_steps"], output["equal_argmax"]) == (0, 1.0)
    assert row["energy_provenance"] == "estimated"
    assert row["energy_mj"] == pytest.approx(row["latency_ms"] * 0.0415)
    text = flat(run(*arguments)[1])
    assert "identical to the last bit (8 random inputs, 'nucleo-l4r5zi' over command:" in text
    assert "4.2 KiB: told by the device" in text


def test_outputs_that_differ_are_told_in_steps_and_classes(run, models):
    on = program(models, change="[::-1] // 2")
    code, out, _ = run("int8.tflite", "--device", "nucleo-l4r5zi", "--on", on, "--json")
    (output,) = json.loads(out)["agreement"]["outputs"]
    assert code == 0
    assert output["max_steps"] > 1 and output["equal_argmax"] < 1
    assert output["max_difference"] == pytest.approx(output["max_steps"] * 0.05)


def test_a_program_without_outputs_leaves_the_agreement_open(run, models):
    silent = PROGRAM.replace('"outputs": [given], ', "")
    program(models)
    (models / "time_it").write_text(silent.replace("CHANGE", ""))
    code, out, _ = run("int8.tflite", "--device", "rp2040", "--on", "command:./time_it", "--json")
    row = json.loads(out)
    assert (code, row["agreement"]) == (0, None)
    assert "gave no 'outputs'" in row["agreement_reason"]


def test_what_is_estimated_is_not_called_measured(run, models):
    code, out, _ = run("large.tflite", "--device", "nucleo-l4r5zi", "--on", "estimated", "--json")
    row = json.loads(out)
    assert (code, row["provenance"], row["verdict"], row["latency_ms_min"]) == (0, "estimated", None, None)
    assert row["latency_ms_low"] == pytest.approx(12_501_632 * 3.7 / 120e3)
    assert row["latency_ms_high"] == pytest.approx(12_501_632 * 9.6 / 120e3)
    assert "estimated" in row["latency_ms_min_reason"] and not unexplained(row)
    found = arena(models / "large.tflite")
    assert (row["arena_bytes"], row["arena_bytes_low"]) == (found.least_bytes, found.head_bytes)
    assert row["agreement"]["by"] == "TensorFlow Lite Micro on this host"
    assert row["agreement"]["outputs"][0]["equal_argmax"] is not None
    text = flat(run("large.tflite", "--device", "nucleo-l4r5zi", "--on", "estimated")[1])
    assert "latency estimated 385 ms–1.00 s" in text
    assert "seen over" not in text


def test_a_model_without_an_estimate_keeps_what_is_known(run, models):
    code, out, err = run("float.tflite", "int8.tflite", "--device", "nucleo-l4r5zi", "--on", "estimated")
    text = flat(out)
    assert (code, "published cycles per MAC are of int8 kernels" in err) == (2, True)
    assert text.count("measured on this host") == 2  # the arena of both
    assert "whether int8 is quicker than float on nucleo-l4r5zi cannot be told: the latency of float" in text
    row = json.loads(run("strange.tflite", "--device", "rp2040", "--on", "estimated", "--json")[1])
    assert row["unsupported_ops"] == ["MINE"] and "lacks MINE" in row["error"]
    assert row["latency_ms"] is None and row["arena_bytes"] is None


@pytest.mark.slow
def test_vela_tells_cycles_flash_and_share(run, models):
    code, out, _ = run("large.tflite", "--device", "corstone-300", "--on", "estimated", "--json")
    row = json.loads(out)
    assert (code, row["provenance"], row["npu_share"], row["runtime"]) == (0, "estimated", 1.0, "vela")
    assert row["npu_cycles_low"] <= row["npu_cycles"] <= row["npu_cycles_high"]
    assert {row["flash_provenance"], row["arena_provenance"]} == {"estimated"}
    code, out, err = run("float.tflite", "large.tflite", "--device", "corstone-300", "--on", "estimated")
    assert (code, "convert it to full int8" in err) == (2, True)
    assert "NPU estimated to run 100% of the operators" in flat(out)
    assert "flash, the file as Vela compiles it" in flat(out)


def test_what_is_known_of_a_device_that_nobody_estimates(run, models):
    code, out, _ = run("large.tflite", "--device", "coral-dev-board", "--on", "estimated", "--json")
    row = json.loads(out)
    assert (code, row["latency_ms"], row["edgetpu_provenance"]) == (0, None, "estimated")
    assert "ssh://USER@HOST" in row["latency_ms_reason"] and not unexplained(row)


def test_more_than_the_device_has_is_told(run, models):
    (models / "tiny.yaml").write_text(
        "name: tiny\ntitle: Tiny\nreach: command\nprocessor: {isa: armv6-m, core: Cortex-M0+}\n"
        "memory: {ram_bytes: 16384, storage_bytes: 32768}\nruntime: {name: tflite-micro}\n"
        "precisions: [int8]\ninput_types: [int8]\n"
    )
    remarks = json.loads(run("large.tflite", "--device", "tiny", "--on", "estimated", "--json")[1])["remarks"]
    assert len([remark for remark in remarks if remark.startswith("it does not fit")]) == 2


@pytest.fixture
def board(tmp_path_factory, monkeypatch):
    """A real sshd, with an `ssh` first on the path that knows its key, as a user's own configuration does."""
    folder = tmp_path_factory.mktemp("board")
    started = sshd.start(folder)
    (folder / "bin").mkdir()
    options = " ".join(f"'{word}'" for word in started.options())
    (folder / "bin" / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} {options} "$@"\n')
    (folder / "bin" / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    yield started
    sshd.stop(started)


@pytest.mark.slow
@pytest.mark.needs_system_package("openssh-server", sshd.SSHD)
def test_a_board_is_measured_by_ssh_and_its_outputs_are_held_against_ours(run, models, board):
    arguments = ("--device", "raspberry-pi-5", "--on", f"ssh://127.0.0.1:{board.port}")
    code, out, err = run("int8.tflite", "strange.tflite", *arguments, "--json")
    row, failed = json.loads(out)
    assert (code, row["provenance"], row["device"], row["runtime"]) == (
        2, "measured", "raspberry-pi-5", "litert"
    ), err  # fmt: skip
    assert row["agreement"]["outputs"][0]["max_steps"] == 0
    assert row["energy_mj"] == pytest.approx(row["latency_ms"] * 4.1)
    assert "MINE" in failed["error"] and failed["latency_ms"] is None
    assert row["conditions"]["processor"]
    code, out, _ = run("int8.tflite", "float.tflite", *arguments)
    text = flat(out)
    assert (code, text.count("identical to the last bit")) == (0, 2)
    assert "quicker than float on raspberry-pi-5" in text or "slower than float on raspberry-pi-5" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("none.tflite",), "none.tflite"),
        (("broken.tflite",), "no TensorFlow Lite model"),
        (("dense.tflite", "--device", "raspberry-pi-4"), "nothing is measured in its name"),
        (("dense.tflite", "--device", "rpi4"), "no device profile named 'rpi4'"),
        (("dense.tflite", "--threads", "0"), "1 thread or more"),
        (("dense.tflite", "--delegate", "libx.so"), "with --on"),
        (("dense.tflite", "--device", "android-phone", "--on", "adb://x"), "--benchmark-model"),
        (("dense.tflite", "--on", "replay:none.json"), "cannot read the recording"),
        (("dense.tflite", "--on", "command:./none"), "there is no program"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_measured_is_refused_in_one_line(run, models, arguments, said):
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
