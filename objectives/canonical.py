"""What can be told of a candidate before anything is built: its canonical form and a bound on its bytes."""

from objectives.lowbit import low_bit_count
from objectives.verify import SMALLEST_DYNAMIC_KERNEL
from spaces.candidate import Candidate, Problem, Rfe
from spaces.reduced import reduced_shape, slimmed
from spaces.weights import kernel_sizes, projection_size

PLAIN_SHARES = (1.0, 0.75, 0.5, 0.25)


def canonical(candidate: Candidate, problem: Problem) -> Candidate:
    """Return the candidate without what has no effect, so that equal networks have equal digests.

    Of a network that was brought the kernels are not known here: it is taken as it is.

    All columns are no reduction, and a network that slimming leaves as it is was not slimmed. Dynamic-range
    quantization leaves small kernels float; where all are small it does nothing. A share of few layers may
    stand for as many of them as another one does.
    """
    if candidate.model is not None:
        return candidate
    candidate = _without_whole_input(candidate, problem)
    compression = candidate.compression
    channels = reduced_shape(problem.input_shape, candidate.reduction)[-1]
    if slimmed(candidate, channels).architecture == candidate.architecture:
        compression = compression.model_copy(update={"keep": 1.0})
    if compression.precision == "dynamic-int8" and not _has_large_kernel(candidate, problem):
        compression = compression.model_copy(update={"precision": "float32"})
    candidate = candidate.model_copy(update={"compression": compression})
    return _with_plain_share(candidate, problem) if compression.precision == "int4" else candidate


def _with_plain_share(candidate: Candidate, problem: Problem) -> Candidate:
    """Return the candidate with the largest of the plain shares that means the same layers to be counted.

    They are as few as can be, since what a form loses is learnt by its share.
    """
    share = candidate.compression.int4_share
    layers = sum(not kernel.depthwise for kernel in kernel_sizes(candidate, problem))
    count = low_bit_count(layers, share)
    plain = next((s for s in PLAIN_SHARES if low_bit_count(layers, s) == count), share)
    compression = candidate.compression.model_copy(update={"int4_share": plain})
    return candidate.model_copy(update={"compression": compression})


def _without_whole_input(candidate: Candidate, problem: Problem) -> Candidate:
    match candidate.reduction:
        case Rfe(columns=count) if count >= problem.input_shape[-1]:
            return candidate.model_copy(update={"reduction": None})
        case _:
            return candidate


def _has_large_kernel(candidate: Candidate, problem: Problem) -> bool:
    sizes = [kernel.weights for kernel in kernel_sizes(candidate, problem)]
    return max(*sizes, projection_size(candidate, problem)) >= SMALLEST_DYNAMIC_KERNEL


def least_bytes(candidate: Candidate, problem: Problem) -> int:
    """Return what the kernels alone take in the `.tflite`: no file of this candidate is smaller."""
    if candidate.model is not None:
        return 0
    precision = candidate.compression.precision
    total = sum(
        _bytes_per_weight(precision, k.weights, depthwise=k.depthwise) * k.weights
        for k in kernel_sizes(candidate, problem)
    )
    projection = projection_size(candidate, problem)
    return int(total + _bytes_per_weight(precision, projection, depthwise=True) * projection)


def _bytes_per_weight(precision: str, weights: int, *, depthwise: bool) -> float:
    if precision == "dynamic-int8":
        return 1 if weights >= SMALLEST_DYNAMIC_KERNEL else 4
    if precision == "int4":
        return 1 if depthwise else 0.5
    return {"float32": 4, "float16": 2, "int8": 1, "int16x8": 1}[precision]
