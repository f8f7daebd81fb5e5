"""The default strategy without each of its parts in turn: what its front is worth then.

    python -m benchmarks.ablation

Sides and seeds run one after the other, never at once, and what is finished is kept in the work folder. Seeds
of the same case that it is not asked for stay in the results.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from benchmarks.ablation_lines import PLAIN, WHOLE, Ablation, ablation_lines
from benchmarks.contenders import run_edgesearch
from benchmarks.values import Case, Comparison, Run, earlier, listed, numbers, save, updated
from benchmarks.workshop import Side, Workshop, compare
from search.plan import Part

HERE = Path(__file__).parent
CASE = Case(data="digits", subset=None, epochs=20, seconds=120, seed=0, max_model_bytes=32 * 1024)
SEEDS = (0, 1, 2)
OPTIONS: Mapping[str, tuple[str, ...]] = {
    WHOLE: ("--strategy", "frugal"),
    **{f"without {part}": ("--strategy", "frugal", "--without", part) for part in get_args(Part)},
    PLAIN: ("--strategy", "plain"),
}
"""What each side adds to the command."""


def side(options: Sequence[str]) -> Side:
    """Return how a study with these options is run."""

    def run(case: Case, folder: Path) -> Run:
        return run_edgesearch(case, folder, *options)

    return run


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is not kept yet, and write and print the result after each seed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--seconds", type=float, default=CASE.seconds, help="for each side, from its first ask on"
    )
    parser.add_argument("--epochs", type=int, default=CASE.epochs, help="of a training")
    parser.add_argument(
        "--max-model-bytes",
        type=int,
        default=CASE.max_model_bytes,
        metavar="N",
        help="the limit of all sides",
    )
    parser.add_argument(
        "--side", action="append", choices=tuple(OPTIONS), help=f"beside '{WHOLE}'; repeatable (default: all)"
    )
    parser.add_argument("--seeds", type=numbers, default=SEEDS, metavar="0,1,2")
    parser.add_argument(
        "--work", type=Path, default=HERE / "work" / "ablation", help="what is kept to resume"
    )
    parser.add_argument("--out", type=Path, default=HERE / "results" / "ablation.json")
    options = parser.parse_args(arguments)

    given = {name: getattr(options, name) for name in ("seconds", "epochs", "max_model_bytes")}
    contenders = tuple(dict.fromkeys((WHOLE, *(options.side or OPTIONS))))
    shop = Workshop(options.work, {name: side(extra) for name, extra in OPTIONS.items()})
    about = Case.model_validate({**CASE.model_dump(), **given}).about
    before = [comparison for comparison in earlier(options.out) if comparison.case.about == about]
    print(f"sides: {listed(contenders)}", flush=True)
    done: list[Comparison] = []
    for seed in options.seeds:
        case = Case.model_validate({**CASE.model_dump(), **given, "seed": seed})
        done.append(compare(shop, case, contenders))
        result = Ablation(comparisons=updated(before, done))
        save(options.out, result)
        print("\n".join(ablation_lines(result)), flush=True)


if __name__ == "__main__":
    main()
