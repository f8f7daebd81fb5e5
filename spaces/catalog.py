"""The spaces that ship, by name, and how a user's own is loaded."""

import importlib
import sys
from difflib import get_close_matches
from pathlib import Path

from spaces.candidate import Kind
from spaces.convnet import ConvNet
from spaces.errors import SpaceError
from spaces.mlp import Mlp
from spaces.sequence import Sequence
from spaces.space import Space

SPACES: dict[str, type[Space]] = {"mlp": Mlp, "convnet": ConvNet, "sequence": Sequence}
DEFAULTS: dict[Kind, str] = {"table": "mlp", "image": "convnet", "series": "sequence"}


def load_space(name: str, kind: Kind | None = None) -> Space:
    """Return the space of that name, or the user's own as `package.module:Space`.

    Raises SpaceError for an unknown name, for what is no space, and for data of another kind.
    """
    space = _own(name) if ":" in name else _shipped(name)
    if kind is not None and kind not in space.kinds:
        fits = ", ".join(sorted(n for n, s in SPACES.items() if kind in s.kinds))
        raise SpaceError(
            f"the space '{name}' is for {' and '.join(sorted(space.kinds))}, the data is of kind {kind}; "
            f"use {fits}"
        )
    return space


def _shipped(name: str) -> Space:
    if name not in SPACES:
        close = get_close_matches(name, SPACES, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        raise SpaceError(
            f"no space named '{name}'; {hint}(there are {', '.join(SPACES)}, or package.module:Space)"
        )
    return SPACES[name]()


def _own(name: str) -> Space:
    module, _, attribute = name.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # appended: a file of the user's must not shadow a package
    try:
        space = getattr(importlib.import_module(module), attribute)()
    except Exception as error:  # whatever a user's module raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise SpaceError(
            f"the space '{name}' cannot be loaded ({reason}); give package.module:Space"
        ) from error
    if not isinstance(space, Space):
        raise SpaceError(f"the space '{name}' lacks name, kinds, ranges or suggest; see docs/spaces.md")
    return space
