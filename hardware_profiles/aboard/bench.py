"""Run models on the machine that this file runs on: time them, or give what they compute.

Answers one JSON request by one line of JSON: what was seen, without judging it. Can be sent to a device
with its neighbours; needs numpy and a LiteRT runtime besides, nothing else of
ours, and keeps to Python 3.7. A model is named by a path (on this machine), or comes with the request.

Each round times a burst of the anchor, a burst of the model, and a burst of the anchor again, so that
every figure of a model stands between two that tell how quick the machine was just then. Rounds
in which the machine is slow are mostly spent on the anchor alone, waiting for a quick moment.
Models and anchor are loaded several times over, since where a copy happens to lie in memory
changes its speed by a percent or two.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

import numpy as np

from hardware_profiles.aboard import board, turn
from hardware_profiles.aboard.board import Refusal
from hardware_profiles.aboard.compute import compute
from hardware_profiles.aboard.litert import Runtime, find_runtime, say

BURST_NS = 100_000
"""How long a burst of a short model takes, about."""
LONG_NS = 1_000_000
"""From here on a model is long: one run is a burst, and cold caches do not matter."""
COPIED_BYTES = 1 << 24
"""Larger files are loaded once only: a small board's memory holds no three of them."""
WARM_UP_NS, WARM_UP_RUNS = 2_000_000, 20
OPENING_ROUNDS, FEWEST_ROUNDS, SYSTEMATIC = 30, 5, 4


def random_input(detail: dict[str, Any], rng: np.random.RandomState) -> Any:
    """Return data of the input's shape and type: unit normal, or whole numbers over the type's range.

    Types wider than 16 bits are indices as a rule, so they get 0 and 1 only.
    """
    shape, kind = detail["shape"], np.dtype(detail["dtype"])
    if kind.kind == "f":
        return rng.standard_normal(shape).astype(kind)
    if kind.kind in "iu" and kind.itemsize <= 2:
        bounds = np.iinfo(kind)
        return rng.randint(bounds.min, bounds.max + 1, shape).astype(kind)
    if kind.kind in "iub":
        return rng.randint(0, 2, shape).astype(kind)
    raise ValueError(f"input '{detail['name']}' has type {kind}, for which there is no random data")


class Subject:
    """One model under test: its loaded copies, and every duration seen, in nanoseconds."""

    def __init__(self, runtime: Runtime, model: dict[str, str], request: dict[str, Any]) -> None:
        self.runtime, self.model, self.request = runtime, model, request
        self.rng = np.random.RandomState(int(request["seed"]))
        self.copies = [self.load()]
        self.typical_ns = self.warm_up(self.copies[0])
        if self.is_copied():
            for _ in range(int(request["copies"]) - 1):
                self.copies.append(self.load())
                self.warm_up(self.copies[-1])
        long = self.typical_ns >= LONG_NS
        self.rewarm = 0 if long else 1
        self.burst_runs = 1 if long else max(3, min(30, BURST_NS // self.typical_ns))
        self.samples: list[int] = []
        self.rounds: list[tuple[int, int, int, int]] = []
        self.runs, self.fastest_ns = 0, self.typical_ns

    def load(self) -> Callable[[], None]:
        """Load one more copy and fill its inputs; return the call that runs it."""
        request = self.request
        interpreter = self.runtime.load(self.model, int(request["threads"]), request["delegate"])
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], random_input(detail, self.rng))
        invoke: Callable[[], None] = interpreter.invoke
        return invoke

    def is_copied(self) -> bool:
        """Tell whether to load it several times: not if it is large, nor if accelerators would take turns."""
        model = self.model
        size = os.path.getsize(model["path"]) if "path" in model else len(model["content"]) * 3 // 4
        return size <= COPIED_BYTES and self.typical_ns < 20 * LONG_NS and self.request["delegate"] is None

    def warm_up(self, invoke: Callable[[], None]) -> int:
        """Run a copy some 2 ms, at least once; return the quickest run in nanoseconds (at least 1)."""
        seen: list[int] = []
        while not seen or (sum(seen) < WARM_UP_NS and len(seen) < WARM_UP_RUNS):
            started = perf_counter_ns()
            invoke()
            seen.append(perf_counter_ns() - started)
        return max(1, min(seen))

    def burst(self, copy: int, kept: bool) -> int:
        """Run a copy (counted round) some times, the first untimed if short; return the minimum in ns.

        What ran before has emptied the caches; that is not the model's doing, hence the untimed run.
        Durations go into the samples only if `kept`.
        """
        invoke, clock = self.copies[copy % len(self.copies)], perf_counter_ns
        for _ in range(self.rewarm):
            invoke()
        seen = []
        for _ in range(self.burst_runs):
            started = clock()
            invoke()
            seen.append(clock() - started)
        self.runs += len(seen)
        if kept:
            self.samples.extend(seen)
        fastest = max(1, min(seen))
        self.fastest_ns = min(self.fastest_ns, fastest)
        return fastest

    def summary(self) -> dict[str, Any]:
        """Return what was seen: quantiles in ns, the number of timed runs, the rounds and of which copy."""
        median, p90, p99 = np.percentile(self.samples, [50, 90, 99])
        return {
            "min_ns": self.fastest_ns,
            "median_ns": median,
            "p90_ns": p90,
            "p99_ns": p99,
            "runs": self.runs,
            "rounds": [(before, fastest, after) for before, fastest, after, _ in self.rounds],
            "copies": [copy for _, _, _, copy in self.rounds],
        }


