"""TensorFlow, imported where it is used and set up once: legacy Keras, quiet, one thread a worker."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from tempfile import TemporaryFile
from typing import Any

# TFMOT works on tf_keras alone; with Keras 3 it refuses or silently does nothing.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


CHATTER = re.compile(rb"WARNING: All log messages before absl::|[IW]\d{4} ")
"""How lines begin that TensorFlow's native code writes while it is loaded, whatever log level it is given."""


@contextmanager
def without_chatter() -> Iterator[None]:
    """Keep TensorFlow's native chatter off standard error; what else is written there comes afterwards."""
    try:
        theirs = os.dup(2)
    except OSError:  # a daemon may have none
        yield
        return
    with TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(theirs, 2)
            os.close(theirs)
            said.seek(0)
            for line in said:
                if not CHATTER.match(line):
                    os.write(2, line)


@cache
def tensorflow() -> Any:
    """Return the module `tensorflow`, silenced."""
    import logging

    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # identical results on every worker
    with without_chatter():
        import tensorflow as tf

    tf.get_logger().setLevel(logging.ERROR)
    return tf


@cache
def keras() -> Any:
    """Return the module `tf_keras`."""
    tensorflow()
    import tf_keras

    return tf_keras


@cache
def tfmot() -> Any:
    """Return the module `tensorflow_model_optimization`."""
    tensorflow()
    import tensorflow_model_optimization

    return tensorflow_model_optimization


def one_thread() -> None:
    """Keep this process's TensorFlow to one thread; call it before the first operation."""
    threading = tensorflow().config.threading
    threading.set_intra_op_parallelism_threads(1)
    threading.set_inter_op_parallelism_threads(1)
