"""Runs the sides of a comparison one after the other and has them judged; what is finished is kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.judge import Judge, runner
from benchmarks.values import Case, Comparison, Judgement, Run, circumstances, code_digest, save
from hardware_profiles.anchor import calibrate
from hardware_profiles.runners.base import Anchor

Side = Callable[[Case, Path], Run]
"""Runs one side of a case in a folder of its own."""


@dataclass(frozen=True)
class Workshop:
    """The work folder, what is finished in it, and how each side is run."""

    root: Path
    sides: Mapping[str, Side]

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
            about = {"code": code_digest(), "circumstances": circumstances()}
            save(path, self.sides[contender](case, folder).model_copy(update=about))
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
    known = [workshop.run(case, contender).circumstances for contender in contenders]
    newest = max((one for one in known if one), key=lambda one: one.date, default=None)
    anchor = workshop.anchor()
    judge = Judge.of(case, workshop.root / "data", anchor)
    return Comparison(
        case=case,
        circumstances=newest or circumstances(),
        majority_accuracy=judge.majority_accuracy,
        anchor_ms=anchor.constant_ms,
        sides=tuple(workshop.judged(case, contender, judge) for contender in contenders),
    )
