"""edgesearch against a plain Optuna script: same space, data, epochs and wall time; one neutral judge.

    python -m benchmarks.against_plain

The sides run one after the other, never at once. What is finished is kept in the work folder and not
run again, so that the command goes on where it was ended.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import CONTENDERS
from benchmarks.judge import Judge, runner
from benchmarks.report import comparison_lines
from benchmarks.values import (
    AgainstPlain,
    Case,
    Comparison,
    Judgement,
    Run,
    circumstances,
    listed,
    numbers,
    save,
)
from hardware_profiles.anchor import calibrate
from hardware_profiles.runners.base import Anchor

HERE = Path(__file__).parent
CASES = {
    "digits": Case(data="digits", subset=None, epochs=20, seconds=120, seed=0),
    "fashion-mnist": Case(data="fashion-mnist", subset=12_000, epochs=6, seconds=240, seed=0),
}


@dataclass(frozen=True)
class Workshop:
    """The work folder, and what is finished in it."""

    root: Path

    def anchor(self) -> Anchor:
        """Return what the anchor takes here, the same for every side and case."""
        path = self.root / "anchor.json"
        if path.is_file():
            return Anchor.model_validate_json(path.read_text(encoding="utf-8"))
        anchor = calibrate(runner())
        self.root.mkdir(parents=True, exist_ok=True)
        path.write_text(anchor.model_dump_json(), encoding="utf-8")
        return anchor

    def run(self, case: Case, contender: str) -> Run:
        """Run one side, unless it was run already; a half-finished run starts again from nothing."""
        folder = self.folder(case, contender)
        path = folder / "run.json"
        if not path.is_file():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            print(f"{case.title}: running {contender}", flush=True)
            save(path, CONTENDERS[contender](case, folder))
        return Run.model_validate_json(path.read_text(encoding="utf-8"))

    def judged(self, case: Case, contender: str, judge: Judge) -> Judgement:
        """Judge one side, unless it was judged already."""
        folder = self.folder(case, contender)
        path = folder / "judgement.json"
        if not path.is_file():
            print(f"{case.title}: judging {contender}", flush=True)
            run = self.run(case, contender)
            save(path, judge.judge(contender, run, case.seconds, folder))
        return Judgement.model_validate_json(path.read_text(encoding="utf-8"))

    def folder(self, case: Case, contender: str) -> Path:
        """Return where one side of a case has its files."""
        return self.root.absolute() / case.name / "-".join(contender.replace(",", "").split())


def compare(workshop: Workshop, case: Case, contenders: Sequence[str]) -> Comparison:
    """Run every side of a case, then judge them all."""
    for contender in contenders:
        workshop.run(case, contender)
    anchor = workshop.anchor()
    judge = Judge.of(case, workshop.root / "data", anchor)
    return Comparison(
        case=case,
        majority_accuracy=judge.majority_accuracy,
        anchor_ms=anchor.constant_ms,
        sides=tuple(workshop.judged(case, contender, judge) for contender in contenders),
    )


def cases(options: argparse.Namespace) -> list[Case]:
    """Return the cases that the options ask for, seed by seed."""
    asked = {name: getattr(options, name) for name in ("seconds", "epochs", "subset")}
    given = {name: value for name, value in asked.items() if value is not None}
    return [
        Case.model_validate({**CASES[name].model_dump(), **given, "seed": seed})
        for name in options.data or CASES
        for seed in options.seeds
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare, print, and write the results after each case."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", action="append", choices=tuple(CASES), help="repeatable (default: all)")
    parser.add_argument(
        "--contender", action="append", choices=tuple(CONTENDERS), help="repeatable (default: all)"
    )
    parser.add_argument("--seconds", type=float, help="for each side, from its first ask on")
    parser.add_argument("--epochs", type=int, help="of a training")
    parser.add_argument("--subset", type=int, help="samples of the training data")
    parser.add_argument("--seeds", type=numbers, default=(0,), metavar="0,1,2")
    parser.add_argument(
        "--work", type=Path, default=HERE / "work" / "against_plain", help="what is kept to resume"
    )
    parser.add_argument("--out", type=Path, default=HERE / "results" / "against_plain.json")
    options = parser.parse_args(arguments)

    contenders, done = options.contender or tuple(CONTENDERS), []
    print(f"sides: {listed(contenders)}", flush=True)
    for case in cases(options):
        done.append(compare(Workshop(options.work), case, contenders))
        save(options.out, AgainstPlain(circumstances=circumstances(), comparisons=tuple(done)))
        print("\n".join(comparison_lines(done[-1])), flush=True)


if __name__ == "__main__":
    main()
