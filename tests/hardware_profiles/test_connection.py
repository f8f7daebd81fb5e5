"""What may stand after `--on`: it is read as it is written, or refused on one line."""

import re
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_profiles.connection import (
    Adb,
    Command,
    Estimated,
    Local,
    Replay,
    Ssh,
    options_of,
    parse_connection,
)
from hardware_profiles.errors import DeviceError

START, REST = string.ascii_letters + string.digits + "_", string.ascii_letters + string.digits + "_.-"
names = st.builds(str.__add__, st.sampled_from(START), st.text(REST, max_size=30))
addresses = st.ip_addresses(v=6).map(str) | st.ip_addresses(v=4).map(str)
ports = st.none() | st.integers(1, 65535)


@given(host=names | addresses, user=st.none() | names, port=ports)
def test_a_board_is_read_as_it_is_written(host: str, user: str | None, port: int | None) -> None:
    board = Ssh(host=host, user=user, port=port)
    assert parse_connection(str(board)) == board
    assert parse_connection(f"{board}/") == board


@given(serial=names, port=ports)
def test_an_android_device_is_read_as_it_is_written(serial: str, port: int | None) -> None:
    device = Adb(serial=serial + (f":{port}" if port else ""))
    assert parse_connection(str(device)) == device


@given(argv=st.lists(st.text(min_size=1), min_size=1).map(tuple))
def test_a_command_is_read_as_it_is_written(argv: tuple[str, ...]) -> None:
    command = Command(argv=argv)
    assert parse_connection(str(command)) == command


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("local", Local()),
        ("estimated", Estimated()),
        ("ssh://raspberrypi.local", Ssh(host="raspberrypi.local")),
        ("ssh://pi@10.0.0.7:2222", Ssh(host="10.0.0.7", user="pi", port=2222)),
        ("ssh://pi@[fe80::1%eth0]:22", Ssh(host="fe80::1%eth0", user="pi", port=22)),
        ("adb://emulator-5554", Adb(serial="emulator-5554")),
        ("adb://192.168.0.9:5555", Adb(serial="192.168.0.9:5555")),
        ("adb://[::1]:5555", Adb(serial="[::1]:5555")),
        (
            "command:./flash.py --port '/dev/tty ACM0'",
            Command(argv=("./flash.py", "--port", "/dev/tty ACM0")),
        ),
        ("command:a; rm $(b)", Command(argv=("a;", "rm", "$(b)"))),
        ("replay:/data/seen.json", Replay(path=Path("/data/seen.json"))),
    ],
)
def test_each_way(text: str, expected: object) -> None:
    assert parse_connection(text) == expected


def test_a_recording_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/anna")
    assert parse_connection("replay:seen.json") == Replay(path=tmp_path / "seen.json")
    assert parse_connection("replay:~nobody-here/x") == Replay(path=tmp_path / "~nobody-here" / "x")
    assert parse_connection("replay:~/seen.json") == Replay(path=Path("/home/anna/seen.json"))


@pytest.mark.parametrize(
    "text",
    [
        "", "here", "LOCAL", "ssh", "ssh:board", "ssh://", "ssh://@board", "ssh://pi@", "ssh://board:",
        "ssh://board:0",
        "ssh://board:65536", "ssh://board:x", "ssh://pi:secret@board", "ssh://board/path",
        "ssh://board board",
        "ssh://-oProxyCommand=touch", "ssh://-l@board", "ssh://a;b", "ssh://$(touch x)", "ssh://`x`", "ssh://a\n",
        "ssh://a\nb", "ssh://fe80::1", "ssh://[zz]", "ssh://bücher", "adb://", "adb://-s", "adb://a b", "adb://a;b",
        "adb://a\n", "adb://$(x)", "command:", "command:'", "command:  ", "replay:", "estimated ", "http://board",
    ],
)  # fmt: skip
def test_anything_else_is_one_line_that_says_what_is_right(text: str) -> None:
    with pytest.raises(DeviceError, match=r"ssh://|adb://|command:|replay:") as caught:
        parse_connection(text)
    assert len(str(caught.value).removesuffix(f"'{text}'").splitlines()) == 1


@given(text=st.text(), way=st.sampled_from(["", "ssh://", "adb://", "command:", "replay:"]))
def test_any_text_is_read_or_refused(text: str, way: str) -> None:
    try:
        connection = parse_connection(way + text)
    except DeviceError:
        return
    if isinstance(connection, Ssh):
        given_to_ssh = (connection.host, connection.user or "x")
        assert all(
            re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*|[0-9A-Fa-f:.]+(%.+)?", one) for one in given_to_ssh
        )
    if isinstance(connection, Adb):
        assert re.fullmatch(r"[A-Za-z0-9_\[][A-Za-z0-9_.:\[\]-]*", connection.serial)


@pytest.mark.parametrize(
    ("text", "options", "named"),
    [
        ("estimated", {"delegate": "x.so"}, "--delegate"),
        ("adb://A", {"delegate": "x.so"}, "--delegate"),
        ("ssh://b", {"accelerator": "gpu"}, "--accelerator"),
        ("local", {"benchmark_model": Path("b")}, "--benchmark-model"),
    ],
)
def test_an_option_that_does_not_go_with_the_way_is_named(
    text: str, options: dict[str, object], named: str
) -> None:
    with pytest.raises(DeviceError, match=rf"{named} does not go with --on {text}; leave it out"):
        parse_connection(text, **options)  # type: ignore[arg-type]


def test_options_go_where_they_belong() -> None:
    assert parse_connection("local", delegate="x.so") == Local(delegate="x.so")
    assert parse_connection("ssh://b", delegate="x.so") == Ssh(host="b", delegate="x.so")
    told = parse_connection("adb://A", benchmark_model=Path("bm"), accelerator="gpu")
    assert told == Adb(serial="A", benchmark_model=Path("bm"), accelerator="gpu")


@pytest.mark.parametrize(
    "connection",
    [
        Local(delegate="x.so"),
        Ssh(host="b", user="pi", port=22, delegate="x.so", python="~/venv/bin/python"),
        Adb(serial="A", benchmark_model=Path("/bm"), accelerator="gpu"),
        Command(argv=("/a b/time_it.py", "--port", "$HOME")),
        Replay(path=Path("/a b.json")),
        Estimated(),
    ],
)
def test_the_options_of_a_connection_give_it_again(connection: Local | Ssh | Adb | Command) -> None:
    (on, text), *more = options_of(connection)
    options = {name.removeprefix("--").replace("-", "_"): value for name, value in more}
    path = options.pop("benchmark_model", None)
    again = parse_connection(text, benchmark_model=None if path is None else Path(path), **options)
    assert (on, again) == ("--on", connection)


def test_what_goes_without_saying_is_no_option() -> None:
    assert options_of(Ssh(host="b")) == [("--on", "ssh://b")]
    assert options_of(Adb(serial="A")) == [("--on", "adb://A")]
