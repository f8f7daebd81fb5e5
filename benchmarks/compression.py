"""What each way to make a model smaller buys, and what it costs: every lever on the same trained networks.

    python -m benchmarks.compression

A convnet and an MLP on 12,000 images of Fashion-MNIST, three seeds; and input reduction on tables, five
seeds. Accuracy is that of the `.tflite` on the test set, latency is measured side by side in one process
per network. Rows that are finished are kept in the work folder and not run again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.compression_lines import (
    ArenaRow,
    CompressionResult,
    LeverRow,
    PenaltyRow,
    ReductionRow,
    compression_lines,
)
from benchmarks.values import circumstances, load_average, numbers, save
from hardware_profiles.anchor import calibrate
from hardware_profiles.artifact import compressed_bytes
from hardware_profiles.micro import ArenaUnknown, arena
from hardware_profiles.profile import this_machine
from hardware_profiles.runners.local import LocalRunner
from objectives.accuracy import Scorer
from objectives.datasets.prepare import prepare
from objectives.datasets.spec import DataSpec
from objectives.datasets.store import Data, open_data
from objectives.metrics import load_metric
from objectives.setting import Setting
from objectives.stages import Clock, FoldWork, Form
from objectives.weights import WeightStore
from search.home import Home
from search.plan import make_plan
from spaces.candidate import Candidate, Compression, Pca, Problem, Reduction, Rfe, Training
from spaces.layers import Conv, Dense, DepthwiseSeparable, Flatten, GlobalPool, Layer, Residual

HERE = Path(__file__).parent
SUBSET, EPOCHS = 12_000, 6
SEEDS, TABLE_SEEDS = (0, 1, 2), (0, 1, 2, 3, 4)
WEIGHTS_BUDGET_BYTES = 10**9
NETWORKS: dict[str, tuple[Layer, ...]] = {
    "convnet": (
        Conv(filters=32, kernel=(3, 3), stride=(2, 2)),
        DepthwiseSeparable(filters=64, kernel=(3, 3)),
        Residual(filters=64, kernel=(3, 3), stride=(2, 2)),
        DepthwiseSeparable(filters=128, kernel=(3, 3)),
        GlobalPool(),
    ),
    "mlp": (Flatten(), Dense(units=128), Dense(units=128)),
}
HALVES: dict[str, tuple[Layer, ...]] = {
    "convnet": (
        Conv(filters=16, kernel=(3, 3), stride=(2, 2)),
        DepthwiseSeparable(filters=32, kernel=(3, 3)),
        Residual(filters=32, kernel=(3, 3), stride=(2, 2)),
        DepthwiseSeparable(filters=64, kernel=(3, 3)),
        GlobalPool(),
    ),
    "mlp": (Flatten(), Dense(units=64), Dense(units=64)),
}
LEVERS: dict[str, Compression] = {
    "float32": Compression(),
    "float16": Compression(precision="float16"),
    "dynamic int8": Compression(precision="dynamic-int8"),
    "int8": Compression(precision="int8"),
    "int16x8": Compression(precision="int16x8"),
    "int4": Compression(precision="int4"),
    "int4 in half of the layers": Compression(precision="int4", int4_share=0.5),
    "int8 aware": Compression(precision="int8", quantization="aware"),
    "int4 aware": Compression(precision="int4", quantization="aware"),
    "80 % sparsity, float32": Compression(sparsity=0.8),
    "80 % sparsity, int8": Compression(sparsity=0.8, precision="int8"),
    "80 % sparsity, int8 aware": Compression(sparsity=0.8, precision="int8", quantization="aware"),
    "16 clusters, float32": Compression(clusters=16),
    "16 clusters, int8": Compression(clusters=16, precision="int8"),
    "16 clusters, int8 aware": Compression(clusters=16, precision="int8", quantization="aware"),
    "80 % sparsity, 16 clusters, int8": Compression(sparsity=0.8, clusters=16, precision="int8"),
    "80 % sparsity, 16 clusters, int8 aware": Compression(
        sparsity=0.8, clusters=16, precision="int8", quantization="aware"
    ),
    "half the filters, int8": Compression(keep=0.5, precision="int8"),
    "half the filters, int8 aware": Compression(keep=0.5, precision="int8", quantization="aware"),
    "half the filters, 80 % sparsity, int8": Compression(keep=0.5, sparsity=0.8, precision="int8"),
    "half the filters, int4": Compression(keep=0.5, precision="int4"),
}
PENALTIES = (0.0, 1e-5, 1e-4, 1e-3)
SCRATCH_SLIM = "half from scratch for slimming's seconds, int8"
SCRATCH_ALL = "half from scratch for the seconds of training and slimming, int8"
REDUCTIONS: tuple[tuple[str, Reduction | None], ...] = (
    ("breast-cancer", None),
    ("breast-cancer", Rfe(columns=8)),
    ("breast-cancer", Pca(components=8)),
    ("digits", None),
    ("digits", Rfe(columns=24)),
    ("digits", Pca(components=24)),
)


@dataclass(frozen=True)
class Bench:
    """One data set with one seed: trains and compresses on its first fold, and holds the test set ready."""

    work: FoldWork
    data: Data
    store: WeightStore

    @classmethod
    def of(cls, spec: DataSpec, seed: int, epochs: int, home: Home) -> Bench:
        """Prepare the data and open its first fold."""
        summary = prepare(spec, home.data)
        data = open_data(home.data, summary.digest)
        plan, profile = make_plan({"data": spec, "seed": seed, "epochs": epochs}), this_machine()
        setting = Setting(
            problem=Problem(
                kind=summary.kind,
                input_shape=summary.input_shape,
                classes=len(summary.classes),
                epochs=epochs,
                precisions=profile.precisions,
            ),
            data_root=home.data,
            data_digest=summary.digest,
            goals=plan.goals,
            metric=plan.metric,
            metric_direction=plan.metric_direction,
            input_type="float32",
            class_weights="none",
            seed=seed,
            profile=profile,
            threads=1,
            anchor=calibrate(LocalRunner(profile.name)),
            artifacts=home.artifacts,
            weights=home.weights,
            weights_budget_bytes=WEIGHTS_BUDGET_BYTES,
        )
        metric = load_metric(plan.metric, plan.metric_direction)
        store = WeightStore(home.weights, WEIGHTS_BUDGET_BYTES)
        return cls(FoldWork(setting, data, data.folds[0], 0, metric), data, store)

    def made(self, candidate: Candidate) -> tuple[Form, dict[str, float]]:
        """Return the candidate's form, and the seconds of each stage that was not there yet."""
        clock = Clock()
        return self.work.form(candidate, self.store, clock), dict(clock.seconds)

    def test(self, form: Form) -> float:
        """Return the accuracy of a file on the test set."""
        x, y = self.data.test()
        scores = Scorer(form.data, self.work.normaliser).scores(x)
        return float(load_metric("accuracy", "maximize")(y, scores))


