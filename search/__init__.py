"""edgesearch: search models that really run on your device.

`from search import StudyPlan, run_study` does in Python what `edgesearch study` does.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.plan import StudyPlan
    from search.study import run_study

__all__ = ["StudyPlan", "run_study"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: `edgesearch --help` answers at once."""
    if name == "StudyPlan":
        from search.plan import StudyPlan

        return StudyPlan
    if name == "run_study":
        from search.study import run_study

        return run_study
    raise AttributeError(f"module 'search' has no attribute '{name}'")
