"""What TensorFlow Lite Micro has kernels for, and what its code takes of a microcontroller's flash.

Operators: tensorflow/tflite-micro, python/tflite_micro/python_ops_resolver.cc, with what the package of
23 October 2026 registers besides; by their names in the `.tflite` schema.

Flash: MLPerf Tiny's reference firmware for the NUCLEO-L4R5ZI (mlcommons/tiny,
benchmark/reference_submissions, the linker's map of image_classification and of anomaly_detection):
TensorFlow Lite Micro 2.3.1 with CMSIS-NN, GCC, Cortex-M4. Of other cores, kernels and releases nobody
published as much: the figures are the least that is expected there, and beside each is what the most is
made of.
"""

from typing import NamedTuple

_NAMES = """
ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND
BROADCAST_ARGS BROADCAST_TO CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS CUMSUM DEPTHWISE_CONV_2D
DEPTH_TO_SPACE DEQUANTIZE DIV DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL FLOOR
FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GATHER_ND GREATER GREATER_EQUAL HARD_SWISH IF L2_NORMALIZATION
L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM
MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PADV2 PRELU QUANTIZE READ_VARIABLE
REDUCE_ALL REDUCE_MAX REDUCE_MIN RELU RELU6 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2
ROUND RSQRT SELECT_V2 SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE
SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE TRANSPOSE_CONV
UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK VAR_HANDLE WHILE ZEROS_LIKE
"""
OPS = frozenset(_NAMES.split())


class Kernel(NamedTuple):
    """The code of one kernel: the operators that it serves, and what it was measured to take."""

    ops: tuple[str, ...]
    flash_bytes: int


# Each with the CMSIS-NN functions that it calls and its registration (32 bytes).
KERNELS = (
    Kernel(("CONV_2D",), 8226),
    Kernel(("DEPTHWISE_CONV_2D",), 8802),
    Kernel(("FULLY_CONNECTED",), 3360),
    Kernel(("ADD",), 5054),
    Kernel(("AVERAGE_POOL_2D", "MAX_POOL_2D"), 2386),
    Kernel(("SOFTMAX",), 4704),
    Kernel(("RESHAPE",), 556),
    Kernel(("DEQUANTIZE",), 868),
    Kernel(("QUANTIZE",), 948),
)
_SIZES = {op: kernel.flash_bytes for kernel in KERNELS for op in kernel.ops}
# Nobody published the others. That they lie between the smallest and the largest of these is assumed, and of
# those that work element by element or only move data, that they take no more than ADD.
_SIMPLE = """
ABS CEIL CONCATENATION EXP EXPAND_DIMS FLOOR GATHER LOGISTIC MAXIMUM MEAN MINIMUM MUL NEG PACK PAD PADV2 RELU
RELU6 RESIZE_NEAREST_NEIGHBOR ROUND RSQRT SHAPE SLICE SPLIT SQRT SQUARE SQUEEZE STRIDED_SLICE SUB SUM TANH
TRANSPOSE UNPACK
"""
SIMPLE = frozenset(_SIMPLE.split())
OTHER_KERNEL, SIMPLE_KERNEL = (
    (min(_SIZES.values()), max(_SIZES.values())),
    (min(_SIZES.values()), _SIZES["ADD"]),
)
# Later releases carry variants for int16 and int4 of the same kernels: an allowance, not a measurement.
GROWTH = 1.5

# The interpreter alone. Low: the map of anomaly_detection without its operators. High: what the same
# runtime's own size builds had last for a program with the interpreter and no operator
# (tensorflow/tflite-micro, data/continuous_builds, x86-64 release, 16 April 2022: 27,240 text + 1,816 data,
# less 2,001 for an empty program; Thumb-2 code is denser), and the arithmetic of GCC and of the C library
# in the map of image_classification (3,404 + 1,224).
CORE_FLASH_BYTES = (7068, 31683)
# A registration is copied to RAM when the program starts.
RAM_BYTES_PER_OP = 32
