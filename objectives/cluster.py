"""The lever `cluster`: weight clustering (Han et al. 2015), few different values in every kernel.

Centroids start where TFMOT's k-means++ puts them and are settled by Lloyd's algorithm. TFMOT's Keras
wrapper is left out, as with pruning: instead every training step ends with the mean of each cluster in
place of its weights, in the graph that trains everything else (`Trainer.ties`). Zeros keep a cluster of
their own, so that sparsity survives; depthwise kernels are not clustered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from objectives.build import prunable
from objectives.tensorflow import tensorflow

if TYPE_CHECKING:
    import tf_keras

Array = np.ndarray[Any, np.dtype[Any]]


def tie(network: tf_keras.Model, clusters: int) -> list[tuple[Any, Array]]:
    """Give every prunable kernel at most that many values, in place; return which weights belong together.

    The result is what `Trainer` takes as `ties`: kernels with the cluster of each weight, (weights,).
    """
    ties = []
    for kernel in prunable(network):
        labels = cluster_of_each(kernel.numpy().ravel(), clusters)
        values = kernel.numpy().ravel()
        means = np.bincount(labels, values) / np.maximum(np.bincount(labels), 1)
        kernel.assign(means[labels].reshape(kernel.shape).astype(np.float32))
        ties.append((kernel, labels))
    return ties


def cluster_of_each(values: Array, clusters: int) -> Array:
    """Return the cluster of each value, (values,) int32, at most `clusters` of them; all zeros share one."""
    distinct, labels = np.unique(values, return_inverse=True)
    if len(distinct) <= clusters:
        return labels.astype(np.int32)
    zero = values == 0
    if not zero.any():
        return _k_means(values, clusters)
    found = np.zeros(len(values), np.int32)
    found[~zero] = 1 + (_k_means(values[~zero], clusters - 1) if clusters > 2 else 0)
    return found


def _k_means(values: Array, clusters: int) -> Array:
    from sklearn.cluster import KMeans

    start = np.unique(_centroids(values, clusters))[:, None]
    labels = KMeans(len(start), init=start, n_init=1, max_iter=30).fit(values[:, None]).labels_
    return np.asarray(labels, np.int32)


def _centroids(values: Array, clusters: int) -> Array:
    from tensorflow_model_optimization.python.core.clustering.keras.clustering_centroids import (
        KmeansPlusPlusCentroidsInitialisation,
    )

    weights = tensorflow().constant(values.astype(np.float32))
    found = KmeansPlusPlusCentroidsInitialisation(weights, clusters).get_cluster_centroids()
    return np.asarray(found)
