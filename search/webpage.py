"""The scene of a study as one self-contained web page, drawn by plotly: zoom, and hover for details."""

from html import escape
from math import log10
from typing import TYPE_CHECKING, Any

from search.front import figures
from search.scene import GRID, INK, MUTED, Axis, Group, Scene, span
from search.tables import describe_compression, describe_network, human_latency
from search.tables import row as cells_of
from search.trial import TrialRecord
from search.units import human_bytes

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif"


def webpage(scene: Scene) -> str:
    """Return the page as HTML with plotly's own script in it; it asks for nothing from the network."""
    chart: str = _chart(scene).to_html(
        include_plotlyjs=True,
        full_html=False,
        config={"displaylogo": False, "responsive": True},
        div_id="front",
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(scene.study.name)}</title></head>\n"
        f'<body style="margin:1.5rem;font-family:{FONT};color:{INK}">{_heading(scene)}{chart}</body></html>\n'
    )


def _heading(scene: Scene) -> str:
    lines = "<br>".join(escape(line) for line in scene.subtitle)
    return (
        f'<h1 style="margin:0 0 .4rem;font-size:1.6rem">{escape(scene.study.name)}</h1>'
        f'<p style="margin:0;color:{MUTED};line-height:1.5">{lines}</p>\n'
    )


def _chart(scene: Scene) -> "Figure":
    from plotly.subplots import make_subplots

    axes = scene.axes
    # One above the other, so that a narrow frame (MLflow's) does not squeeze them.
    chart = make_subplots(rows=len(axes), cols=1, vertical_spacing=0.14)
    for row, axis in enumerate(axes, start=1):
        for trace in (*_others(scene, axis, row), *_front(scene, axis, row, len(axes))):
            chart.add_trace(trace, row=row, col=1)
        _axes(chart, scene, axis, row)
        _limits(chart, scene, axis, row)
    chart.update_layout(
        template="plotly_white",
        font={"color": INK, "family": FONT},
        height=130 + 400 * len(axes),
        margin={"t": 50, "l": 70, "r": 90, "b": 100},
        legend={
            "orientation": "h",
            "y": -60 / (400 * len(axes)),
            "x": 0.5,
            "xanchor": "center",
            "itemsizing": "constant",
        },
        hoverlabel={"align": "left"},
    )
    return chart


def _axes(chart: "Figure", scene: Scene, axis: Axis, row: int) -> None:
    ends = span(scene.values(axis.metric))
    ticks = axis.ticks(*ends)
    line = {
        "showline": True,
        "linecolor": MUTED,
        "gridcolor": GRID,
        "zeroline": False,
        "row": row,
        "col": 1,
    }
    place = {"tickvals": list(ticks), "ticktext": list(ticks.values())}
    chart.update_xaxes(title=axis.title, type="log", range=[log10(end) for end in ends], **place, **line)
    chart.update_yaxes(title=escape(scene.study.plan.metric), range=list(scene.accuracy_range), **line)


def _others(scene: Scene, axis: Axis, row: int) -> list[Any]:
    from plotly.graph_objects import Scatter

    low, high = scene.accuracy_range
    floor = low + 0.015 * (high - low)  # the ticks stand on the lower edge
    traces = []
    for group in scene.others:
        placed, unplaced = group.placed(axis), group.unplaced(axis)
        shown = (*placed, *unplaced)
        symbols = ["x-thin" if group.cross else "circle"] * len(placed) + ["line-ns"] * len(unplaced)
        marker = {
            "symbol": symbols,
            "size": 8,
            "color": group.colour,
            "line": {"color": group.colour, "width": 1.6},
        }
        traces.append(
            Scatter(
                x=[figures(r)[axis.metric] for r in shown],
                y=[figures(r).get("accuracy", floor) for r in shown],
                marker=marker,
                **_named(group.name, row, bool(shown)),
                **_hover(shown, scene),
            )
        )
    return traces


def _named(name: str, row: int, shown: bool) -> dict[str, Any]:
    legend = {"name": name, "legendgroup": name, "showlegend": row == 1 and shown}
    return {"mode": "markers", "legendrank": 1 if name == "front" else 2, **legend}


