"""The TensorFlow graphs of a training: steps, loss, scores, and the optimiser's update."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from objectives.augment import augmenter
from objectives.build import kernels
from objectives.tensorflow import keras, tensorflow

if TYPE_CHECKING:
    import tf_keras

    from objectives.augment import Augment
    from objectives.inlet import Inlet
    from objectives.train import Task, Trainer
    from spaces.candidate import Training

Array = np.ndarray[Any, np.dtype[Any]]
SCORING_BATCH = 512
SMALLEST_PROBABILITY = 1e-7


def scoring_graph(network: tf_keras.Model, inlet: Inlet) -> Callable[[Array], Any]:
    """Return a graph from raw samples (n, *input_shape) to float scores (n, classes)."""
    tf = tensorflow()
    shape = (None, *network.input_shape[1:])

    @tf.function(autograph=False, reduce_retracing=True)  # type: ignore[untyped-decorator]
    def scores(raw: Any) -> Any:
        return network(tf.ensure_shape(inlet(raw), shape), training=False)

    return scores  # type: ignore[no-any-return]


def predict(scores: Callable[[Array], Any], x: Array) -> Array:
    """Run a scoring graph over samples in batches, so that memory-mapped data may be large."""
    parts = [scores(np.ascontiguousarray(x[i : i + SCORING_BATCH])) for i in range(0, len(x), SCORING_BATCH)]
    return np.concatenate([np.asarray(part) for part in parts])


def optimizer_of(name: str, network: tf_keras.Model) -> tf_keras.optimizers.legacy.Optimizer:
    """Return an optimiser whose state exists already: a graph may not make it.

    The legacy ones update a variable by one fused op, which is quicker to trace and to run.
    """
    legacy, tf = keras().optimizers.legacy, tensorflow()
    make = {
        "adam": lambda: legacy.Adam(0.0),
        "sgd": lambda: legacy.SGD(0.0, momentum=0.9, nesterov=True),
        "rmsprop": lambda: legacy.RMSprop(0.0),
    }
    optimizer = make[name]()
    optimizer.apply_gradients((tf.zeros_like(v), v) for v in network.trainable_variables)
    return optimizer


def steps_graph(trainer: Trainer, optimizer: Any) -> Callable[[Any, Any, Any, Any], Any]:
    """Return a graph that trains on some batches, with a learning rate for each, and gives the mean loss."""
    tf = tensorflow()
    network, batch = trainer.network, trainer.batch
    inlet, variables = trainer.task.inlet, network.trainable_variables
    loss_of = _loss(network, trainer.training, trainer.task)
    augment = _augmenter(trainer)
    shape = (batch, *network.input_shape[1:])

    def step(x: Any, y: Any, rows: Any, rate: Any) -> Any:
        samples = tf.ensure_shape(inlet(augment(tf.gather(x, rows), optimizer.iterations)), shape)
        with tf.GradientTape() as tape:
            loss = loss_of(samples, tf.gather(y, rows))
        optimizer.learning_rate.assign(rate)
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        for kernel, mask in trainer.masks:
            kernel.assign(kernel * mask)
        for kernel, clusters in trainer.ties:
            kernel.assign(_tied(kernel, clusters))
        return loss

    @tf.function(autograph=False, reduce_retracing=True)  # type: ignore[untyped-decorator]
    def steps(x: Any, y: Any, order: Any, rates: Any) -> Any:
        def body(i: Any, total: Any) -> tuple[Any, Any]:
            return i + 1, total + step(x, y, order[i * batch : (i + 1) * batch], rates[i])

        count = tf.size(rates)
        _, total = tf.while_loop(lambda i, _: i < count, body, (0, 0.0), parallel_iterations=1)
        return total / tf.cast(count, tf.float32)

    signature = [tf.TensorSpec((None, *x.shape[1:]), x.dtype) for x in trainer.task.train.example]
    return steps.get_concrete_function(  # type: ignore[no-any-return]
        *signature, tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None,), tf.float32)
    )


def _augmenter(trainer: Trainer) -> Augment:
    task = trainer.task
    shape = task.train.x.shape[1:]
    return augmenter(trainer.training.augmentation, shape, task.inlet.normaliser, task.seed)


def _tied(kernel: Any, clusters: Array) -> Any:
    """Return the kernel with the mean of its cluster in place of every weight."""
    tf = tensorflow()
    sizes = np.maximum(np.bincount(clusters), 1).astype(np.float32)
    sums = tf.math.unsorted_segment_sum(tf.reshape(kernel, [-1]), clusters, len(sizes))
    return tf.reshape(tf.gather(sums / sizes, clusters), kernel.shape)


def _loss(network: tf_keras.Model, training: Training, task: Task) -> Callable[[Any, Any], Any]:
    tf, class_weights = tensorflow(), task.class_weights
    penalised = list(kernels(network))

    def loss(samples: Any, labels: Any) -> Any:
        scores = network(samples, training=True)
        logits = tf.math.log(scores + SMALLEST_PROBABILITY) if task.probabilities else scores
        each = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        if class_weights is not None:
            each *= tf.gather(tf.constant(class_weights, tf.float32), labels)
        penalty = training.l1 * tf.add_n([tf.reduce_sum(tf.abs(k)) for k in penalised])
        penalty += training.l2 * tf.add_n([tf.reduce_sum(tf.square(k)) for k in penalised])
        return tf.reduce_mean(each) + penalty

    return loss
