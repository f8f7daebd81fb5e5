"""`edgesearch devices` and what `edgesearch doctor` says of devices, as people use them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import search
from hardware_profiles import connect as connecting
from hardware_profiles import ways
from hardware_profiles.connection import Adb, Command, Local, Ssh
from hardware_profiles.errors import Unreachable
from hardware_profiles.profile import CATALOG, profile_names
from hardware_profiles.runners.local import LocalRunner
from search import cli
from search.doctor import of_devices
from search.home import Home
from search.places import Places

ROOT = Path(search.__file__).parents[1]
MINE = {
    "name": "mine",
    "title": "My board",
    "processor": {"isa": "armv7e-m", "core": "Cortex-M7"},
    "runtime": {"name": "tflite-micro", "kernels": "cmsis-nn"},
    "precisions": ["int8"],
    "input_types": ["int8"],
    "reach": "command",
}


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """Stand in an empty folder with no home yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGESEARCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


@pytest.fixture
def run(capfd, empty):
    """Run `edgesearch devices …` in this process: return exit code, standard output and error."""

    def command(*arguments):
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(["devices", *arguments])
        out, err = capfd.readouterr()
        return ended.value.code or 0, out, err

    return command


@pytest.fixture
def connected(monkeypatch):
    """Give every device this machine's runner, and note what was asked for."""
    asked = []

    def connect(profile, threads, connection, say):
        asked.append((profile.name, threads, connection))
        return LocalRunner(profile.name, threads)

    monkeypatch.setattr(connecting, "connect", connect)
    return asked


def write(folder, **changes):
    document = MINE | changes
    (folder / f"{document['name']}.yaml").write_text(yaml.safe_dump(document))


def row(table, name):
    """The cells of a device's row, whose lines are folded."""
    lines = table.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"{name} "))
    end = next((n for n, line in enumerate(lines) if n > start and line[:1].strip()), len(lines))
    return " ".join(" ".join(lines[start:end]).split())


def test_the_list_tells_what_can_be_told_of_each_device_from_here(run, monkeypatch):
    monkeypatch.setattr(ways, "find_tool", lambda name: None if name == "adb" else f"/bin/{name}")
    code, table, _ = run()
    assert code == 0
    assert [line.split()[0] for line in table.splitlines() if line[:1].strip()] == [
        "device",
        *profile_names(),
    ]
    assert "measured" in row(table, "this-machine")
    assert "measured with --on ssh://USER@HOST" in row(table, "raspberry-pi-5")
    assert "none until adb is here: `apt-get install adb`" in row(table, "android-phone")
    assert "estimated with --on estimated (Vela)" in row(table, "corstone-300")
    assert "256.0 KiB RAM, 1.0 MiB flash" in row(table, "arduino-nano-33-ble")
    assert row(table, "raspberry-pi-4").endswith("unknown")


def test_the_list_as_json_has_the_profiles(run):
    listed = json.loads(run("--json")[1])
    assert [device["name"] for device in listed] == list(profile_names())
    assert all(device["latency_from_here"] and device["runtime"]["name"] for device in listed)


@pytest.mark.parametrize("name", profile_names())
def test_every_sheet_has_every_figure_with_its_source(run, name):
    code, sheet, _ = run(name)
    text = "".join(sheet.split())
    assert code == 0 and "latencyfromhere" in text
    if name != "this-machine":
        document = yaml.safe_load((CATALOG / f"{name}.yaml").read_text())
        for figure, source in document.get("sources", {}).items():
            assert figure in text and any(word in text for word in source.split() if len(word) > 4)


def test_the_sheet_says_unknown_where_nothing_is_known(run):
    lines = {
        line.split()[0]: line.split()[1:] for line in run("coral-dev-board")[1].splitlines() if line.strip()
    }
    assert lines["processor.clock_mhz"] == lines["memory.ram_bytes"] == ["unknown"]
    assert lines["accelerator.kind"] == ["edge-tpu"]
    assert not {"accelerator.vela_config", "default_limits.latency_ms", "sources"} & set(lines)
    assert "accelerator" not in run("rp2040")[1]


def test_the_sheet_tells_which_tools_are_here_and_how_others_are_got(run, monkeypatch):
    monkeypatch.setattr(ways, "find_tool", lambda name: "/bin/ssh" if name == "ssh" else None)
    lines = [line.split() for line in run("coral-dev-board")[1].splitlines() if line.strip()]
    tools = {words[0]: words[1:] for words in lines}
    assert tools["ssh"][0] == "here"
    assert tools["edgetpu_compiler"][:3] == ["missing:", "`apt-get", "install"]


def test_profiles_of_ones_own(run, empty):
    (empty / "home" / "devices").mkdir(parents=True)
    write(empty)
    write(empty / "home" / "devices", name="other", title="Another")
    (empty / "plan.yaml").write_text("data: digits\n")
    names = [device["name"] for device in json.loads(run("--json")[1])]
    assert {"mine", "other"} < set(names) and "plan" not in names
    assert "My board" in run("./mine.yaml")[1]
    assert json.loads(run(str(empty / "mine.yaml"), "--json")[1])["name"] == "mine"


def test_one_broken_file_does_not_hide_the_others(run, empty):
    write(empty, reach="post")
    code, table, _ = run()
    assert code == 0 and "raspberry-pi-4" in table
    assert "cannot be used" in row(table, "mine") and "'reach'" in row(table, "mine")
    (broken,) = [device for device in json.loads(run("--json")[1]) if "error" in device]
    assert broken["name"] == "mine" and "got 'post'" in broken["error"]
    code, _, err = run("mine")
    assert code == 2 and "got 'post'" in err