def _front(scene: Scene, axis: Axis, row: int, rows: int) -> list[Any]:
    from plotly.graph_objects import Scatter

    best, stairs = Group("front", scene.best, "").placed(axis), scene.stairs(axis)
    steps = Scatter(
        x=[figures(r)[axis.metric] for r in stairs],
        y=[figures(r)["accuracy"] for r in stairs],
        line={"shape": "hv", "color": MUTED, "width": 1},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        legendgroup="front",
    )
    points = Scatter(
        x=[figures(r)[axis.metric] for r in best],
        y=[figures(r)["accuracy"] for r in best],
        error_x=_spread(scene, best) if axis.metric == "latency_ms" else None,
        marker={"size": 12, "line": {"color": INK, "width": 0.8}, **_colours(scene, axis, row, rows)},
        **_named("front", row, bool(best)),
        **_hover(best, scene),
    )
    return [steps, points]


def _spread(scene: Scene, records: tuple[TrialRecord, ...]) -> dict[str, Any]:
    below, above = scene.spread(records)
    bars = {"type": "data", "symmetric": False, "array": above, "arrayminus": below}
    return {**bars, "thickness": 1, "width": 0, "color": MUTED}


def _colours(scene: Scene, axis: Axis, row: int, rows: int) -> dict[str, Any]:
    other = scene.colour_axis(axis)
    if other is None or not scene.best:
        return {"color": "#2a788e"}
    logs = [log10(figures(r)[other.metric]) for r in scene.best]
    ticks = other.ticks(10 ** min(logs), 10 ** max(logs), most=5)
    bar = {
        "title": {"text": other.title},
        "tickvals": [log10(t) for t in ticks],
        "ticktext": list(ticks.values()),
        "thickness": 12,
        "outlinewidth": 0,
        "x": 1.01,
        "y": 1 - (row - 0.5) / rows,
        "len": 0.8 / rows,
    }
    return {"color": logs, "colorscale": "Viridis", "reversescale": True, "colorbar": bar}


def _limits(chart: "Figure", scene: Scene, axis: Axis, row: int) -> None:
    line = {"line": {"color": INK, "width": 1, "dash": "dash"}, "row": row, "col": 1}
    if (goal := scene.limit(axis.metric)) and goal.limit is not None:
        text = scene.limit_text(goal, axis.text)
        chart.add_vline(x=goal.limit, **line)
        # plotly wants the place of a note on a log axis as a logarithm, that of a line as it is
        place = {"x": log10(goal.limit), "y": 1, "yref": "y domain", "xanchor": "right", "yanchor": "bottom"}
        chart.add_annotation(text=text, showarrow=False, row=row, col=1, **place)
    if (goal := scene.limit("accuracy")) and goal.limit is not None:
        text = scene.limit_text(goal, "{:g}".format)
        chart.add_hline(y=goal.limit, annotation={"text": text}, annotation_position="top left", **line)


def _hover(records: tuple[TrialRecord, ...], scene: Scene) -> dict[str, Any]:
    return {"text": [_details(r, scene) for r in records], "hovertemplate": "%{text}<extra></extra>"}


def _details(record: TrialRecord, scene: Scene) -> str:
    values, candidate = figures(record), record.candidate
    lines = [f"<b>trial {record.number}</b> · {record.state}"]
    if "accuracy" in values:
        lines.append(f"{escape(scene.study.plan.metric)} {values['accuracy']:.4f}")
    if "latency_ms" in values:
        lines.append(f"latency {human_latency(record)} {cells_of(record)['provenance'] or ''}".rstrip())
    if "model_bytes" in values:
        deflated = values.get("compressed_bytes")
        also = f", {human_bytes(deflated)} deflated" if deflated is not None else ""
        lines.append(f"size {human_bytes(values['model_bytes'])}{also}")
    if "arena_bytes" in values:
        lines.append(f"arena {human_bytes(values['arena_bytes'])} {cells_of(record)['arena_provenance']}")
    if candidate:
        lines += [describe_compression(candidate.compression), describe_network(candidate)]
    if record.reason:
        lines.append(escape(record.reason))
    return "<br>".join(lines)
