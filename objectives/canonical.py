"""What can be told of a candidate before anything is built: its canonical form and a bound on its bytes."""

from objectives.verify import SMALLEST_DYNAMIC_KERNEL
from spaces.candidate import Candidate, Problem
from spaces.weights import kernel_sizes


def canonical(candidate: Candidate, problem: Problem) -> Candidate:
    """Return the candidate without what has no effect, so that equal networks have equal digests.

    Dynamic-range quantization leaves small kernels float; where all are small it does nothing.
    """
    compression = candidate.compression
    if compression.precision != "dynamic-int8":
        return candidate
    if any(kernel.weights >= SMALLEST_DYNAMIC_KERNEL for kernel in kernel_sizes(candidate, problem)):
        return candidate
    plain = compression.model_copy(update={"precision": "float32"})
    return candidate.model_copy(update={"compression": plain})


def least_bytes(candidate: Candidate, problem: Problem) -> int:
    """Return what the kernels alone take in the `.tflite`: no file of this candidate is smaller."""
    precision = candidate.compression.precision
    return sum(_bytes_per_weight(precision, k.weights) * k.weights for k in kernel_sizes(candidate, problem))


def _bytes_per_weight(precision: str, weights: int) -> int:
    if precision == "dynamic-int8":
        return 1 if weights >= SMALLEST_DYNAMIC_KERNEL else 4
    return {"float32": 4, "float16": 2, "int8": 1}[precision]