def lever_rows(network: str, seed: int, home: Home) -> Iterator[LeverRow]:
    """Yield a row for each lever on one trained network, without latencies."""
    bench = Bench.of(DataSpec(source="fashion-mnist", subset=SUBSET), seed, EPOCHS, home)
    training = Training(optimizer="adam", learning_rate=3e-3, batch_size=64, epochs=EPOCHS)
    base = Candidate(architecture=NETWORKS[network], training=training)
    spent: dict[str, float] = {}
    for name, compression in LEVERS.items():
        candidate = base.model_copy(update={"compression": compression})
        yield _row(bench, network, name, seed, candidate, home, spent)
    narrow = base.model_copy(update={"architecture": HALVES[network]})
    pace_s = bench.made(narrow)[1]["train"] / EPOCHS
    for name, budget_s in ((SCRATCH_SLIM, spent["slim"]), (SCRATCH_ALL, spent["train"] + spent["slim"])):
        yield _row(bench, network, name, seed, _lasting(narrow, budget_s / pace_s), home, {})


def _lasting(narrow: Candidate, budget_epochs: float) -> Candidate:
    """Return the halved network, trained from scratch for as many epochs as fit the time, and int8."""
    epochs = max(1, round(budget_epochs))
    training = narrow.training.model_copy(update={"epochs": epochs})
    compression = Compression(precision="int8")
    return narrow.model_copy(update={"training": training, "compression": compression})


def _row(
    bench: Bench,
    network: str,
    name: str,
    seed: int,
    candidate: Candidate,
    home: Home,
    spent: dict[str, float],
) -> LeverRow:
    start = time.perf_counter()
    form, seconds = bench.made(candidate)
    print(f"{network}, seed {seed}, {name}: {time.perf_counter() - start:.1f} s", flush=True)
    for stage, amount in seconds.items():
        spent.setdefault(stage, amount)
    lever_s = sum(seconds.get(stage, 0.0) for stage in ("slim", "prune", "cluster", "aware"))
    model = home.artifacts / f"{candidate.digest}.tflite"
    model.parent.mkdir(parents=True, exist_ok=True)
    model.write_bytes(form.data)
    return LeverRow(
        network=network,
        lever=name,
        seed=seed,
        before=form.float_value if not candidate.compression.levers else None,
        validation=form.value,
        accuracy=bench.test(form),
        model_bytes=len(form.data),
        compressed_bytes=compressed_bytes(form.data),
        sparsity=form.held.sparsity,
        convert_s=seconds["convert"],
        lever_s=lever_s,
        epochs=candidate.training.epochs,
        model=str(model),
    )


def timed(rows: Sequence[LeverRow]) -> tuple[LeverRow, ...]:
    """Return the rows with the latencies of their files, all measured in turn in one fresh process."""
    runner = LocalRunner(this_machine().name)
    latencies = runner.measure([Path(row.model or "") for row in rows], calibrate(runner))
    return tuple(
        row.model_copy(update={"latency_ms": latency.latency_ms, "verdict": latency.verdict, "model": None})
        for row, latency in zip(rows, latencies, strict=True)
    )


