"""The model card: what a colleague wants to know before using an exported model."""

import re
from html import escape
from importlib.resources import files
from string import Template

from hardware_profiles.measurement import Source
from hardware_profiles.runners.command import NOT_ANCHORED
from search.confirmation_cells import trained_again
from search.front import figures
from search.shipment import Shipment
from search.tables import describe_compression, describe_network
from search.trial import TrialRecord
from search.units import human_bytes, human_figure, human_ms

SPECIAL = re.compile(r"([\\`*_{}\[\]#|~$!])")
RANKED = (
    "The ranked\n  figure is the minimum of the runs over that of an anchor model that ran in turn with it, "
    "times the anchor's own\n  time on this machine: what repeats. The rest was seen, other load included."
)
UNANCHORED = (
    "The ranked\n  figure is the minimum of the runs; no anchor model ran beside it, for the device does not "
    "run that one.\n  The rest was seen, other load included."
)
INPUT_FILES = {
    "table": "a .csv with these columns, or a .npy",
    "image": "a picture (needs pillow), or a .npy",
    "series": "a .npy",
}


def plain(text: object) -> str:
    """Return text so that Markdown shows it as it is, on one line, and no HTML gets through."""
    return SPECIAL.sub(r"\\\1", escape(" ".join(str(text).split()), quote=False))


def code(text: object) -> str:
    """Return text to stand between backticks in a table: on one line, without what would end either."""
    return " ".join(str(text).split()).replace("`", "'").replace("|", "¦")


def model_card(shipment: Shipment) -> str:
    """Return the card as Markdown. What users named is escaped."""
    template = Template(files("search").joinpath("templates/model_card.md").read_text(encoding="utf-8"))
    return template.substitute(
        _results(shipment)
        | _latency(shipment)
        | {"other_rows": _others(shipment), "confirmed": _confirmed(shipment)}
        | _input(shipment)
        | _network(shipment)
        | _study(shipment)
    )


def _results(shipment: Shipment) -> dict[str, object]:
    held, validation = shipment.held_out, figures(shipment.record).get("accuracy")
    folds = shipment.study.data.folds
    fold_words = f", mean of {folds} folds" if folds > 1 else ""
    return {
        "metric": plain(shipment.study.plan.metric),
        "test": f"{held.value:.4f}",
        "test_low": f"{held.low:.4f}",
        "test_high": f"{held.high:.4f}",
        "test_samples": held.samples,
        "validation": "not known" if validation is None else f"{validation:.4f}",
        "validation_samples": f"{shipment.study.data.sizes[1]}{fold_words}",
    }


def _latency(shipment: Shipment) -> dict[str, object]:
    latency = shipment.latency
    if latency is None:
        return _unmeasured(shipment)
    source = latency.source
    runtime = " ".join(word for word in (source.runtime, source.runtime_version) if word)
    threads = "" if source.threads is None else f"{source.threads} thread{'s' if source.threads > 1 else ''}"
    span = f"{human_ms(latency.low_ms)} to {human_ms(latency.high_ms)}"
    ranked = _ranked(source)
    return {
        "latency_row": f"**{human_ms(latency.latency_ms)}**, {source.provenance} ({span})",
        "latency_told": (
            f"- **Latency** was {source.provenance} on {_device(shipment)}, machine "
            f"`{code(source.machine or 'not named')}`, with {plain(runtime or 'its own runtime')} and "
            f"{threads or 'its own number of threads'}. {ranked}\n  Over {latency.runs} runs: median "
            f"{human_ms(latency.median_ms)}, 90th percentile {human_ms(latency.p90_ms)}, 99th percentile "
            f"{human_ms(latency.p99_ms)}. The run was judged {latency.verdict}."
        ),
    }


def _ranked(source: Source) -> str:
    """Say what the ranked figure is."""
    if source.provenance != "measured":
        return "It is no measurement on that device."
    return UNANCHORED if (source.runtime or "").endswith(NOT_ANCHORED) else RANKED


OTHERS = {"arena_bytes": "working memory (arena)", "energy_mj": "energy of one inference"}


def _others(shipment: Shipment) -> str:
    """Return a row for what else is known of running it, with how each figure came about."""
    record, lines = shipment.record, []
    own = shipment.study.plan.own_objectives
    for metric, name in (OTHERS | {reference: f"`{reference}`" for reference in own}).items():
        if (found := record.measurement(metric)) is not None:
            by = f" by {plain(found.source.runtime)}" if found.source.runtime and metric in OTHERS else ""
            told = f"**{human_figure(metric, found.value)}**, {found.source.provenance}{by}"
            lines.append(f"| {name} | {told} |\n")
    return "".join(lines)


def _confirmed(shipment: Shipment) -> str:
    """Say what looking twice at the file showed, if anybody did."""
    known = shipment.confirmation
    lines = []
    if known is not None and known.latency is not None:
        span = f"{human_ms(known.latency.low_ms)} to {human_ms(known.latency.high_ms)}"
        word = "agrees with" if known.agrees else "**differs from**"
        lines.append(
            f"- **Latency, confirmed:** measured once more at the end of the study it was "
            f"{human_ms(known.latency.latency_ms)} ({span}), which {word} the first measurement.\n"
        )
    if known is not None and known.accuracies:
        count = len(known.accuracies)
        lines.append(
            f"- **Training, confirmed:** the same candidate trained again with {count} fresh "
            f"seed{'s' if count > 1 else ''} came to {trained_again(known)} on validation data.\n"
        )
    return "".join(lines)


