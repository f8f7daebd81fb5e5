"""`edgesearch study --dry-run` of a space: the forecast as text or as one JSON document."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from search.options import as_json, out

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from search.forecast import Duration, Fit, Forecast, LimitForecast
    from search.intervals import Interval
    from search.places import Places
    from search.plan import StudyPlan


def show_forecast(asked: StudyPlan, where: Places, executor: str, *, to_json: bool) -> None:
    """Make the forecast, with its progress on standard error, and show it."""
    forecast = _made(asked, where, 1 if executor == "in-process" else None)
    if to_json:
        return as_json(forecast.model_dump(mode="json"))
    return show(forecast)


def show(forecast: Forecast) -> None:
    """Print a forecast as text."""
    print(*_about_fit(forecast), sep="\n")
    if forecast.fit.limits:
        out().print(_table(forecast.fit.limits))
    print(*_about_limits(forecast.fit), *_about_time(forecast.duration), sep="\n")


def _made(asked: StudyPlan, where: Places, workers: int | None) -> Forecast:
    from search.display import display_on, logging_to, printed_on, undisturbed
    from search.foreseeing import foresee
    from search.interrupts import terminable

    with undisturbed(sys.stderr) as stream:
        display = display_on(stream)
        try:
            with printed_on(display), logging_to(display, where.addresses), terminable():
                return foresee(asked, where, workers, display.say)
        finally:
            display.close()


def _about_fit(forecast: Forecast) -> Iterator[str]:
    fit = forecast.fit
    yield (
        f"{fit.candidates:,} candidates were drawn from the space {forecast.space}; {fit.weighed} of them "
        f"were built and measured untrained on {forecast.device}"
    )
    if not fit.limits:
        yield "no limit can be broken by an untrained network: everything fits"
        return
    if fit.unmade:
        yield f"{fit.unmade} of these could not be made or run there"
    yield f"{percent(fit.fits)} of the space fits"


def _table(limits: tuple[LimitForecast, ...]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("limit", "at", "breaks it", "half of the space keeps"):
        table.add_column(column)
    for limit in limits:
        half = "unknown" if limit.half is None else figure(limit.metric, limit.half)
        table.add_row(limit.metric, figure(limit.metric, limit.limit), percent(limit.broken), half)
    return table


def _about_limits(fit: Fit) -> Iterator[str]:
    if fit.binding is not None:
        yield f"{fit.binding} binds: it is the limit that is broken most often"
    if (relaxed := fit.relaxed) is not None:
        low = figure(relaxed.metric, relaxed.low)
        high = "no bound seen" if relaxed.high is None else figure(relaxed.metric, relaxed.high)
        yield f"{figure(relaxed.metric, relaxed.value)} ({low} to {high}) would let half of the space fit"
    elif fit.binding is not None and fit.fits.value < 0.5:
        yield f"relaxing {fit.binding} alone would not let half of the space fit"
    if fit.untold:
        yield f"only trained networks tell whether they keep the limit on {', '.join(fit.untold)}"


def _about_time(duration: Duration | None) -> Iterator[str]:
    if duration is None:
        yield "nothing that fits was found to be timed, so how long the study takes is not known"
        return
    start, epoch = duration.start_s, duration.epoch_s
    yield (
        f"a trial takes {start.value:.2g} s and {epoch.value:.2g} s an epoch: {times(duration.trial_s)} with "
        f"{duration.epochs} epochs ({duration.probes} candidates, trained here for one)"
    )
    if duration.forms_s.high:
        yield (
            f"offering a network in its other forms takes up to {times(duration.forms_s)} more, the less the "
            "better the front is"
        )
    if duration.climbed:
        yield (
            f"the first {duration.climbed} trials are proven designs, from tiny to large; what they take is "
            "told by their sizes"
        )
    workers = f"{duration.workers} worker{'s' * (duration.workers != 1)}"
    yield (
        f"the study takes about {times(duration.study_s)} for {duration.trials} trials on {workers} like "
        "this one, besides its start"
    )
    yield "(an estimate by this machine, as busy as it was; trials that are stopped early make it shorter)"


def percent(share: Interval) -> str:
    """Return a share as a percentage with its interval."""
    low, value, high = (_percent(part) for part in (share.low, share.value, share.high))
    return f"{value} %" if low == high else f"{value} % ({low} to {high} %)"


def _percent(part: float) -> str:
    """Return a percentage to two digits where it is small; of what is not all or nothing neither is told."""
    shown = 100 * part
    return f"{shown:.0f}" if shown >= 9.5 or not shown else f"{shown:.1f}"


def times(seconds: Interval) -> str:
    """Return a time with its interval."""
    low, value, high = (_time(part) for part in (seconds.low, seconds.value, seconds.high))
    return value if low == high else f"{value} ({low} to {high})"


def _time(seconds: float) -> str:
    from search.display import human_seconds

    return f"{seconds:.2g} s" if seconds < 10 else human_seconds(seconds)


def figure(metric: str, value: float) -> str:
    """Return a limit's value in the unit that people give it in."""
    from search.units import human_figure, human_ms

    return human_ms(value) if metric.endswith("_ms") else human_figure(metric, value)
