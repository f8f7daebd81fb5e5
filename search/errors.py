"""Errors of this room.

StudyError(ValueError)     a plan, a study or a request that cannot be served; exit code 2
└── NothingFits            the study ended because no new candidate fits; exit code 1
"""


class StudyError(ValueError):
    """A plan, a study or a request that cannot be served; the message names the way out."""

    exit_code = 2


class NothingFits(StudyError):
    """No new candidate fits the limits; the message says which limit binds and the nearest seen."""

    exit_code = 1
