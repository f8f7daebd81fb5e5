"""What the documentation shows is true: every command is run, every plan read, every file there.

The blocks of README.md and docs/*.md are run in order, in one folder, as a reader would who works
through them. The README's are run as they stand. The rest of the edgesearch commands and Python blocks
go to one process that lives on, with trials in it and not on Ray: importing TensorFlow and starting Ray
for each of them would take most of the time, and shows nothing new. A comment before a block says what
else is to be done with it:

    <!-- file: NAME -->           it is the content of that file
    <!-- not run here: REASON --> it is not run: `needs hardware`, `needs a server`, `long`, or the test
                                  that does run it; what it tells edgesearch must be understood all the same
"""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import IO, NamedTuple

import click
import pytest
import yaml

from search.cli import edgesearch
from search.plan import make_plan

ROOT = Path(__file__).resolve().parent.parent
ORDER = (
    "README",
    "studies",
    "data",
    "spaces",
    "compression",
    "export",
    "measure",
    "devices",
    "command-runner",
    "microcontrollers",
    "hypervolume",
    "python",
    "security",
    "architecture",
)
FENCE = re.compile(
    r"(?:^<!-- (?P<note>[^\n]*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(
    r"`((?:search|objectives|spaces|hardware_profiles|scripts|tests|docs|benchmarks|\.ci)/[\w./*-]*)`"
)
REASONS = ("needs hardware", "needs a server", "long")
UI_DEADLINE_S = 120
SHELL = set("|<>;&$`")
LIVING_ON = """
import json, os, runpy, sys, traceback

answers = os.fdopen(int(sys.argv.pop()), "w")
from search.cli import main

for line in sys.stdin:
    words, code = json.loads(line), 0
    try:
        if words[0] == "edgesearch":
            main(words[1:])
        else:
            runpy.run_path(words[1], run_name="__main__")
    except SystemExit as done:
        code = done.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    print(json.dumps(code), file=answers, flush=True)
"""


class Block(NamedTuple):
    """A fenced block: where it begins, in which language, what is in it, and what its comment says."""

    page: str
    line: int
    language: str
    text: str
    note: str

    @property
    def reason(self) -> str | None:
        """Why it is not run here, or None if it is."""
        return self.note.removeprefix("not run here: ") if self.note.startswith("not run here: ") else None

    @property
    def file(self) -> str | None:
        """The file that it is the content of, or None."""
        return self.note.removeprefix("file: ") if self.note.startswith("file: ") else None


def pages() -> list[Path]:
    found = {path.stem: path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
    return sorted(
        found.values(), key=lambda path: ORDER.index(path.stem) if path.stem in ORDER else len(ORDER)
    )


def blocks() -> Iterator[Block]:
    for page in pages():
        text = page.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start("language")) + 1
            yield Block(page.name, line, match["language"], match["text"], match["note"] or "")


def named(block: Block) -> str:
    return f"{block.page}:{block.line}"


BLOCKS = list(blocks())


