"""The exported folder: a model with all that shipping it needs, written whole or not at all.

model.tflite      the file                        infer.py       runs it with numpy and ai-edge-litert alone
model.json        all facts, for programs         sample.npy     one raw sample to try
model_card.md     the same for people             pareto.html    the front that it was chosen from
labels.txt        the classes, one a line         plan.yaml      the plan that repeats the study
firmware/         for a microcontroller: the model as C and C++, with a self-test (see search/firmware)
"""

import io
import json
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping
from importlib.resources import files
from pathlib import Path

import numpy as np
import yaml

from search.card import model_card
from search.errors import StudyError
from search.firmware.folder import FILES as FIRMWARE_FILES
from search.firmware.folder import FOLDER as FIRMWARE
from search.plan import StudyPlan
from search.scene import scene_of
from search.shipment import FORMAT, Shipment, manifest
from search.webpage import webpage

FILES = (
    "model.tflite", "model.json", "model_card.md", "labels.txt",
    "infer.py", "sample.npy", "pareto.html", "plan.yaml",
)  # fmt: skip

_OF_FRONT = re.compile(r"trial-\d+")


def export(shipment: Shipment, to: Path, firmware: Mapping[str, bytes] | None = None) -> Path:
    """Write the folder and return where it lies. An earlier export there is replaced.

    `firmware` is what `firmware_files` gives, for a microcontroller.
    Raises StudyError where the target is a file, holds anything but an earlier export, is the
    current folder, or cannot be written.
    """
    to = to.absolute()
    check_target(to)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        part = _beside(to)
        try:
            _fill(part, {**contents(shipment), **(firmware or {})})
            _put_in_place(part, to)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise StudyError(
            f"cannot write to '{to}' ({error.strerror or error}); choose another --to"
        ) from error
    return to


def others(to: Path, wanted: Collection[str]) -> tuple[Path, ...]:
    """Return the folders of an earlier front in a folder that this front has not: `trial-N` each.

    Raises StudyError where anything else lies there: it would be taken for part of the front.
    """
    to = to.absolute()
    if to.is_symlink() or (to.exists() and not to.is_dir()):
        raise StudyError(f"--to names a folder, but '{to}' is none; choose another --to")
    there = sorted(to.iterdir()) if to.is_dir() else []
    strange = [path for path in there if not _OF_FRONT.fullmatch(path.name) or not _is_export(path)]
    if strange:
        raise StudyError(
            f"--all writes to a new or empty folder or an earlier front, but '{to}' holds "
            f"'{strange[0].name}'; choose another --to"
        )
    found = tuple(path for path in there if path.name not in wanted)
    for path in found:
        check_target(path)
    return found


def check_target(to: Path) -> None:
    """Raise StudyError where a folder cannot be exported to without losing what lies there."""
    to = to.absolute()
    if to.is_symlink() or (to.exists() and not to.is_dir()):
        raise StudyError(f"--to names a folder, but '{to}' is none; choose another --to")
    if Path.cwd().is_relative_to(to):
        raise StudyError(f"the folder you are in cannot be replaced: '{to}'; choose another --to")
    if not to.is_dir():
        return
    held = set(_held(to))
    strange = sorted(held - set(FILES) - {f"{FIRMWARE}/{name}" for name in FIRMWARE_FILES})
    if strange or (held and not _is_export(to)):
        what = f"it holds '{strange[0]}'" if strange else "its model.json is not ours"
        raise StudyError(
            f"--to names a new or empty folder or an earlier export, but {what} in '{to}'; choose another"
        )


def _held(folder: Path) -> Iterator[str]:
    """Yield what lies in a folder, and in its folder of firmware, but for what Python leaves there."""
    for path in folder.iterdir():
        if path.name == FIRMWARE and path.is_dir() and not path.is_symlink():
            yield from (f"{FIRMWARE}/{inner.name}" for inner in path.iterdir())
        elif path.name != "__pycache__":
            yield path.name


def _is_export(folder: Path) -> bool:
    try:
        about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(about, dict) and about.get("format") == FORMAT


def contents(shipment: Shipment) -> dict[str, bytes]:
    """Return the files of an export by name."""
    study, sample = shipment.study, io.BytesIO()
    np.save(sample, shipment.sample, allow_pickle=False)
    texts = {
        "model.json": json.dumps(manifest(shipment), indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        "model_card.md": model_card(shipment),
        "labels.txt": "".join(f"{' '.join(name.split())}\n" for name in study.data.classes),
        "infer.py": files("search").joinpath("templates/infer.py").read_text(encoding="utf-8"),
        "pareto.html": webpage(scene_of(study)),
        "plan.yaml": plan_yaml(study.plan, study.name),
    }
    encoded = {name: text.encode() for name, text in texts.items()}
    return {"model.tflite": shipment.tflite, "sample.npy": sample.getvalue(), **encoded}


def plan_yaml(plan: StudyPlan, study: str) -> str:
    """Return a plan as YAML that reads back as an equal plan, defaults written out."""
    text = yaml.safe_dump(plan.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return f"# Repeats the study {study}: edgesearch study plan.yaml\n{text}"


def _fill(folder: Path, named: dict[str, bytes]) -> None:
    for name, data in named.items():
        (folder / name).parent.mkdir(exist_ok=True)
        with (folder / name).open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    script = folder / "infer.py"
    mode = script.stat().st_mode
    script.chmod(mode | (mode & 0o444) >> 2)  # who may read it may run it


def _beside(to: Path) -> Path:
    """Make a new hidden folder next to the target, on the same file system, with the user's own rights."""
    folder = to.parent / f".{to.name}-{secrets.token_hex(4)}"
    folder.mkdir()
    return folder


def _put_in_place(part: Path, to: Path) -> None:
    """Rename the new folder to its place; an earlier one is moved aside first, and back if that fails."""
    if not to.exists():
        part.rename(to)
        return
    aside = _beside(to)
    to.rename(aside / to.name)
    try:
        part.rename(to)
    except OSError:
        (aside / to.name).rename(to)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
