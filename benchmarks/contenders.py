"""The sides of the comparison: how each is started, and how its record is read.

Each runs as a process of its own, in a folder of its own, with nothing kept from an earlier run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from benchmarks.values import Case, Run, Trial, load_average

SCRIPT = Path(__file__).with_name("plain_optuna.py")
STUDY = "benchmark"
EDGESEARCH_COMMAND = (sys.executable, "-c", "from search.cli import main; main()")
ENDLESS = 1_000_000
METRICS = ("accuracy", "latency_ms", "model_bytes")
# The value that edgesearch uses, for a plain script by somebody who knows of that trap.
KNOWING_MOMENTUM = 0.9


def run_edgesearch(case: Case, folder: Path, *extra: str) -> Run:
    """Run a study on Ray, as `edgesearch study` does, and read the record from its storage."""
    launched, load = datetime.now(), load_average()  # noqa: DTZ005 - Optuna stores local time without a zone
    options = ["--name", STUDY, "--timeout", f"{case.seconds:g}", "--trials", str(ENDLESS), *extra]
    options += [f"--range={name}={','.join(left)}" for name, left in COMMON_SPACE.items()]
    if case.max_model_bytes is not None:
        options += ["--max-model-bytes", str(case.max_model_bytes)]
    total_s = run_command([*EDGESEARCH_COMMAND, "study", *_given(case), *options], folder, _home(folder))
    first, trials = _read_study(folder)
    startup_s = (first - launched).total_seconds()
    return Run(startup_s=startup_s, total_s=total_s, load=load, divisor=1.0, trials=trials)


def run_plain(case: Case, folder: Path, *extra: str) -> Run:
    """Run the plain script and read the lines that it wrote. Raises ValueError for a case with a limit."""
    if case.max_model_bytes is not None:
        raise ValueError(f"the plain script knows no limits, but the case has one: {case.title}")
    load, out = load_average(), folder / "trials.jsonl"
    options = ["--seconds", f"{case.seconds:g}", "--out", str(out), *extra]
    total_s = run_command([sys.executable, str(SCRIPT), *_given(case), *options], folder)
    start, *lines = (json.loads(line) for line in out.read_text(encoding="utf-8").splitlines())
    trials = tuple(
        Trial(
            number=line["trial"],
            seconds=line["seconds"],
            values=line["values"],
            model=Path(line["model"]),
            error=line["error"],
        )
        for line in lines
    )
    return Run(
        startup_s=start["startup_s"], total_s=total_s, load=load, divisor=start["divisor"], trials=trials
    )


def run_knowing(case: Case, folder: Path) -> Run:
    """Run the plain script with edgesearch's momentum of BatchNorm in place of Keras's default."""
    return run_plain(case, folder, "--batch-norm-momentum", str(KNOWING_MOMENTUM))


EDGESEARCH, PLAIN, KNOWING = "edgesearch", "plain Optuna script", "plain script, BatchNorm momentum 0.9"
CONTENDERS: dict[str, Callable[[Case, Path], Run]] = {
    EDGESEARCH: run_edgesearch,
    PLAIN: run_plain,
    KNOWING: run_knowing,
}


COMMON_SPACE: dict[str, tuple[str, ...]] = {
    "reduction": ("none",),
    "augmentation": ("none",),
    "slim": ("no",),
    "cluster": ("no",),
    "quantization": ("post-training",),
    "precision": ("float32", "float16", "dynamic-int8", "int8"),
}
"""What edgesearch leaves out here: the levers that the plain script does not have."""


def _given(case: Case) -> list[str]:
    subset = ["--subset", str(case.subset)] if case.subset else []
    return ["--data", case.data, *subset, "--epochs", str(case.epochs), "--seed", str(case.seed)]


def _home(folder: Path) -> dict[str, str]:
    return {"EDGESEARCH_HOME": str(folder / "home")}


def run_command(command: Sequence[str], folder: Path, environment: dict[str, str] | None = None) -> float:
    """Run a command in the folder, its output added to `log.txt`; return the seconds it took.

    Variables that would point edgesearch elsewhere are not handed on. Raises RuntimeError with the last
    line of the log where the command fails.
    """
    log, start = folder / "log.txt", time.monotonic()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EDGESEARCH_")}
    with log.open("a", encoding="utf-8") as output:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**kept, **(environment or {})},
            stdout=output,
            stderr=output,
            check=False,
        )
    if done.returncode:
        last = (log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["nothing"])[-1]
        raise RuntimeError(
            f"a side ended with status {done.returncode} and said '{last}'; all of it is in {log}"
        )
    return time.monotonic() - start


def _read_study(folder: Path) -> tuple[datetime, tuple[Trial, ...]]:
    """Return the moment of the first ask and the trials that ended, from the study's own storage."""
    from hardware_profiles.artifact import ArtifactStore
    from search.home import Home
    from search.storage import load, open_storage, read_facts, read_trials

    home = Home(folder / "home")
    study = load(open_storage(home.studies_db), STUDY)
    told = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    first = min(trial.datetime_start for trial in told.values() if trial.datetime_start)
    artifacts, found = ArtifactStore(home.artifacts), []
    for record in read_trials(study, read_facts(study).plan):
        done = told[record.number].datetime_complete
        if done is None or record.outcome is None:
            continue
        values = {metric: record.values[metric] for metric in METRICS} if record.state == "measured" else None
        model = artifacts.path(record.evidence.artifact or "").relative_to(home.root.parent)
        seconds = (done - first).total_seconds()
        form = record.parent is not None
        found.append(Trial(number=record.number, seconds=seconds, values=values, model=model, form=form))
    return first, tuple(found)