class Reader:
    """Somebody in a folder who works through the pages."""

    def __init__(self, folder: Path) -> None:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("EDGESEARCH_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.folder, self.variables = folder, plain | {"PATH": path, "COLUMNS": "120"}
        self.said = folder / "said.txt"

    @cached_property
    def process(self) -> "tuple[subprocess.Popen[str], IO[str]]":
        """The process that lives on, and where it answers with exit codes."""
        answers, theirs = os.pipe()
        with self.said.open("w") as sink:
            process = subprocess.Popen(
                [sys.executable, "-c", LIVING_ON, str(theirs)],
                cwd=self.folder, env=self.variables, stdin=subprocess.PIPE, stdout=sink, stderr=sink,
                text=True, pass_fds=(theirs,),
            )  # fmt: skip
        os.close(theirs)
        return process, os.fdopen(answers)

    def close(self) -> None:
        if "process" in vars(self):
            process, answers = self.process
            process.communicate(timeout=60)
            answers.close()

    def shell(self, text: str) -> None:
        """Run lines as they stand."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self.folder, env=self.variables, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr

    def live(self, *words: str) -> None:
        """Give a command to the process that lives on."""
        before = self.said.stat().st_size if self.said.exists() else 0
        process, answers = self.process
        assert process.stdin is not None
        extra = ("--executor", "in-process") if words[:2] == ("edgesearch", "study") else ()
        print(json.dumps([*words, *extra]), file=process.stdin, flush=True)
        answer = answers.readline()
        told = self.said.read_text(errors="replace")[before:]
        assert answer == "0\n", told
        assert "Traceback" not in told


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    reader = Reader(tmp_path_factory.mktemp("reader"))
    yield reader
    reader.close()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("block", [b for b in BLOCKS if b.reason is None], ids=named)
def test_a_block_does_what_it_says(block: Block, reader: Reader) -> None:
    script = reader.folder / (block.file or "snippet.py")
    if block.file or block.language == "python":
        script.write_text(block.text, encoding="utf-8")
    match block.language:
        case "sh" if block.page == "README.md":
            reader.shell(block.text)
        case "sh":
            for line in block.text.replace("\\\n", " ").splitlines():
                follow(line, reader)
        case "python" if block.text.startswith("#!"):
            script.chmod(0o755)  # a program that another one calls, with arguments
        case "python":
            reader.live("python", str(script))
        case "yaml":
            make_plan(yaml.safe_load(block.text))
        case language:
            assert language in ("text", ""), f"{named(block)}: nothing is known to be done with {language}"


def follow(line: str, reader: Reader) -> None:
    words = shlex.split(line)
    if words == ["edgesearch", "ui"]:
        show_pages(reader.folder, reader.variables)
    elif words[:1] == ["edgesearch"] and SHELL.isdisjoint(line):
        reader.live(*words)
    else:
        reader.shell(line)


def show_pages(folder: Path, variables: dict[str, str]) -> None:
    """Start `edgesearch ui`, wait until it tells its address, and end it as a reader would."""
    said, port = folder / "ui.txt", free_port()  # another than a reader's, which may be taken here
    with said.open("w") as sink:
        server = subprocess.Popen(
            ["edgesearch", "ui", "--port", str(port)],
            cwd=folder,
            env=variables,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + UI_DEADLINE_S
            while f"http://127.0.0.1:{port}" not in said.read_text():
                assert server.poll() is None, said.read_text()
                assert time.monotonic() < deadline, said.read_text()
                time.sleep(0.5)
            server.send_signal(signal.SIGINT)
            assert server.wait(60) in (0, 130), said.read_text()
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.reason is not None], ids=named)
def test_what_is_not_run_has_a_reason_and_is_understood(block: Block) -> None:
    assert block.reason in REASONS or (ROOT / str(block.reason)).is_file(), block.reason
    for line in block.text.splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["edgesearch"]:
            understood(words[1:])


def understood(words: list[str]) -> None:
    """Parse a command line as edgesearch does, without doing what it says. Raises click's UsageError."""
    name, *rest = words
    edgesearch.commands[name].make_context(name, rest)


def test_an_unknown_option_is_not_understood() -> None:
    with pytest.raises(click.UsageError):
        understood(["study", "--no-such-option"])


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            path, _, anchor = target.partition("#")
            found = page.parent / path if path else page
            assert found.exists(), f"{page.name} leads to {target}"
            assert not anchor or anchor in anchors(found), f"{page.name} leads to {target}"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_files_that_are_named_are_there(page: Path) -> None:
    for path in PATH.findall(page.read_text(encoding="utf-8")):
        assert any(ROOT.glob(path.rstrip("/"))), f"{page.name} names {path}"


def test_every_page_is_read_from_the_readme() -> None:
    read = set(LINK.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    assert {f"docs/{page.name}" for page in pages() if page.parent.name == "docs"} <= read
