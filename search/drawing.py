"""The scene of a study drawn by matplotlib: two panels side by side, without any global state."""

from typing import TYPE_CHECKING, Any

from search.front import figures
from search.scene import GRID, INK, MUTED, Axis, Group, Scene, span
from search.trial import TrialRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def drawing(scene: Scene) -> "Figure":
    """Return the picture as a figure of 13 x 5.8 inches at 150 dots an inch (half as wide with one panel)."""
    # Figure without pyplot: no global state, no display, safe beside other threads
    from matplotlib.figure import Figure

    axes = scene.axes
    figure = Figure(figsize=(6.5 * len(axes), 5.8), dpi=150, facecolor="white")
    panels = figure.subplots(1, len(axes), squeeze=False)[0]
    figure.subplots_adjust(
        left=0.07 if len(axes) > 1 else 0.12, right=0.955, top=0.8, bottom=0.17, wspace=0.27
    )
    for panel, axis in zip(panels, axes, strict=True):
        _draw(figure, panel, scene, axis)
    _legend(figure, panels)
    left = panels[0].get_position().x0
    text = {"x": left, "ha": "left", "va": "top", "parse_math": False}
    figure.text(y=0.965, s=scene.study.name, fontsize=17, fontweight="bold", color=INK, **text)
    for line, y in zip(scene.subtitle, (0.91, 0.877), strict=True):
        figure.text(y=y, s=line, fontsize=9.5, color=MUTED, **text)
    return figure


def _draw(figure: "Figure", panel: "Axes", scene: Scene, axis: Axis) -> None:
    panel.set_xscale("log")
    panel.set_xlim(*span(scene.values(axis.metric)))
    panel.set_ylim(*scene.accuracy_range)
    ticks = axis.ticks(*panel.get_xlim())
    panel.set_xticks(list(ticks), list(ticks.values()))
    panel.minorticks_off()
    panel.grid(color=GRID, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    panel.spines[["left", "bottom"]].set_color(MUTED)
    panel.tick_params(colors=MUTED, labelsize=9)
    panel.set_xlabel(axis.title, color=INK, fontsize=11)
    panel.set_ylabel(scene.study.plan.metric, color=INK, fontsize=11, parse_math=False)
    for group in scene.others:
        _draw_group(panel, group, axis)
    _draw_front(figure, panel, scene, axis)
    _draw_limits(panel, scene, axis)
    if not scene.everything:
        panel.text(0.5, 0.5, "nothing measured yet", transform=panel.transAxes, ha="center", color=MUTED)


def _xy(records: tuple[TrialRecord, ...] | list[TrialRecord], axis: Axis) -> tuple[list[float], list[float]]:
    return [figures(r)[axis.metric] for r in records], [figures(r)["accuracy"] for r in records]


def _draw_group(panel: "Axes", group: Group, axis: Axis) -> None:
    placed, ticks = group.placed(axis), [figures(r)[axis.metric] for r in group.unplaced(axis)]
    if placed:
        marker: dict[str, Any] = (
            {"marker": "x", "linewidths": 1.3} if group.cross else {"marker": "o", "linewidths": 0}
        )
        panel.scatter(*_xy(placed, axis), s=26, color=group.colour, label=group.name, zorder=2, **marker)
    if ticks:
        edge = panel.get_xaxis_transform()
        label = group.name if group.cross and not placed else None
        panel.scatter(
            ticks,
            [0.018] * len(ticks),
            s=70,
            color=group.colour,
            marker="|",
            transform=edge,
            label=label,
            zorder=2,
        )


def _draw_front(figure: "Figure", panel: "Axes", scene: Scene, axis: Axis) -> None:
    best = Group("front", scene.best, "").placed(axis)
    if not best:
        return
    x, y = _xy(best, axis)
    panel.step(*_xy(scene.stairs(axis), axis), where="post", color=MUTED, linewidth=1, alpha=0.7, zorder=3)
    if axis.metric == "latency_ms":
        panel.errorbar(x, y, xerr=scene.spread(best), fmt="none", ecolor=MUTED, elinewidth=1, zorder=3)
    colour = scene.colour_axis(axis)
    shade: dict[str, Any] = {"color": "#2a788e"}
    if colour:
        shade = {"c": [figures(r)[colour.metric] for r in best], "cmap": "viridis_r", "norm": "log"}
    points = panel.scatter(x, y, s=78, edgecolors=INK, linewidths=0.6, label="front", zorder=4, **shade)
    if colour:
        bar = figure.colorbar(points, ax=panel, pad=0.02, fraction=0.04, aspect=30)
        ticks = colour.ticks(*points.get_clim(), most=5)
        bar.set_ticks(list(ticks), labels=list(ticks.values()))
        bar.minorticks_off()
        bar.outline.set_visible(False)
        bar.ax.tick_params(colors=MUTED, labelsize=8, length=0)
        bar.ax.set_title(colour.title, fontsize=8.5, color=MUTED, loc="left")
    _number(panel, scene, axis)


def _number(panel: "Axes", scene: Scene, axis: Axis) -> None:
    """Write the trials' numbers, the best first, leaving out those that would run into another."""
    taken: list[tuple[float, float]] = []
    for record in scene.stairs(axis)[::-1]:
        place = (figures(record)[axis.metric], figures(record)["accuracy"])
        x, y = panel.transData.transform(place)
        if all(abs(x - a) > 55 or abs(y - b) > 24 for a, b in taken):
            taken.append((x, y))
            panel.annotate(
                f"#{record.number}",
                place,
                xytext=(-5, 6),
                textcoords="offset points",
                ha="right",
                fontsize=8,
                color=INK,
            )


def _draw_limits(panel: "Axes", scene: Scene, axis: Axis) -> None:
    line: dict[str, Any] = {"color": INK, "linewidth": 1, "linestyle": (0, (5, 4)), "zorder": 1}
    note: dict[str, Any] = {"fontsize": 8.5, "color": INK, "zorder": 5, "textcoords": "offset points"}
    if (goal := scene.limit(axis.metric)) and goal.limit is not None:
        panel.axvline(goal.limit, **line)
        text, coordinates = scene.limit_text(goal, axis.text), ("data", "axes fraction")
        panel.annotate(text, (goal.limit, 1), xycoords=coordinates, xytext=(3, 4), ha="right", **note)
    if (goal := scene.limit("accuracy")) and goal.limit is not None:
        panel.axhline(goal.limit, **line)
        text, coordinates = scene.limit_text(goal, "{:g}".format), ("axes fraction", "data")
        panel.annotate(text, (0.01, goal.limit), xycoords=coordinates, xytext=(0, 3), **note)


def _legend(figure: "Figure", panels: Any) -> None:
    found = {
        label: h for panel in panels for h, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    # the front comes first, though it is drawn last
    handles = {label: found[label] for label in sorted(found, key=lambda label: label != "front")}
    figure.legend(
        handles.values(), handles.keys(), loc="lower center", ncols=max(1, len(handles)), frameon=False,
        fontsize=9.5, labelcolor=INK, bbox_to_anchor=(0.5, 0.015),
    )  # fmt: skip