class Session:
    """The interleaving of one anchor with the models, and when to end it."""

    def __init__(self, anchor: Subject, models: list[Subject], request: dict[str, Any]) -> None:
        self.anchor, self.models, self.request = anchor, models, request
        self.rounds = 0

    @property
    def quick_ns(self) -> float:
        """What a burst of the anchor may take for the machine to count as quick just then."""
        quickest = float(self.anchor.fastest_ns)
        if self.request["reference_ms"] is not None:
            quickest = min(quickest, float(self.request["reference_ms"]) * 1e6)
        return float(self.request["quick"]) * quickest

    def run(self) -> None:
        """Interleave until enough was seen in quick moments, or the time is spent."""
        started = perf_counter_ns()
        while not self.enough((perf_counter_ns() - started) / 1e9):
            for model in self.models:
                self.round(model)
            self.rounds += 1

    def round(self, model: Subject) -> None:
        """Time the model between two bursts of one copy of the anchor, unless the machine is slow.

        The opening rounds and every fourth one go on regardless: they alone give the quantiles,
        which would otherwise tell of quick moments only.
        """
        regardless = self.rounds < OPENING_ROUNDS or self.rounds % SYSTEMATIC == 0
        anchor_copy = self.rounds  # so that every copy of the one meets every copy of the other
        model_copy = self.rounds // len(self.anchor.copies) % len(model.copies)
        before = self.anchor.burst(anchor_copy, regardless)
        if regardless or before <= self.quick_ns:
            fastest = model.burst(model_copy, regardless)
            after = self.anchor.burst(anchor_copy, regardless)
            model.rounds.append((before, fastest, after, model_copy))

    def enough(self, elapsed_s: float) -> bool:
        """Tell whether to end, by the time spent and the quick rounds of the model with the fewest."""
        if self.rounds < FEWEST_ROUNDS:
            return False
        if elapsed_s >= self.request["patience_s"]:
            return True
        if self.rounds % SYSTEMATIC:
            return False
        quick = min(self.quick_rounds(model) for model in self.models)
        spent = elapsed_s >= self.request["budget_s"] and quick >= self.request["few"]
        return bool(spent or quick >= self.request["many"])

    def quick_rounds(self, model: Subject) -> int:
        """Count the model's rounds in which the machine was quick: before, after (equally) and within."""
        limit, agree = self.quick_ns, 1.0 + self.request["agree"]
        own = float(self.request["quick"]) * min(m for _, m, _, _ in model.rounds)
        return sum(
            max(b, a) <= limit and max(b, a) <= agree * min(b, a) and m <= own for b, m, a, _ in model.rounds
        )


def subject(label: str, runtime: Runtime, model: dict[str, str], request: dict[str, Any]) -> Subject:
    """Load a model to be timed, having said so."""
    say(f"loading {label}")
    return Subject(runtime, model, request)


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Time the models as the request says; return the answer."""
    if not request["models"]:
        raise ValueError("no model to time: name at least one")
    before = board.state()
    runtime = find_runtime()
    anchor = subject("the anchor", runtime, request["anchor"], request)
    models = [
        subject(f"model {place}", runtime, model, request) for place, model in enumerate(request["models"])
    ]
    say("timing")
    gc.collect()
    gc.disable()
    Session(anchor, models, request).run()
    return {
        "runtime": {"name": runtime.name, "version": runtime.version},
        "board": board.facts(request["arm_cores"], before, board.state()),
        "peak_rss_bytes": peak_rss_bytes(),
        "anchor": anchor.summary(),
        "models": [model.summary() for model in models],
    }


def peak_rss_bytes() -> int | None:
    """Return the most memory this process held, or None where the system does not tell.

    Linux's getrusage would count what the parent held when it forked, so /proc goes first.
    """
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def leave_nothing_behind(time_limit_s: float) -> None:
    """Die by the alarm if whoever started us is no longer there to end us, and write no core file."""
    if hasattr(signal, "alarm"):
        signal.alarm(int(time_limit_s) + 2)
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def answered(request: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked."""
    return {"measure": measure, "compute": compute}[request["do"]](request)


def main(text: str, *, has_turn: bool = False) -> int:
    """Answer the request on standard output, which native code is kept from writing to.

    `has_turn` says that the machine's turn (see turn.py) is taken already. Returns the status to end with.
    """
    answer_to = os.dup(1)
    os.dup2(2, 1)
    status, held = 0, []
    try:
        request = json.loads(text)
        if not has_turn:
            leave_nothing_behind(request["wait_s"] + request["time_limit_s"])
            held = turn.take(request["who"], request["wait_s"], say, time.sleep)
        leave_nothing_behind(request["time_limit_s"])
        answer = answered(request)
    except Refusal as refusal:
        answer, status = {"error": str(refusal), "kind": refusal.kind}, 1
    except Exception as error:  # whatever it is, it is the answer
        reason = " ".join(str(error).split())
        answer, status = {"error": f"{type(error).__name__}: {reason}"}, 1
    with os.fdopen(answer_to, "w") as stream:
        stream.write("\n" + json.dumps(answer) + "\n")
    del held
    return status


def run() -> None:
    """Answer the request on standard input, and end at once."""
    status = main(sys.stdin.read())
    sys.stderr.flush()
    os._exit(status)  # the answer is out; tearing down native code can only take time or crash
