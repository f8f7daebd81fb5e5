"""Errors of this room.

ObjectiveError(ValueError)    a metric, goal or setting that cannot be
├── DataError                 data that cannot be used as it is
├── Diverged (train.py)       a training whose loss or scores are no longer finite
└── Mismatch                  a conversion whose file does not hold what was asked
"""


class ObjectiveError(ValueError):
    """A metric, goal or setting that cannot be."""


class DataError(ObjectiveError):
    """Data that cannot be used as it is; the message names the rule, the value and the way out."""


class Mismatch(ObjectiveError):
    """A conversion whose file does not hold what was asked; costs this candidate, not the study."""