def reduction_row(data: str, reduction: Reduction | None, seed: int, home: Home) -> ReductionRow:
    """Return what a reduced input does to an MLP on a table, int8."""
    bench = Bench.of(DataSpec(source=data, kind="table", split_seed=seed), seed, 30, home)
    candidate = Candidate(
        architecture=(Flatten(), Dense(units=32)),
        reduction=reduction,
        training=Training(optimizer="adam", learning_rate=5e-3, batch_size=32, epochs=30),
        compression=Compression(precision="int8"),
    )
    form, _ = bench.made(candidate)
    return ReductionRow(
        data=data,
        reduction=reduction,
        columns=bench.data.summary.input_shape[-1],
        seed=seed,
        accuracy=bench.test(form),
        model_bytes=len(form.data),
    )


def arena_row(network: str, lever: str, bench: Bench) -> ArenaRow:
    """Return the working memory of a lever's file, told by the blank: weights do not change it."""
    candidate = Candidate(architecture=NETWORKS[network], compression=LEVERS[lever])
    with TemporaryDirectory() as folder:
        path = Path(folder, "blank.tflite")
        path.write_bytes(bench.work.blank(candidate))
        try:
            head = arena(path).head_bytes
        except ArenaUnknown:
            head = None
    return ArenaRow(network=network, lever=lever, arena_bytes=head)


def penalty_row(l1: float, home: Home) -> PenaltyRow:
    """Return what a penalty in training does before and after pruning."""
    bench = Bench.of(DataSpec(source="fashion-mnist", subset=SUBSET), 0, EPOCHS, home)
    training = Training(learning_rate=3e-3, batch_size=64, epochs=EPOCHS, l1=l1)
    base = Candidate(
        architecture=NETWORKS["mlp"], training=training, compression=Compression(precision="int8")
    )
    dense, _ = bench.made(base)
    pruned, _ = bench.made(base.model_copy(update={"compression": LEVERS["80 % sparsity, int8"]}))
    return PenaltyRow(
        l1=l1,
        accuracy=bench.test(dense),
        near_zero=dense.held.sparsity,
        compressed_bytes=compressed_bytes(dense.data),
        pruned_accuracy=bench.test(pruned),
        pruned_compressed_bytes=compressed_bytes(pruned.data),
    )


class Workshop:
    """Where finished parts are kept."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def levers(self, network: str, seed: int) -> tuple[LeverRow, ...]:
        """Return one network's rows, run unless they were before."""
        path = self._root / f"{network}-{seed}.json"
        if not path.is_file():
            with TemporaryDirectory() as folder:
                rows = timed(tuple(lever_rows(network, seed, Home(Path(folder)))))
            save(path, CompressionResult(circumstances=circumstances(), load=load_average(), levers=rows))
        return CompressionResult.model_validate_json(path.read_text(encoding="utf-8")).levers

    def extras(self) -> CompressionResult:
        """Return arenas and penalties, run unless they were before."""
        path = self._root / "extras.json"
        if not path.is_file():
            with TemporaryDirectory() as folder:
                home = Home(Path(folder))
                bench = Bench.of(DataSpec(source="fashion-mnist", subset=SUBSET), 0, EPOCHS, home)
                arenas = tuple(arena_row(name, lever, bench) for name in NETWORKS for lever in LEVERS)
                penalties = tuple(penalty_row(l1, home) for l1 in PENALTIES)
            made = CompressionResult(
                circumstances=circumstances(), load=load_average(), arenas=arenas, penalties=penalties
            )
            save(path, made)
        return CompressionResult.model_validate_json(path.read_text(encoding="utf-8"))

    def reductions(self, seed: int) -> tuple[ReductionRow, ...]:
        """Return the rows of input reduction for one seed, run unless they were before."""
        path = self._root / f"reductions-{seed}.json"
        if not path.is_file():
            with TemporaryDirectory() as folder:
                home = Home(Path(folder))
                rows = tuple(reduction_row(data, how, seed, home) for data, how in REDUCTIONS)
            save(path, CompressionResult(circumstances=circumstances(), load=load_average(), reductions=rows))
        return CompressionResult.model_validate_json(path.read_text(encoding="utf-8")).reductions


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is not kept yet, print, and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--network", action="append", choices=tuple(NETWORKS), help="repeatable (default: all)"
    )
    parser.add_argument("--seeds", type=numbers, default=SEEDS, metavar="0,1,2")
    parser.add_argument("--table-seeds", type=numbers, default=TABLE_SEEDS, metavar="0,1,2,3,4")
    parser.add_argument("--work", type=Path, default=HERE / "work" / "compression", help="kept to resume")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "compression.json")
    options = parser.parse_args(arguments)

    shop = Workshop(options.work.absolute())
    networks = options.network or tuple(NETWORKS)
    levers = [row for name in networks for seed in options.seeds for row in shop.levers(name, seed)]
    reductions = [row for seed in options.table_seeds for row in shop.reductions(seed)]
    extras = shop.extras()
    result = CompressionResult(
        circumstances=circumstances(),
        load=load_average(),
        levers=tuple(levers),
        reductions=tuple(reductions),
        arenas=extras.arenas,
        penalties=extras.penalties,
    )
    print("\n".join(compression_lines(result)), flush=True)
    save(options.out, result)


if __name__ == "__main__":
    main()
