"""Tell whether the locks fit pyproject.toml and each other, without asking any network.

A lock's first line holds the SHA-256 of the requirements that it was made from. Besides, every
requirement of pyproject.toml must be met by a locked version, and what both locks list must be equal.
"""

import hashlib
import json
import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
RUNTIME, DEVELOPMENT = ROOT / "requirements.lock", ROOT / "requirements-dev.lock"


def header() -> str:
    """Return the first line of a lock that fits pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [project["requires-python"], sorted(project["dependencies"])]
    wanted += sorted((extra, sorted(names)) for extra, names in project["optional-dependencies"].items())
    digest = hashlib.sha256(json.dumps(wanted).encode()).hexdigest()
    return f"# Made by scripts/lock for Python 3.11 to 3.13 from requirements with the SHA-256 {digest}"


def locked(path: Path) -> dict[str, set[str]]:
    """Return the locked lines by package: `name==version`, with a marker where there are several."""
    found: dict[str, set[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith(("#", "-")):
            found.setdefault(canonicalize_name(Requirement(line).name), set()).add(line.strip())
    return found


def unmet(requirements: list[str], lock: dict[str, set[str]]) -> list[str]:
    """Return the requirements that no locked version meets."""
    return [text for text in requirements if not _meets(Requirement(text), lock)]


def _meets(requirement: Requirement, lock: dict[str, set[str]]) -> bool:
    lines = lock.get(canonicalize_name(requirement.name), set())
    versions = [version for line in lines for version in re.findall(r"==\s*([^\s;]+)", line.split(";")[0])]
    return bool(versions) and all(requirement.specifier.contains(v, prereleases=True) for v in versions)


def problems() -> list[str]:
    """Return what is wrong, one sentence each."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    runtime, development = locked(RUNTIME), locked(DEVELOPMENT)
    extras = [text for names in project["optional-dependencies"].values() for text in names]
    found = [
        f"{path.name} was made from other requirements than pyproject.toml lists now"
        for path in (RUNTIME, DEVELOPMENT)
        if path.read_text(encoding="utf-8").splitlines()[0] != header()
    ]
    found += [f"{RUNTIME.name} does not meet '{text}'" for text in unmet(project["dependencies"], runtime)]
    found += [f"{DEVELOPMENT.name} does not meet '{text}'" for text in unmet(extras, development)]
    found += [
        f"{name} differs between the locks"
        for name, lines in runtime.items()
        if development.get(name) != lines
    ]
    for path in (RUNTIME, DEVELOPMENT):
        if re.search(r"://|^-", path.read_text(encoding="utf-8"), re.MULTILINE):
            found.append(f"{path.name} holds an address or an option; it lists packages alone")
    return found


def main() -> int:
    """Print the header with --header, else what is wrong; return the exit code."""
    if sys.argv[1:] == ["--header"]:
        print(header())
        return 0
    for problem in (found := problems()):
        print(f"{problem}; run scripts/lock", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
