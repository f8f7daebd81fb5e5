"""Errors of this room.

StudyError(ValueError)     a plan, a study or a request that cannot be served; exit code 2
├── NothingFits            the study ended because no new candidate fits; exit code 1
└── Paused                 the device does not answer any more; everything is kept; exit code 3
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search.trial import StudyRecord


class StudyError(ValueError):
    """A plan, a study or a request that cannot be served; the message names the way out."""

    exit_code = 2


class Paused(StudyError):
    """The device does not answer any more; what is done is kept, and the same command goes on."""

    exit_code = 3


class NothingFits(StudyError):
    """No new candidate fits the limits; the message says which limit binds and the nearest seen.

    `record` is the study as it ended: what fitted before is on its front all the same.
    """

    exit_code = 1

    def __init__(self, message: str, record: "StudyRecord | None" = None) -> None:
        super().__init__(message)
        self.record = record
