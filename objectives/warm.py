"""Makes a process warm: what TensorFlow loads, compiles and caches at first use is paid for here.

Without it the first trial of every worker took several times as long as the later ones.
"""

import numpy as np

from objectives.accuracy import Scorer
from objectives.build import build
from objectives.convert import frozen, shipped
from objectives.inlet import Inlet
from objectives.metrics import load_metric
from objectives.normalise import Normaliser
from objectives.prune import prune
from objectives.train import Samples, Task, Trainer, train
from spaces.candidate import Candidate, Compression, Problem, Training
from spaces.layers import Conv, Dense, DepthwiseSeparable, Flatten, Residual

SAMPLES = 32


def warm_up() -> None:
    """Take a tiny network of every kind of layer through every stage, on noise; nothing is kept."""
    generator = np.random.default_rng(0)
    x = generator.integers(0, 255, (SAMPLES, 8, 8, 1), dtype=np.uint8)
    samples = Samples(x, np.arange(SAMPLES, dtype=np.int32) % 2)
    layers = (
        Conv(filters=2, kernel=(3, 3), stride=(2, 2)),
        DepthwiseSeparable(filters=2, kernel=(3, 3)),
        Residual(filters=3, kernel=(3, 3)),
        Flatten(),
        Dense(units=2),
    )
    candidate = Candidate(architecture=layers, training=Training(epochs=1, batch_size=16, dropout=0.1))
    normaliser = Normaliser.fit(x, "image")
    network = build(candidate, Problem(kind="image", input_shape=(8, 8, 1), classes=2), seed=0)
    inlet = Inlet(normaliser)
    task = Task(samples, samples, inlet, load_metric("accuracy"), None, seed=0)
    trainer = Trainer(network, candidate.training, task)
    train(trainer)
    prune(trainer, 0.5)
    data, _ = shipped(frozen(network, inlet), inlet, Compression(precision="int8"), "float32", x)
    Scorer(data, normaliser).scores(x[:1])
