"""Compresses, converts and scores the network that the user brought, on one fold.

What only converts starts from the network's own graph and runs in a child process; what fine-tunes works
on its layers in tf_keras. Its data are fed as they are: normalising is the network's own business.
"""

from __future__ import annotations

from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hardware_profiles.artifact import write_atomically
from objectives.accuracy import by_litert
from objectives.adapt import Adapter, adapted
from objectives.agreement import check_agreement
from objectives.aware import parameter_count
from objectives.brought.edges import edges, with_edges
from objectives.brought.forms import form_in_child
from objectives.brought.importing import original
from objectives.brought.twin import load_twin
from objectives.convert import AGREEING_SAMPLES, CALIBRATION_SAMPLES, frozen, shipped
from objectives.inlet import Inlet
from objectives.metrics import Metric
from objectives.normalise import Normaliser
from objectives.stages import Clock, Form, judged_samples, scores_on, weights_name
from objectives.train import Samples, Task, balanced_weights
from objectives.verify import verify
from spaces.candidate import Compression

if TYPE_CHECKING:
    from collections.abc import Iterator

    from objectives.brought.value import BroughtModel
    from objectives.datasets.store import Data, Fold
    from objectives.setting import Setting
    from objectives.stopping import Watch
    from objectives.weights import WeightStore
    from spaces.candidate import Candidate, Precision

Array = np.ndarray[Any, np.dtype[Any]]


class BroughtWork:
    """Makes forms of a network that was brought, on one fold of the data."""

    def __init__(self, setting: Setting, data: Data, fold: Fold, index: int, metric: Metric) -> None:
        assert setting.model is not None  # for that is what this is for
        assert setting.models is not None
        self._setting, self._index, self._metric = setting, index, metric
        self._model: BroughtModel = setting.model
        self._models: Path = setting.models
        self._data = data
        self._train = Samples(self._fed(data.x_dev[fold.train]), data.y_dev[fold.train])
        self._valid = Samples(self._fed(data.x_dev[fold.valid]), data.y_dev[fold.valid])
        self._forms: dict[tuple[Precision, float], tuple[bytes, Array]] = {}
        width = self._model.input_shape[-1]
        self.normaliser = Normaliser(offset=(0.0,) * width, scale=(1.0,) * width)

    def form(
        self,
        candidate: Candidate,
        store: WeightStore,
        clock: Clock,
        watch: Watch | None = None,  # noqa: ARG002 - it is trained already
    ) -> Form:
        """Return the candidate's file and what it shows on this fold.

        Raises Mismatch where the file is not what was asked, Diverged where training was not finite, and
        ChildFailed where converter or interpreter crashed.
        """
        if candidate.compression.levers:
            return self._tuned(candidate, store, clock)
        with clock("convert"):
            data, scores = self._made(candidate)
            _, exact = self._child("float32", 1.0)
        with clock("verify"):
            held = verify(data, candidate)
            # Of the file without rounding, which was held against the network when it was brought.
            expected, found = exact[:AGREEING_SAMPLES], scores[:AGREEING_SAMPLES]
            check_agreement(found, expected, candidate.compression, unrounded=lambda: expected)
        value, whole = self._judged(data, self._valid.y, scores), self._metric(self._valid.y, exact)
        return Form(data, value, whole, held, (), self._model.parameters, Inlet(self.normaliser))

    def stage_values(self, candidate: Candidate, store: WeightStore) -> tuple[float, ...]:  # noqa: ARG002 - the seam's
        """Return nothing: what a form of such a network costs is not learnt from its stages."""
        return ()

    def training_s(self, candidate: Candidate, store: WeightStore) -> float:  # noqa: ARG002 - the seam's
        """Return nothing: whoever brought the network trained it."""
        return 0.0

    def blank(self, candidate: Candidate) -> bytes:
        """Return the file of the network as it was brought: it weighs about what an adapted one weighs."""
        return self._made(candidate)[0]

    def _fed(self, x: Array) -> Array:
        return x.reshape(len(x), *self._model.input_shape)

    @cached_property
    def _original(self) -> bytes:
        return original(self._models, self._model.digest)

    @cached_property
    def _samples(self) -> _Samples:
        return _Samples(self._model, self._models, self._data, self._index)

    def _made(self, candidate: Candidate) -> tuple[bytes, Array]:
        compression = candidate.compression
        return self._child(compression.precision, compression.int4_share)

    def _child(self, precision: Precision, share: float) -> tuple[bytes, Array]:
        """Return a form and its scores on validation data: there are few, and each is made once."""
        if (precision, share) not in self._forms:
            paths = self._samples.calibration, self._samples.samples
            self._forms[precision, share] = form_in_child(self._original, precision, share, *paths)
        return self._forms[precision, share]

    def _tuned(self, candidate: Candidate, store: WeightStore, clock: Clock) -> Form:
        inlet = Inlet(self.normaliser)
        network = adapted(self._adapter(inlet, clock), candidate, store, self._name)
        samples = np.asarray(self._train.x[:CALIBRATION_SAMPLES])
        with clock("convert"):
            graph = frozen(network.model, inlet)
            made, scores = shipped(graph, inlet, candidate.compression, "float32", samples)
            data = with_edges(made, edges(self._original))
        with clock("verify"):
            held = verify(data, candidate)
            some = samples[:AGREEING_SAMPLES]
            expected = np.asarray(network.model(inlet(some), training=False))
            check_agreement(
                scores,
                expected,
                candidate.compression,
                unrounded=lambda: shipped(graph, inlet, Compression(), "float32", some)[1],
            )
        with clock("score"):
            value = self._judged(data, self._valid.y, None)
        trained = network.trained
        return Form(data, value, trained.value, held, trained.curve, parameter_count(network.model), inlet)

    def _judged(self, data: bytes, y: Array, by_host: Array | None) -> float:
        """Return the metric of a file with the device's kernels; `by_host` are LiteRT's scores, if known."""
        profile = self._setting.profile
        if by_host is not None and scores_on(profile) is by_litert:
            return self._metric(y, by_host)
        some = judged_samples(profile)
        return self._metric(y[:some], scores_on(profile)(data, self.normaliser, self._valid.x[:some]))

    def _adapter(self, inlet: Inlet, clock: Clock) -> Adapter:
        setting = self._setting
        balanced = setting.class_weights == "balanced"
        weights = balanced_weights(self._train.y, setting.problem.classes) if balanced else None
        task = Task(
            self._train, self._valid, inlet, self._metric, weights, setting.seed, self._model.probabilities
        )
        return Adapter(lambda _: load_twin(self._models, self._model.digest), task, clock, trained=True)

    def _name(self, stage: Candidate) -> str:
        return weights_name(self._setting, stage, self._index, self._metric)


