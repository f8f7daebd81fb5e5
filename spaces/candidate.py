"""What a trial tries: architecture, training and compression, and the digests of its stages."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from spaces.layers import Block, Dense, Flatten, GlobalPool, Layer
from spaces.value import Value, digest

Precision = Literal["float32", "float16", "dynamic-int8", "int8"]
Optimizer = Literal["adam", "sgd", "rmsprop"]
Kind = Literal["table", "image", "series"]
AXES: dict[Kind, str] = {
    "table": "(columns,)",
    "image": "(height, width, channels)",
    "series": "(time, 1, channels)",
}
PRECISIONS: tuple[Precision, ...] = ("float32", "float16", "dynamic-int8", "int8")


class Problem(Value):
    """What a space has to fit: the data's kind and shape (no batch axis), and what the device runs.

    `input_shape` is (columns,), (height, width, channels) or (time, 1, channels).
    """

    kind: Kind
    input_shape: tuple[Annotated[int, Field(ge=1)], ...]
    classes: Annotated[int, Field(ge=2)]
    epochs: Annotated[int, Field(ge=1)] = 20
    precisions: Annotated[tuple[Precision, ...], Field(min_length=1)] = PRECISIONS

    @model_validator(mode="after")
    def _axes_of_the_kind(self) -> Self:
        axes = 1 if self.kind == "table" else 3
        if len(self.input_shape) != axes or (self.kind == "series" and self.input_shape[1] != 1):
            raise ValueError(f"a {self.kind} has the shape {AXES[self.kind]}, got {self.input_shape}")
        return self


class Training(Value):
    """How the weights are found. `l1` and `l2` are factors on the kernels; `dropout` a fraction."""

    optimizer: Optimizer = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    batch_size: Annotated[int, Field(ge=1)] = 32
    epochs: Annotated[int, Field(ge=1)] = 20
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    l1: Annotated[float, Field(ge=0)] = 0.0
    l2: Annotated[float, Field(ge=0)] = 0.0


class Compression(Value):
    """What is done to the trained network. `sparsity` is the fraction of zeros in pruned kernels."""

    sparsity: Annotated[float, Field(ge=0, lt=1)] = 0.0
    precision: Precision = "float32"


class Candidate(Value):
    """One point of a space: pure data, canonical, named by its digest."""

    architecture: tuple[Layer, ...]
    training: Training = Training()
    compression: Compression = Compression()

    @model_validator(mode="after")
    def _vector_before_dense(self) -> Self:
        spatial = True
        for layer in self.architecture:
            if isinstance(layer, Block | GlobalPool) and not spatial:
                raise ValueError(f"{layer.type} needs positions, but they were pooled or flattened before it")
            if isinstance(layer, GlobalPool | Flatten):
                spatial = False
            elif isinstance(layer, Dense) and spatial:
                raise ValueError("dense needs a vector: put global-pool or flatten before it")
        if spatial:
            raise ValueError(
                "an architecture holds global-pool or flatten, for the classifier needs a vector"
            )
        return self

    @property
    def digest(self) -> str:
        """Names the whole candidate, its form included."""
        return digest(self)

    @property
    def base_digest(self) -> str:
        """Names what the first stage depends on: architecture and training."""
        return digest(self.model_copy(update={"compression": Compression()}))

    @property
    def adapted_digest(self) -> str:
        """Names the second stage: the base and what fine-tuning does to it."""
        return digest(self.base_digest, str(self.compression.sparsity))
