"""What a study needs, as one value: read from YAML or flags, written back into the study."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from hardware_profiles.measurement import Statistic
from objectives.datasets.callables import is_reference
from objectives.datasets.spec import DataSpec
from objectives.goals import Direction, Goal
from objectives.own import load_objective
from search.errors import StudyError
from search.limits import METRICS, Firmware, Limits, refuse_not_positive
from spaces.chooser import Choices, Integers, Range, Reals
from spaces.value import Value

OBJECTIVES: tuple[str, ...] = ("accuracy", "latency_ms", "model_bytes")
"""What is optimised unless the plan says otherwise, where a device stores models as they are."""
NAME = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]{0,99}")
Part = Literal["ladder", "screening", "stopping", "harvest", "preselection"]
"""What a strategy may do besides asking its sampler (see `search/strategies.py`)."""
SHARES = ("accuracy", "balanced-accuracy", "f1-macro")
"""The metrics that are shares: a limit on one lies in (0, 1]."""


def _data(value: object) -> object:
    return {"source": value} if isinstance(value, str) else value


def _range(value: object) -> object:
    if isinstance(value, list | tuple):
        return {"type": "choices", "options": value}
    if not isinstance(value, dict):
        return {"type": "choices", "options": [value]}
    if "type" in value:
        return value
    whole = all(isinstance(v, int) for k, v in value.items() if k in ("low", "high", "step"))
    return {"type": "integers" if whole else "reals", **value}


class StudyPlan(Value):
    """Everything that a study needs and that can repeat it; no address and no secret is part of it.

    `source` is a study that it begins with: with its front, or, without `training`, with all its networks
    and nothing else. `own_directions` are those of the user's own objectives, and are set when these were
    loaded, so that a study can be looked at where they cannot be.
    """

    data: Annotated[DataSpec, BeforeValidator(_data)]
    device: str = "this-machine"
    model: str | None = None
    training: bool = True
    source: str | None = None
    task: Literal["classification"] = "classification"
    space: str | None = None
    ranges: dict[str, Annotated[Range, BeforeValidator(_range)]] = Field(default_factory=dict)
    metric: str = "accuracy"
    metric_direction: Direction = "maximize"
    objectives: tuple[str, ...] = OBJECTIVES
    own_directions: dict[str, Direction] = Field(default_factory=dict)
    limits: Limits = Limits()
    firmware: Firmware | None = None
    limit_on: Statistic = "min"
    input_type: Literal["float32", "int8"] = "float32"
    threads: Annotated[int, Field(ge=1)] = 1
    class_weights: Literal["none", "balanced"] = "none"
    epochs: Annotated[int, Field(ge=1)] = 20
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    trials: Annotated[int, Field(ge=1)] = 100
    timeout_s: Annotated[float, Field(gt=0)] | None = None
    trial_timeout_s: Annotated[float, Field(gt=0)] = 3600.0
    workers: Annotated[int, Field(ge=1)] | None = None
    name: str | None = None
    strategy: str = "frugal"
    without: tuple[Part, ...] = ()
    sampler: str | None = None
    augment: str = "auto"
    confirm: Annotated[int, Field(ge=0)] = 0

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str | None) -> str | None:
        if name is not None and (not NAME.fullmatch(name) or name in {".", ".."}):
            raise ValueError(
                "a study's name is made of at most 100 letters, digits, '.', '_' and '-', and does not begin "
                "with '-'"
            )
        return name

    @model_validator(mode="after")
    def _some_objective(self) -> Self:
        if not self.objectives or len(set(self.objectives)) != len(self.objectives):
            named = ", ".join(self.objectives) or "none"
            raise ValueError(f"objectives are one or more of {', '.join(METRICS)}, each once, got {named}")
        for name in self.objectives:
            if name not in METRICS and not is_reference(name):
                close = get_close_matches(name, METRICS, n=1)
                meant = f"; did you mean '{close[0]}'?" if close else ""
                raise ValueError(
                    f"an objective is one of {', '.join(METRICS)} or package.module:Objective, got "
                    f"'{name}'{meant}"
                )
        return self

    @model_validator(mode="after")
    def _reachable_limit(self) -> Self:
        least = self.limits.accuracy
        if least is not None and self.metric in SHARES and not 0 < least <= 1:
            raise ValueError(f"a limit on {self.metric} is a share, more than 0 and at most 1, got {least:g}")
        if least is not None and self.metric_direction == "minimize":
            refuse_not_positive(self.metric, least)
        return self

    @model_validator(mode="after")
    def _about_a_model(self) -> Self:
        untrained = not self.training and self.source is None
        if self.model is None and (untrained or self.limits.accuracy_drop is not None):
            what = "no training" if untrained else "a limit on the drop of accuracy"
            raise ValueError(f"{what} is for a network of yours; give --model")
        if self.model is not None and self.space is not None:
            raise ValueError(
                "a network of yours has its own architecture, so there is no space to search, got "
                f"'{self.space}'"
            )
        return self

    def fitted(self, model_bytes: int | None, arena_bytes: int | None) -> Self:
        """Return the plan with what a firmware leaves for a model, None where that is nobody's business."""
        left = {"left_model_bytes": model_bytes, "left_arena_bytes": arena_bytes}
        return self.model_copy(update={"limits": self.limits.model_copy(update=left)})

    def measured_against(self, baseline: float | None) -> Self:
        """Return the plan with what its limit on the drop of accuracy comes to.

        `baseline` is what the network that was brought shows on validation data. The limit on accuracy
        itself stays as it was given, so that another drop may be wider than the last. Raises StudyError
        where it comes to none.
        """
        drop, bound = self.limits.accuracy_drop, None
        if baseline is not None and drop is not None:
            maximized = self.metric_direction == "maximize"
            bound = baseline - drop / 100 if maximized else baseline * (1 + drop / 100)
            if not maximized:
                refuse_not_positive(self.metric, bound)
        return self.model_copy(
            update={"limits": self.limits.model_copy(update={"accuracy_against_model": bound})}
        )

    @property
    def data_of_model(self) -> DataSpec:
        """The data as a network that was brought takes it: every column, and any targets if nobody trains.

        Then they are the business of a metric of the user's own.
        """
        own_business = not self.training and is_reference(self.metric)
        return self.data.model_copy(
            update={"keep_constant": True, "targets": "any" if own_business else "classes"}
        )

    @property
    def counts(self) -> Literal["stored", "compressed"]:
        """Which bytes the plan is about: the stored ones, unless only compressed ones are a goal."""
        about = {goal.metric for goal in self.goals}
        return "compressed" if "compressed_bytes" in about and "model_bytes" not in about else "stored"

    def suited_to(self, objectives: tuple[str, ...], limits: Mapping[str, float | None]) -> Self:
        """Return the plan with a device's own objectives and limits where it says nothing of them."""
        kept = (
            self
            if "objectives" in self.model_fields_set
            else self.model_copy(update={"objectives": objectives})
        )
        unset = {
            name: v for name, v in limits.items() if v is not None and getattr(self.limits, name) is None
        }
        return kept.model_copy(update={"limits": self.limits.model_copy(update=unset)}) if unset else kept

    @property
    def only_carried(self) -> bool:
        """Whether nothing is tried but what another study has trained."""
        return self.source is not None and not self.training

    @property
    def own_objectives(self) -> tuple[str, ...]:
        """The objectives that are the user's own, as package.module:Objective."""
        return tuple(name for name in self.objectives if name not in METRICS)

    @property
    def metrics(self) -> tuple[str, ...]:
        """All that can be a goal here, in a fixed order."""
        return (*METRICS, *self.own_objectives)

    @property
    def goals(self) -> tuple[Goal, ...]:
        """The goals in the order of `metrics`."""
        directions: dict[str, Direction] = {"accuracy": self.metric_direction}
        known = self.own_directions
        directions |= {n: known.get(n) or load_objective(n).direction for n in self.own_objectives}
        limits: Mapping[Any, float | None] = self.limits.bounds(self.metric_direction)
        return tuple(
            Goal(
                metric=metric,
                direction=directions.get(metric, "minimize"),
                objective=metric in self.objectives,
                limit=limits.get(metric),
                limit_on=self.limit_on if metric == "latency_ms" else "min",
            )
            for metric in self.metrics
            if metric in self.objectives or limits.get(metric) is not None
        )


