"""Finds what a user names as `package.module:function`."""

import hashlib
import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from objectives.datasets.wording import one_line, suggestion
from objectives.errors import ObjectiveError

REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def is_reference(text: str) -> bool:
    """Tell whether the text has the form `package.module:function`."""
    return REFERENCE.fullmatch(text) is not None


def load_callable(reference: str, error: type[ObjectiveError]) -> Callable[..., Any]:
    """Import the function named `package.module:function`, from the current folder too.

    Raises `error` if the module cannot be imported or holds no such function.
    """
    module_name, _, name = reference.partition(":")
    append_current_folder()
    try:
        module = importlib.import_module(module_name)
    except Exception as cause:  # whatever a user's module raises while it is imported
        raise error(
            f"module '{module_name}' of '{reference}' cannot be imported ({one_line(cause)}); "
            "run in the folder that holds it, or install it"
        ) from cause
    found = getattr(module, name, None)
    if not callable(found):
        where = getattr(module, "__file__", None) or "a folder without __init__.py"
        known = [n for n, value in vars(module).items() if callable(value)]
        raise error(f"module '{module_name}' ({where}) has no function '{name}'{suggestion(name, known)}")
    function: Callable[..., Any] = found
    return function


def source_digest(reference: str) -> str:
    """Return the SHA-256 of the file of an imported `package.module:function`, empty where there is none."""
    file = getattr(sys.modules[reference.partition(":")[0]], "__file__", None)
    try:
        return hashlib.sha256(Path(file or "").read_bytes()).hexdigest()
    except OSError:
        return ""


def append_current_folder() -> None:
    """Let modules of the current folder be imported, after all others: they must not shadow ours."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
