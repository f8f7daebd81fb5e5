"""The LiteRT runtime that is installed on the machine that this file runs on, under one of its names."""

from __future__ import annotations

import base64
import importlib
import sys
from typing import Any, NamedTuple

from hardware_profiles.aboard.board import Refusal

RUNTIMES = (
    ("litert", "ai_edge_litert.interpreter", "ai-edge-litert"),
    ("tflite-runtime", "tflite_runtime.interpreter", "tflite-runtime"),
    ("tensorflow", "tensorflow.lite.python.interpreter", "tensorflow"),
)
"""Name, module that has the Interpreter, and distribution: the first that is installed is used."""


class Runtime(NamedTuple):
    """The runtime that was found: its name, its version, and its module."""

    name: str
    version: str | None
    module: Any

    def load(self, model: dict[str, str], threads: int, library: str | None) -> Any:
        """Load a model, by its `path` or its base64 `content`, with tensors allocated.

        `library` is the delegate's. Raises Refusal of kind 'delegate' if that cannot be loaded, and
        whatever the runtime raises for a model that it does not take.
        """
        delegates = {} if library is None else {"experimental_delegates": [self.delegate(library)]}
        if "path" in model:
            where: dict[str, Any] = {"model_path": model["path"]}
        else:
            where = {"model_content": base64.b64decode(model["content"])}
        interpreter = self.module.Interpreter(num_threads=threads, **where, **delegates)
        interpreter.allocate_tensors()
        return interpreter

    def delegate(self, library: str) -> Any:
        """Load a delegate's shared library, by its name or path."""
        try:
            return self.module.load_delegate(library)
        except (OSError, ValueError, RuntimeError, AttributeError) as error:
            reason = " ".join(str(error).split())
            raise Refusal("delegate", f"the delegate '{library}' cannot be loaded: {reason}") from error


def find_runtime() -> Runtime:
    """Return the first runtime that is installed. Raises Refusal of kind 'runtime' if none is."""
    for name, module, distribution in RUNTIMES:
        try:
            found = importlib.import_module(module)
        except ImportError:
            continue
        return Runtime(name, version_of(distribution, module), found)
    raise Refusal("runtime", "there is no LiteRT runtime (ai-edge-litert, tflite-runtime or TensorFlow)")


def version_of(distribution: str, module: str) -> str | None:
    """Return the version of an installed distribution, or what its package says, or None.

    Python 3.7 cannot tell of distributions, and a package may have come in one of another name.
    """
    try:
        from importlib import metadata

        return metadata.version(distribution)
    except ImportError:
        told = getattr(sys.modules[module.partition(".")[0]], "__version__", None)
        return None if told is None else str(told)


def say(stage: str) -> None:
    """Tell on standard error what comes next, so that a crash can be laid at a model's door."""
    print(f"bench: {stage}", file=sys.stderr, flush=True)