class _Samples:
    """Calibration and validation samples of a fold in files that child processes read.

    They lie beside the network, are made once for all workers, and stay.
    """

    def __init__(self, model: BroughtModel, models: Path, data: Data, fold: int) -> None:
        self._folder, self._name = models / model.digest, f"{data.summary.digest}-{fold}.npy"
        train, valid = (data.x_dev[rows] for rows in (data.folds[fold].train, data.folds[fold].valid))
        shape = (-1, *model.input_shape)
        self.calibration = self._kept("calibration", train[:CALIBRATION_SAMPLES].reshape(shape))
        self.samples = self._kept("validation", valid.reshape(shape))

    def _kept(self, what: str, samples: Array) -> Path:
        path = self._folder / f"{what}-{self._name}"
        if not path.is_file():
            content = BytesIO()
            np.save(content, samples)
            write_atomically(path, content.getvalue())
        return path


def scores_as_it_is(model: BroughtModel, models: Path, data: Data) -> Iterator[tuple[Array, Array]]:
    """Yield targets and scores of a network as it was brought on the validation data of every fold.

    Raises ChildFailed where it cannot be run.
    """
    file = original(models, model.digest)
    for index, fold in enumerate(data.folds):
        kept = _Samples(model, models, data, index)
        _, scores = form_in_child(file, "float32", 1.0, kept.calibration, kept.samples)
        yield np.asarray(data.y_dev[fold.valid]), scores
