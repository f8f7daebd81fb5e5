"""The lever `prune`: magnitude pruning (Zhu & Gupta 2017) by TFMOT's schedule and masks, while it learns.

TFMOT's Keras wrapper is left out: it puts its bookkeeping into the traced graph, which took twice as
long to trace as the whole base training. Its own `Pruning` object does the same between the steps of
the graph that is there already. Depthwise kernels stay dense, as with the wrapper.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from objectives.tensorflow import tensorflow, tfmot
from objectives.train import Phase, Trainer, fine_tuning_epochs

if TYPE_CHECKING:
    from objectives.outcome import Epoch

MASK_UPDATES = 10


def prune(trainer: Trainer, sparsity: float) -> tuple[Epoch, ...]:
    """Bring that fraction of every prunable kernel of the trainer's network to zero; return the curve.

    Fine-tunes from the training's full learning rate (a third of it was worse for
    9 of 12 random networks on digits: what the masks took has to be learnt anew). The masks grow over the
    first two thirds of the steps; the last epoch's weights are the result, for earlier ones are not
    sparse yet.
    """
    training = trainer.training
    epochs = fine_tuning_epochs(training)
    every, end = _rhythm(epochs * trainer.steps_per_epoch)
    pruning, step = _pruning(trainer, sparsity, every, end)

    def renew(number: int) -> None:
        step.assign(number)
        pruning.conditional_mask_update()
        pruning.weight_mask_op()

    return trainer.run(Phase(epochs, training.learning_rate, best=False, every=every, renew=renew))


def _rhythm(steps: int) -> tuple[int, int]:
    """Return how many steps lie between two masks, and the step of the last one, a multiple of that."""
    every = max(1, steps * 2 // 3 // MASK_UPDATES)
    return every, every * max(1, min(steps - 1, steps * 2 // 3) // every)


def _pruning(trainer: Trainer, sparsity: float, every: int, end: int) -> tuple[Any, Any]:
    tf = tensorflow()
    schedule = tfmot().sparsity.keras.PolynomialDecay(
        initial_sparsity=0.0, final_sparsity=sparsity, begin_step=0, end_step=end, frequency=every
    )
    step = tf.Variable(0, dtype=tf.int64, trainable=False)
    masked = [(kernel, mask, tf.Variable(0.0, trainable=False)) for kernel, mask in trainer.masks]
    return _counting()(lambda: step, masked, schedule, (1, 1), "AVG"), step


@cache
def _counting() -> type[Any]:
    """Return TFMOT's pruning with masks that keep so many weights and no more.

    Its own keep all that are as large as the smallest one kept. That may be a third of a kernel: weights
    that learn nothing are moved by the regularisation alone, and RMSprop moves all of them in step.
    """
    from tensorflow_model_optimization.python.core.sparsity.keras.pruning_impl import Pruning

    tf = tensorflow()

    class Counting(Pruning):  # type: ignore[misc]
        def _update_mask(self, weights: Any) -> tuple[Any, Any]:
            sparsity = self._pruning_schedule(self._step_fn())[1]
            count = tf.cast(tf.size(weights), tf.float32)
            kept = tf.cast(tf.maximum(tf.round(count * (1 - sparsity)), 1), tf.int32)
            values, places = tf.math.top_k(tf.reshape(tf.abs(weights), [-1]), k=kept)
            mask = tf.scatter_nd(places[:, None], tf.ones_like(values), [tf.size(weights)])
            return values[-1], tf.reshape(mask, tf.shape(weights))

    return Counting