def read_plan_file(path: Path) -> dict[str, Any]:
    """Return what a YAML plan says. Raises StudyError for a file that cannot be read or is no mapping."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StudyError(f"the plan '{path}' cannot be read: {error.strerror}; name a YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise StudyError(f"the plan '{path}' is no YAML ({reason}); mend it there") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise StudyError(f"a plan holds keys with values, but '{path}' does not; start with `data: digits`")
    return content


def make_plan(content: Mapping[str, Any]) -> StudyPlan:
    """Return the plan. Raises StudyError, on one line, for the first thing that is wrong with it."""
    try:
        return StudyPlan.model_validate(content)
    except ValidationError as error:
        raise StudyError(_explained(error)) from error


def merged(content: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a plan with flags in their places; `limits.accuracy` reaches into a section."""
    result: dict[str, Any] = {key: dict(v) if isinstance(v, dict) else v for key, v in content.items()}
    for name, value in flags.items():
        section, dot, key = name.partition(".")
        if not dot:
            result[name] = value
            continue
        inner = result.get(section) or {}
        result[section] = {**(inner if isinstance(inner, dict) else {"source": inner}), key: value}
    return result


_KINDS: dict[str, type[Value]] = {"integers": Integers, "reals": Reals, "choices": Choices}


def _explained(error: ValidationError) -> str:
    # A name that is misspelt goes before the one that is missing for it.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    place = tuple(str(part) for part in first["loc"])
    where = ".".join(part for part in place if part not in _KINDS)
    if first["type"] == "extra_forbidden":
        return _unknown_key(place, where)
    if first["type"] == "missing":
        return f"a plan needs '{where}'; add it to the plan or give --{where.split('.')[0]}"
    reason = str(first["msg"]).removeprefix("Value error, ")
    shown = "" if "got " in reason else f", got {first['input']!r}"
    return f"the plan's {where}: {reason}{shown}" if where else reason


def _unknown_key(place: tuple[str, ...], where: str) -> str:
    sections: dict[str, type[Value]] = {"limits": Limits, "firmware": Firmware, **_KINDS}
    inner = "data" if place[:-1] == ("data",) else place[-2] if len(place) > 1 else ""
    fields = list(DataSpec.model_fields if inner == "data" else sections.get(inner, StudyPlan).model_fields)
    close = get_close_matches(place[-1], fields, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"a plan has no key '{where}'; {hint}(there are {', '.join(fields)})"