def _unmeasured(shipment: Shipment) -> dict[str, object]:
    """Return what is said of a latency that nobody measured."""
    timed = shipment.timed
    if timed is None:
        return {"latency_row": "not known", "latency_told": "- **Latency** is not known: nothing tells it."}
    low, high = timed.low or timed.value, timed.high or timed.value
    span = f"{human_ms(low)} to {human_ms(high)}"
    by = f", by {plain(timed.source.runtime)}" if timed.source.runtime else ""
    return {
        "latency_row": f"**{span}**, {timed.source.provenance}",
        "latency_told": (
            f"- **Latency** was {timed.source.provenance}{by}: {span}. It is no measurement on that device: "
            "measure there before you rely on it."
        ),
    }


def _input(shipment: Shipment) -> dict[str, object]:
    data, source, sink = shipment.study.data, shipment.inputs[0], shipment.outputs[0]
    known = shipment.sample_class is not None
    true = f"\nThe true class of `sample.npy` is {plain(shipment.sample_class)}." if known else ""
    inside = "Normalisation is part of the model: give raw values."
    if shipment.study.model is not None:
        inside = "The model takes the values that it was trained on."
    outside = "The model takes normalised int8 values; `infer.py` makes them of raw ones by `model.json`."
    return {
        "kind": data.kind,
        "shape": data.input_shape,
        "columns": _columns(shipment),
        "normalisation": inside if shipment.applied_by == "model" else outside,
        "input_files": INPUT_FILES[data.kind] if data.kind != "table" or data.columns else "a .npy",
        "sample_class": true,
        "input_name": code(source.name),
        "input_type": source.dtype,
        "input_shape": source.shape,
        "output_name": code(sink.name),
        "output_type": sink.dtype,
        **_answers(shipment),
    }


def _answers(shipment: Shipment) -> dict[str, object]:
    """Say what the network tells, for classes and for any other numbers."""
    data = shipment.study.data
    if not data.classes:
        return {
            "network_is": f"A network for {data.kind} data",
            "predicts": "one array of values",
            "output_meaning": "the values that it was trained to give.",
            "class_limits": "",
        }
    names = ", ".join(plain(name) for name in data.classes)
    return {
        "network_is": f"A classifier of {data.kind} data that tells {len(data.classes)} classes apart",
        "predicts": "one row of probabilities",
        "output_meaning": (
            "a score per class before softmax, in the order of `labels.txt`. `infer.py` applies the "
            f"softmax.\n- Classes: {names}."
        ),
        "class_limits": (
            "- What is of no class gets one all the same.\n"
            "- Probabilities come from a softmax and were not calibrated: a high one is no promise.\n"
        ),
    }


def _columns(shipment: Shipment) -> str:
    lines = []
    for column in shipment.study.data.columns or ():
        kinds = ": " + ", ".join(plain(c) for c in column.categories) if column.categories is not None else ""
        lines.append(f"  - {plain(column.name)}{kinds}\n")
    listed = "- Its columns, in order:\n" + "".join(lines) if lines else ""
    return listed + _not_needed(shipment)


def _not_needed(shipment: Shipment) -> str:
    """Name what the device need not measure: the file takes it, and does not look at it."""
    names = shipment.not_needed
    if not names:
        return ""
    what = "columns" if shipment.study.data.columns else "channels"
    return (
        f"- **Not needed** ({len(names)} {what}; any value will do): {', '.join(plain(n) for n in names)}.\n"
    )


def _network(shipment: Shipment) -> dict[str, object]:
    record, size = shipment.record, len(shipment.tflite)
    compressed, sparsity = figures(record).get("compressed_bytes"), figures(record).get("sparsity_reached")
    count = record.evidence.parameters
    return {
        "architecture": code(describe_network(shipment.candidate)),
        "parameters": "an unknown number of" if count is None else f"{count:,}",
        "precision": describe_compression(shipment.candidate.compression),
        "sparsity": f", {100 * sparsity:.0f} % of them zero" if sparsity else "",
        "model_bytes": human_bytes(size),
        "model_bytes_exact": f"{size:,}",
        "compressed": f", {human_bytes(compressed)} compressed" if compressed else "",
    }


def _device(shipment: Shipment) -> str:
    return plain(shipment.study.profile.title or shipment.study.profile.name)


def _study(shipment: Shipment) -> dict[str, object]:
    study = shipment.study
    return {
        "title": f"{plain(study.data.name)} on {plain(study.profile.name)}",
        "study": code(study.name),
        "trial": shipment.record.number,
        "lineage": _lineage(shipment.record),
        "device": _device(shipment),
        "measured": sum(r.state == "measured" for r in study.trials),
        "data": plain(study.data.name),
        "digest": code(study.data.digest),
        "sizes": " / ".join(f"{size:,}" for size in study.data.sizes),
        "versions": "\n".join(
            f"| {plain(name)} | {plain(v)} |" for name, v in sorted(study.versions.items())
        ),
    }


def _lineage(record: TrialRecord) -> str:
    return "" if record.parent is None else f", another form of the network of trial {record.parent}"
