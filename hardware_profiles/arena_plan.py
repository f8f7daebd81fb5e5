"""Working memory of a model by its graph alone: what a runtime that shares memory between tensors needs."""

from itertools import count

from hardware_profiles.graph import Graph, TensorInfo

ALIGNMENT = 16
"""Bytes to which runtimes align tensors (TensorFlow Lite Micro's kBufferAlignment)."""


def planned_bytes(graph: Graph) -> int:
    """Return the bytes in which all tensors that are computed find room, as a greedy planner lays them.

    The largest goes first, each to the lowest place that is free as long as it lives: the rule of TensorFlow
    Lite Micro's GreedyMemoryPlanner. What kernels set aside for themselves is not in it, nor are constants.
    """
    placed: list[tuple[int, int, int, int]] = []  # first and last op, begin and end
    for size, first, last in sorted(_lives(graph), key=lambda life: (-life[0], life[1])):
        taken = sorted((b, e) for f, z, b, e in placed if f <= last and first <= z)
        begin = 0
        for low, high in taken:
            if begin + size <= low:
                break
            begin = max(begin, high)
        placed.append((first, last, begin, begin + size))
    return max((end for *_, end in placed), default=0)


def _lives(graph: Graph) -> list[tuple[int, int, int]]:
    """Return aligned size, and first and last op, of every tensor that is computed or given."""
    lives: dict[int, tuple[TensorInfo, int, int]] = {id(t): (t, 0, 0) for t in graph.inputs}
    for number, op in zip(count(), graph.ops):
        for tensor in op.activations:
            _, first, _ = lives.get(id(tensor), (tensor, number, number))
            lives[id(tensor)] = (tensor, first, number)
    for tensor in graph.outputs:
        _, first, _ = lives.get(id(tensor), (tensor, 0, 0))
        lives[id(tensor)] = (tensor, first, len(graph.ops))
    return [(-(-t.bytes // ALIGNMENT) * ALIGNMENT, first, last) for t, first, last in lives.values()]
