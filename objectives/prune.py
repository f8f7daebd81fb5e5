"""Magnitude pruning (Zhu & Gupta 2017) through TFMOT, fine-tuned on a polynomial schedule.

Depthwise kernels stay dense: TFMOT skips them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from objectives.outcome import Epoch
from objectives.tensorflow import keras, tfmot
from objectives.train import Phase, Task, train

if TYPE_CHECKING:
    import tf_keras

    from spaces.candidate import Training

EPOCH_SHARE = 0.3
LEARNING_RATE_SHARE = 0.3
# The masks are renewed this often in all: each renewal sorts every kernel.
MASK_UPDATES = 20


def prune(
    network: tf_keras.Model, sparsity: float, training: Training, task: Task
) -> tuple[tf_keras.Model, tuple[Epoch, ...]]:
    """Return the network with that fraction of every prunable kernel at zero, and its learning curve.

    Fine-tunes for 0.3 of the training's epochs at 0.3 of its learning rate. The network passed in
    shares its weights with the one returned.
    """
    epochs = max(2, math.ceil(training.epochs * EPOCH_SHARE))
    steps = epochs * max(1, len(task.train.x) // min(training.batch_size, len(task.train.x)))
    wrapped = _wrap(network, sparsity, steps)
    masked = [layer for layer in wrapped.layers if hasattr(layer, "pruning_obj")]
    for layer in masked:
        layer.pruning_step.assign(0)  # the wrapper counts on from here by itself, once per training step
    phase = Phase(
        epochs,
        training.learning_rate * LEARNING_RATE_SHARE,
        patience=epochs,
        may_restore=False,  # an early epoch may be better, but is not sparse yet
    )
    curve = train(wrapped, training, task, phase)
    for layer in masked:
        layer.pruning_obj.weight_mask_op()  # the optimiser moved masked weights since the last renewal
    return tfmot().sparsity.keras.strip_pruning(wrapped), curve


def _wrap(network: tf_keras.Model, sparsity: float, steps: int) -> tf_keras.Model:
    every = max(1, steps * 2 // 3 // MASK_UPDATES)
    # The end must be a renewal itself, or the last one would fall short of the sparsity asked.
    end = every * max(1, steps * 2 // 3 // every)
    schedule = tfmot().sparsity.keras.PolynomialDecay(
        initial_sparsity=0.0, final_sparsity=sparsity, begin_step=0, end_step=end, frequency=every
    )
    prunable = (keras().layers.Dense, keras().layers.Conv2D)

    def wrap(layer: Any) -> Any:
        # A depthwise layer is a Conv2D to Keras, but not to TFMOT.
        if not isinstance(layer, prunable) or isinstance(layer, keras().layers.DepthwiseConv2D):
            return layer
        return tfmot().sparsity.keras.prune_low_magnitude(layer, pruning_schedule=schedule)

    return keras().models.clone_model(network, clone_function=wrap)

