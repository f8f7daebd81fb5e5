"""What is sent to a board: aboard/ as text, and the request. Nothing is written there.

The board's shell is given one fixed line, which reads a Python program from standard input and runs it.
That program, the loader, takes aboard/ from the same stream, as it does the request. Each part is preceded
by its length, so that the stream can stay open.
"""

import json
from functools import cache
from pathlib import Path

ABOARD = Path(__file__).parent.parent / "aboard"
BOOTSTRAP = "import sys; exec(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))"
"""No quote, dollar, backslash or exclamation mark: in single quotes, every shell leaves it alone."""
OLDEST_PYTHON = (3, 7)

# Has to run in a Python that is too old for aboard/, in order to say so. Isolated mode (-I) leaves out what
# `pip install --user` has installed, so that is added again, behind everything else.
_LOADER = """
import importlib.abc, importlib.util, json, os, site, sys

def part():
    stream = sys.stdin.buffer
    return stream.read(int(stream.readline())).decode()

SOURCES, REQUEST = json.loads(part()), part()

class Sent(importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name in SOURCES:
            return importlib.util.spec_from_loader(name, self, is_package=SOURCES[name][0])
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        exec(compile(SOURCES[module.__name__][1], module.__name__, "exec"), module.__dict__)

def run():
    if sys.version_info[:2] < OLDEST:
        found = "Python %d.%d" % sys.version_info[:2]
        print(json.dumps({"error": found + " is too old, %d.%d is needed" % OLDEST, "kind": "python"}))
        return 1
    site.addsitedir(site.getusersitepackages())
    sys.meta_path.insert(0, Sent())
    from hardware_profiles.aboard.remote import main
    return main(REQUEST)

status = run()
sys.stdout.flush()
os._exit(status)
"""


def parcel(request: dict[str, object]) -> bytes:
    """Return what the bootstrap is to get on standard input."""
    return b"".join(_part(text) for text in (_loader(), _sources(), json.dumps(request)))


def _part(text: str) -> bytes:
    data = text.encode()
    return b"%d\n" % len(data) + data


def _loader() -> str:
    return f"OLDEST = {OLDEST_PYTHON!r}\n{_LOADER}"


@cache
def _sources() -> str:
    """Return, as JSON, whether a package and its text, for every module by its name."""
    package = "hardware_profiles.aboard"
    sources = {
        f"{package}.{path.stem}": (False, path.read_text(encoding="utf-8"))
        for path in sorted(ABOARD.glob("*.py"))
        if path.stem != "__init__"
    }
    return json.dumps({"hardware_profiles": (True, ""), package: (True, ""), **sources})
