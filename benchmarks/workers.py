"""One worker against two, on the same list of candidates: how many times the trials two of them finish.

    python -m benchmarks.workers

The list is drawn with a seed, and worked off through the executor of real studies by one worker and by
two in turn, training everything anew each time. The clock runs from the first submission to the last
result; starting Ray, TensorFlow and a first trial of no account lie before it. After the first round
the longest trials go first, as round one found them, so that no worker idles long at the end.
Finished rounds are kept in the work folder and not run again.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.report import workers_lines
from benchmarks.values import Round, Task, Workers, circumstances, load_average, numbers, save
from hardware_profiles.anchor import calibrate
from hardware_profiles.connect import connect
from objectives.canonical import canonical
from objectives.datasets.spec import DataSpec
from objectives.setting import Setting
from search.executors.on_ray import RayExecutor
from search.home import Home
from search.plan import make_plan
from search.ray_cluster import start_ray
from search.study import Places, Prepared
from spaces.candidate import Candidate, Compression, Training
from spaces.chooser import Pick, RandomChooser
from spaces.layers import Conv, GlobalPool

HERE = Path(__file__).parent
TICK_S = 5.0
READY_TIMEOUT_S = 600.0
WEIGHTS_BUDGET_BYTES = 2_000_000_000
# Of the whole space a few networks take minutes each: who draws them last would decide the outcome.
RANGES = {"blocks": (1, 2), "filters": (4, 12)}
TASK = Task(data="fashion-mnist", subset=12_000, epochs=2, seed=0, candidates=12, ranges=RANGES)


def prepared(task: Task, home: Home) -> Prepared:
    """Prepare a study of the task as any study is prepared."""
    data = DataSpec(source=task.data, subset=task.subset)
    ranges = {name: {"low": low, "high": high} for name, (low, high) in task.ranges.items()}
    plan = make_plan({"data": data, "epochs": task.epochs, "seed": task.seed, "ranges": ranges})
    return Prepared.of(plan, Places(home))


def candidates(task: Task, study: Prepared) -> tuple[Candidate, ...]:
    """Draw the list: the same for the same task."""
    chooser = RandomChooser(random.Random(task.seed))  # noqa: S311 - a draw, no secret
    pick = Pick(chooser, study.ranges)
    return tuple(
        canonical(study.space.suggest(pick, study.problem), study.problem) for _ in range(task.candidates)
    )


def setting(study: Prepared, home: Home) -> Setting:
    """Return what the trials share; the anchor is calibrated here, once a round."""
    plan = study.plan
    return Setting(
        problem=study.problem,
        data_root=home.data,
        data_digest=study.data.digest,
        goals=plan.goals,
        metric=plan.metric,
        metric_direction=plan.metric_direction,
        input_type=plan.input_type,
        class_weights=plan.class_weights,
        seed=plan.seed,
        profile=study.profile,
        threads=plan.threads,
        anchor=calibrate(connect(study.profile, plan.threads)),
        artifacts=home.artifacts,
        weights=home.weights,
        weights_budget_bytes=WEIGHTS_BUDGET_BYTES,
    )


def work_off(task: Task, workers: int, order: Sequence[int] | None, ray_home: Home) -> Round:
    """Work the list off in the order given, else as drawn, in a new home: nothing is trained already.

    Ray keeps the token that it read first in a process, so its home is the same for every round.
    """
    load, started = load_average(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        study = prepared(task, home)
        listed = candidates(task, study)
        with _pool(setting(study, home), ray_home, workers) as pool:
            startup_s = time.monotonic() - started
            each_s, failed, seconds = _timed(pool, listed, order or range(len(listed)))
    return Round(
        workers=workers, load=load, startup_s=startup_s, seconds=seconds, failed=failed, each_s=each_s
    )


@contextmanager
def _pool(shared: Setting, ray_home: Home, workers: int) -> Iterator[RayExecutor]:
    """Open a pool in which every worker has had a first trial, with pruning and conversion to int8."""
    with start_ray(ray_home, None, workers):
        pool = RayExecutor(shared, workers)
        try:
            pool.wait_until_ready(READY_TIMEOUT_S)
            warm_up = Candidate(
                architecture=(Conv(filters=4, kernel=(3, 3), stride=(2, 2)), GlobalPool()),
                training=Training(epochs=1),
                compression=Compression(sparsity=0.5, precision="int8"),
            )
            _timed(pool, (warm_up,) * workers, range(workers))
            yield pool
        finally:
            pool.close()


def _timed(
    pool: RayExecutor, listed: Sequence[Candidate], order: Sequence[int]
) -> tuple[dict[int, float], int, float]:
    """Work the list off; return seconds by candidate, how many were not measured, and seconds in all."""
    waiting, submitted, each_s, failed = list(order), dict[int, float](), dict[int, float](), 0
    start = time.monotonic()
    while waiting or len(each_s) < len(submitted):
        while waiting and len(submitted) - len(each_s) < pool.capacity:
            number = waiting.pop(0)
            submitted[number] = time.monotonic()
            pool.submit(number, listed[number])
        if finished := pool.next(TICK_S):
            each_s[finished.number] = time.monotonic() - submitted[finished.number]
            failed += finished.outcome.state != "measured"
    return each_s, failed, time.monotonic() - start


def rounds(task: Task, wanted: Sequence[int], work: Path) -> tuple[Round, ...]:
    """Run the rounds that are not kept yet; `wanted` holds the workers of each."""
    done: list[Round] = []
    for number, workers in enumerate(wanted):
        path = work.absolute() / task.name / f"{number}-{workers}workers.json"
        if not path.is_file():
            print(
                f"round {number + 1} of {len(wanted)}: {task.candidates} candidates, workers: {workers}",
                flush=True,
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            order = longest_first(done[0]) if done else None
            save(path, work_off(task, workers, order, Home(work / "ray")))
        done.append(Round.model_validate_json(path.read_text(encoding="utf-8")))
        print(f"{done[-1].seconds:.1f} s, start-up {done[-1].startup_s:.1f} s", flush=True)
    return tuple(done)


def longest_first(seen: Round) -> list[int]:
    """Order the candidates by what they took, the longest first."""
    return sorted(seen.each_s, key=lambda number: (-seen.each_s[number], number))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the rounds, print, and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", default=TASK.data, choices=("digits", "fashion-mnist"))
    parser.add_argument(
        "--subset", type=int, default=None, help=f"samples (default: {TASK.subset} of fashion-mnist)"
    )
    parser.add_argument("--epochs", type=int, default=TASK.epochs)
    parser.add_argument("--seed", type=int, default=TASK.seed)
    parser.add_argument("--candidates", type=int, default=TASK.candidates, help="length of the list")
    parser.add_argument(
        "--rounds", type=numbers, default=(1, 2, 1, 2), metavar="1,2,1,2", help="workers of each round"
    )
    parser.add_argument("--work", type=Path, default=HERE / "work" / "workers", help="what is kept to resume")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "workers.json")
    options = parser.parse_args(arguments)

    task = Task(
        data=options.data,
        subset=options.subset or (TASK.subset if options.data == TASK.data else None),
        epochs=options.epochs,
        seed=options.seed,
        candidates=options.candidates,
        ranges=RANGES,
    )
    done = rounds(task, options.rounds, options.work)
    result = Workers(circumstances=circumstances(), task=task, rounds=done)
    print("\n".join(workers_lines(result)), flush=True)
    save(options.out, result)


if __name__ == "__main__":
    main()
