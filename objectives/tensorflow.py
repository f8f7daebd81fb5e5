"""TensorFlow, imported where it is used and set up once: legacy Keras, quiet, one thread a worker."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

# TFMOT works on tf_keras alone; with Keras 3 it refuses or silently does nothing.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@cache
def tensorflow() -> Any:
    """Return the module `tensorflow`, silenced."""
    import logging

    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # identical results on every worker
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
