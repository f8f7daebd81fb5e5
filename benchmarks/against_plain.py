"""edgesearch against a plain Optuna script: same space, data, epochs and wall time; one neutral judge.

    python -m benchmarks.against_plain

The sides run one after the other, never at once. What is finished is kept in the work folder and not
run again, so that the command goes on where it was ended. Cases that it is not asked for stay in the results.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.against_plain_lines import comparison_lines, summary_lines
from benchmarks.contenders import CONTENDERS, EDGESEARCH, PLAIN
from benchmarks.values import AgainstPlain, Case, earlier, listed, numbers, save, updated
from benchmarks.workshop import Workshop, compare

HERE = Path(__file__).parent
CASES = {
    "digits": Case(data="digits", subset=None, epochs=20, seconds=600, seed=0),
    "fashion-mnist": Case(data="fashion-mnist", subset=12_000, epochs=6, seconds=1_800, seed=0),
}
SEEDS = (0, 1, 2)


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
        "--contender",
        action="append",
        choices=tuple(CONTENDERS),
        help=f"repeatable (default: {EDGESEARCH} and {PLAIN})",
    )
    parser.add_argument("--seconds", type=float, help="for each side, from its first ask on")
    parser.add_argument("--epochs", type=int, help="of a training")
    parser.add_argument("--subset", type=int, help="samples of the training data")
    parser.add_argument("--seeds", type=numbers, default=SEEDS, metavar="0,1,2")
    parser.add_argument(
        "--work", type=Path, default=HERE / "work" / "against_plain", help="what is kept to resume"
    )
    parser.add_argument("--out", type=Path, default=HERE / "results" / "against_plain.json")
    options = parser.parse_args(arguments)

    contenders, done = options.contender or (EDGESEARCH, PLAIN), []
    before = earlier(options.out)
    print(f"sides: {listed(contenders)}", flush=True)
    for case in cases(options):
        done.append(compare(Workshop(options.work, CONTENDERS), case, contenders))
        save(options.out, AgainstPlain(comparisons=updated(before, done)))
        print("\n".join(comparison_lines(done[-1])), flush=True)
    print("\n".join(summary_lines(done)), flush=True)


if __name__ == "__main__":
    main()