def test_looking_for_a_device_runs_the_anchor_there(run, connected, empty):
    code, out, _ = run("raspberry-pi-4", "--on", "ssh://pi@10.0.0.7:2222", "--delegate", "libx.so", "--json")
    found = json.loads(out)
    assert code == 0
    assert connected == [
        ("raspberry-pi-4", 1, Ssh(host="10.0.0.7", user="pi", port=2222, delegate="libx.so"))
    ]
    assert (found["device"], found["connection"]) == ("raspberry-pi-4", "ssh://pi@10.0.0.7:2222")
    assert (found["runtime"], found["threads"]) == ("litert", 1)
    assert found["machine"] and found["runtime_version"] and 0 < found["anchor_ms"] < 10_000
    assert not list(empty.iterdir()), "looking writes nothing"


def test_what_was_found_is_a_table(run, connected):
    out = run("this-machine", "--on", "local")[1]
    told = {line.split()[0]: line.split()[1] for line in out.splitlines() if line.strip()}
    assert {"device": "this-machine", "connection": "local", "runtime": "litert"}.items() <= told.items()
    assert float(told["anchor_ms"]) > 0 and "delegate" not in told
    assert connected == [("this-machine", 1, Local())]


def test_the_options_of_adb_and_a_command_reach_the_connection(run, connected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flash.py").touch(0o755)
    assert run("android-phone", "--on", "adb://R5", "--benchmark-model", "bm", "--accelerator", "gpu")[0] == 0
    assert run("rp2040", "--on", "command:./flash.py --port '/dev/tty ACM0'")[0] == 0
    assert [connection for *_, connection in connected] == [
        Adb(serial="R5", benchmark_model=tmp_path / "bm", accelerator="gpu"),
        Command(argv=(str(tmp_path / "flash.py"), "--port", "/dev/tty ACM0")),
    ]


def test_a_device_that_does_not_run_the_anchor_has_no_figure_for_it(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = {"runtime": "tflite-micro", "machine": "n-1", "error": "arena is 12 kB short"}
    (tmp_path / "flash.py").write_text(f"#!{sys.executable}\nprint({json.dumps(json.dumps(said))})\n")
    (tmp_path / "flash.py").chmod(0o755)
    code, out, _ = run("rp2040", "--on", "command:./flash.py", "--json")
    found = json.loads(out)
    assert (code, found["anchor_ms"], found["runtime"]) == (0, None, "tflite-micro (not anchored)")


def test_this_machine_answers_itself(run):
    code, out, _ = run("this-machine", "--on", "local", "--json")
    assert code == 0 and json.loads(out)["anchor_ms"] > 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("rpi", "--on", "ssh://pi@host"), "no device profile named 'rpi'"),
        (("raspberry-pi-4", "--on", "pi@host"), "--on is one of"),
        (("raspberry-pi-4", "--on", "ssh://-oProxyCommand=x"), "a board is named ssh://user@host:port"),
        (("raspberry-pi-4", "--on", "estimated"), "nothing is measured with --on estimated"),
        (("raspberry-pi-4", "--on", "local", "--accelerator", "gpu"), "--accelerator does not go with"),
        (("raspberry-pi-4", "--delegate", "libx.so"), "say where it is as well, with --on"),
        (("--on", "local"), "--on looks for one device: name its profile"),
        (("./none.yaml",), "cannot read the device profile none.yaml"),
    ],
)
def test_bad_input_gets_one_line(run, arguments, told):
    code, out, err = run(*arguments)
    assert code == 2 and not out
    last = err.splitlines()[-1].lower()
    assert last.startswith("error: ") and told.lower() in last


def test_a_device_that_does_not_answer_is_told_on_one_line(run, monkeypatch):
    def connect(profile, threads, connection, say):
        raise Unreachable(f"{connection} does not answer: is it switched on?")

    monkeypatch.setattr(connecting, "connect", connect)
    code, out, err = run("raspberry-pi-4", "--on", "ssh://pi@host")
    assert code != 0 and not out
    assert err.splitlines()[-1] == "error: ssh://pi@host does not answer: is it switched on?"


@pytest.mark.parametrize("arguments", [["devices"], ["devices", "corstone-300", "--json"]])
def test_devices_imports_nothing_heavy(tmp_path, arguments):
    script = f"from search.cli import main\ntry:\n    main({arguments!r})\nexcept SystemExit: pass\n"
    script += (
        "import sys\nprint([n for n in ('tensorflow', 'ai_edge_litert', 'ray', 'mlflow', 'optuna', 'pandas')"
    )
    script += " if n in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "EDGESEARCH_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert not list(tmp_path.iterdir())


def test_doctor_tells_what_is_missing_for_which_device_and_how_to_get_it(empty, monkeypatch):
    write(empty)
    write(empty, name="bad", reach="post")
    monkeypatch.setattr(ways, "find_tool", lambda name: "/bin/ssh" if name == "ssh" else None)
    checks = {check.name: check for check in of_devices(Places(Home(empty / "home")))}
    assert checks["ssh"].works and "coral-dev-board, raspberry-pi-4, raspberry-pi-5" in checks["ssh"].detail
    assert not checks["adb"].works and not checks["adb"].needed
    assert checks["adb"].detail.startswith("not here; `apt-get install adb`")
    assert "for android-phone)" in checks["adb"].detail
    assert "edgesearch[vela]" in checks["vela"].detail and "corstone-300" in checks["vela"].detail
    assert "coral-dev-board" in checks["edgetpu_compiler"].detail
    assert "mine" in checks["tflite-micro"].detail and "bad" not in checks["tflite-micro"].detail
