"""What a trial tries: input reduction, architecture, training and compression, and its stages."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from spaces.layers import Block, Dense, Flatten, GlobalPool, Layer
from spaces.value import Value, digest

Precision = Literal["float32", "float16", "dynamic-int8", "int8", "int16x8", "int4"]
Quantization = Literal["post-training", "aware"]
Optimizer = Literal["adam", "sgd", "rmsprop"]
Kind = Literal["table", "image", "series"]
Augmentation = Literal["none", "shift", "shift-flip", "cutout", "jitter", "scale"]
AXES: dict[Kind, str] = {
    "table": "(columns,)",
    "image": "(height, width, channels)",
    "series": "(time, 1, channels)",
}
AUGMENTATIONS: dict[Kind, tuple[Augmentation, ...]] = {
    "table": ("none",),
    "image": ("none", "shift", "shift-flip", "cutout"),
    "series": ("none", "shift", "jitter", "scale"),
}
"""How a training may change its samples at random, by the data's kind (see `objectives/augment.py`)."""
PRECISIONS: tuple[Precision, ...] = ("float32", "float16", "dynamic-int8", "int8", "int16x8", "int4")
TRAINABLE_PRECISIONS: tuple[Precision, ...] = ("int8", "int4")
"""Those that a network can be made aware of while it is trained."""


class Problem(Value):
    """What a space has to fit: the data's kind and shape (no batch axis), and what the device runs.

    `input_shape` is (columns,), (height, width, channels) or (time, 1, channels). `precisions` are all
    that the device runs, and `slow_precisions` those of them that it runs many times slower than the rest:
    they are suggested only to who asks for them. `counts` says whether stored or compressed bytes matter.
    `model` is the digest of a network that the user brought, and `levers` are those that work on it.
    """

    kind: Kind
    input_shape: tuple[Annotated[int, Field(ge=1)], ...]
    classes: Annotated[int, Field(ge=2)]
    epochs: Annotated[int, Field(ge=1)] = 20
    precisions: Annotated[tuple[Precision, ...], Field(min_length=1)] = PRECISIONS
    slow_precisions: tuple[Precision, ...] = ()
    counts: Literal["stored", "compressed"] = "stored"
    model: str | None = None
    levers: tuple[Literal["slim", "prune", "cluster", "aware"], ...] = ("slim", "prune", "cluster", "aware")

    @model_validator(mode="after")
    def _axes_of_the_kind(self) -> Self:
        axes = 1 if self.kind == "table" else 3
        if len(self.input_shape) != axes or (self.kind == "series" and self.input_shape[1] != 1):
            raise ValueError(f"a {self.kind} has the shape {AXES[self.kind]}, got {self.input_shape}")
        return self


class Rfe(Value):
    """Recursive feature elimination (Guyon et al. 2002): the best columns, or channels of a series."""

    type: Literal["rfe"] = "rfe"
    columns: Annotated[int, Field(ge=1)]


class Pca(Value):
    """The columns of a table projected on their first principal components, each scaled to variance 1."""

    type: Literal["pca"] = "pca"
    components: Annotated[int, Field(ge=1)]


class Resize(Value):
    """An image at a smaller resolution: `scale` is the fraction of each side that is left."""

    type: Literal["resize"] = "resize"
    scale: Annotated[float, Field(gt=0, lt=1)]


Reduction = Annotated[Rfe | Pca | Resize, Field(discriminator="type")]


class Training(Value):
    """How the weights are found. `l1` and `l2` are factors on the kernels; `dropout` a fraction.

    `augmentation` says how the samples are changed while it learns.
    """

    optimizer: Optimizer = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    batch_size: Annotated[int, Field(ge=1)] = 32
    epochs: Annotated[int, Field(ge=1)] = 20
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    l1: Annotated[float, Field(ge=0)] = 0.0
    l2: Annotated[float, Field(ge=0)] = 0.0
    augmentation: Augmentation = "none"


class Compression(Value):
    """What is done to the trained network, in this order.

    `keep` is the fraction of filters and units that slimming leaves, `sparsity` the fraction of zeros in
    pruned kernels, `clusters` how many different values a kernel has (0: any). `quantization` says whether
    the network is fine-tuned with the rounding of its precision (aware) or only converted; of int4,
    `int4_share` is the fraction of layers with 4-bit weights, the least sensitive ones (8 in the rest).
    """

    keep: Annotated[float, Field(gt=0, le=1)] = 1.0
    sparsity: Annotated[float, Field(ge=0, lt=1)] = 0.0
    clusters: Annotated[int, Field(ge=0, le=256)] = 0
    precision: Precision = "float32"
    quantization: Quantization = "post-training"
    int4_share: Annotated[float, Field(gt=0, le=1)] = 1.0

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.clusters == 1:
            raise ValueError("a kernel has 2 clusters or more (0: it is not clustered), got 1")
        if self.quantization == "aware" and self.precision not in TRAINABLE_PRECISIONS:
            raise ValueError(
                "quantization-aware training is for the precisions "
                f"{', '.join(TRAINABLE_PRECISIONS)}, got '{self.precision}'; use post-training with it"
            )
        if self.int4_share < 1 and self.precision != "int4":
            raise ValueError(f"int4_share belongs to the precision int4, got '{self.precision}'")
        return self

    def up_to(self, lever: "Lever") -> "Compression":
        """Return what is done up to and with a lever that changes weights; nothing of what follows."""
        names = COMPRESSION_FIELDS[: COMPRESSION_FIELDS.index(LAST_FIELD[lever]) + 1]
        return Compression.model_validate({name: getattr(self, name) for name in names})

    @property
    def levers(self) -> "tuple[Lever, ...]":
        """The levers that change weights, in order."""
        used = {
            "slim": self.keep < 1,
            "prune": self.sparsity > 0,
            "cluster": self.clusters > 0,
            "aware": self.quantization == "aware",
        }
        return tuple(lever for lever in LAST_FIELD if used[lever])


Lever = Literal["slim", "prune", "cluster", "aware"]
COMPRESSION_FIELDS = tuple(Compression.model_fields)
LAST_FIELD: dict[Lever, str] = {
    "slim": "keep",
    "prune": "sparsity",
    "cluster": "clusters",
    "aware": "int4_share",
}
"""The levers that change weights, in order, and the last field of `Compression` that each depends on."""


class Candidate(Value):
    """One point of a space: pure data, canonical, named by its digest.

    `model` is the digest of a trained network that the user brought: then there is no architecture.
    """

    architecture: tuple[Layer, ...] = ()
    model: str | None = None
    reduction: Reduction | None = None
    training: Training = Training()
    compression: Compression = Compression()

    @model_validator(mode="after")
    def _vector_before_dense(self) -> Self:
        if self.model is not None:
            if self.architecture or self.reduction:
                raise ValueError(
                    "a network that was brought has its own architecture and takes its own input"
                )
            return self
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
    def base(self) -> "Candidate":
        """The candidate as it is trained first: without any compression."""
        return self.model_copy(update={"compression": Compression()})

    @property
    def stages(self) -> "tuple[Candidate, ...]":
        """The candidates whose weights lead to this one's, each named by its digest: the base first.

        Each has one lever more than the one before it; the last is the adapted network.
        """
        steps = [self.compression.up_to(lever) for lever in self.compression.levers]
        return (self.base, *(self.model_copy(update={"compression": step}) for step in steps))
