"""Where things are kept and who is asked: addresses, which no plan and no study's identity holds."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hardware_profiles.connection import Connection, options_of
from search.errors import StudyError
from search.secrets import expand, redact

if TYPE_CHECKING:
    from search.home import Home
    from search.trial import StudyRecord


@dataclass(frozen=True)
class Places:
    """The home, and the servers that are used in place of what lies in it.

    `storage`, `tracking_uri` and `ray_address` may refer to environment variables as `${VAR}`. `connection`
    is where the device is.
    """

    home: Home
    storage: str | None = None
    tracking_uri: str | None = None
    ray_address: str | None = None
    connection: Connection | None = None

    @cached_property
    def storage_url(self) -> str:
        """The address of the Optuna storage, secrets filled in."""
        return expand(self.storage) if self.storage else self.home.studies_db

    @cached_property
    def tracking(self) -> str:
        """The address of the MLflow store, secrets filled in."""
        return expand(self.tracking_uri) if self.tracking_uri else self.home.mlflow_uri

    @cached_property
    def ray(self) -> str | None:
        """The address of the Ray cluster to join, secrets filled in, or None for one of our own."""
        return expand(self.ray_address) if self.ray_address else None

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses in use, with their passwords: to be hidden, never shown."""
        return tuple(filter(None, (self.storage_url, self.tracking, self.ray)))

    @cached_property
    def opened(self) -> Any:
        """The Optuna storage; it is made where it is missing. Raises StudyError."""
        from search.storage import open_storage

        return open_storage(self.storage_url)

    @property
    def empty(self) -> bool:
        """Tell whether no study was ever started here: looking must not make a database."""
        return not self.storage and not (self.home.root / "studies.db").is_file()

    def names(self) -> list[str]:
        """List the studies."""
        from search.storage import study_names

        return [] if self.empty else study_names(self.opened)

    def study(self, name: str) -> Any:
        """Load a study from the storage. Raises StudyError where there is none of that name."""
        from search.storage import load

        if self.empty:
            raise StudyError(
                f"no study named '{name}', for there is none in '{self.home.root}' yet; start one with "
                "`edgesearch study --data digits`, or set EDGESEARCH_HOME to the home it is in"
            )
        return load(self.opened, name)

    def record(self, name: str) -> StudyRecord:
        """Return a study as a value. Raises StudyError where there is none of that name."""
        from search.storage import read_study

        return read_study(self.study(name))

    def again(self, *, tracking: bool = False, device: bool = False) -> str:
        """Return the options that another command needs to find this study, passwords left out.

        With `tracking` also the MLflow store, with `device` also where the device is.
        """
        used = [("--storage", "EDGESEARCH_STORAGE", self.storage)]
        if tracking:
            used.append(("--tracking-uri", "EDGESEARCH_TRACKING_URI", self.tracking_uri))
        options = [
            (option, address)
            for option, variable, address in used
            if address and address != os.environ.get(variable)
        ]
        if device and self.connection is not None:
            options += options_of(self.connection)
        return "".join(f" {option} {shlex.quote(redact(value))}" for option, value in options)

    @property
    def devices(self) -> tuple[Path, ...]:
        """Where a user's own device profiles are looked for."""
        return (Path.cwd(), self.home.root / "devices")
