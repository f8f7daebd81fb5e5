"""The runner for a Linux board by ssh, which needs Python 3.7, numpy and a LiteRT runtime, none of ours."""

import base64
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hardware_profiles.anchor import anchor_path
from hardware_profiles.connection import Ssh, parse_connection
from hardware_profiles.errors import DeviceError, MeasuringFailed
from hardware_profiles.measurement import Latency
from hardware_profiles.runners.answers import Computed, Kind, Place, Terms, Timed, check, judged, me, read
from hardware_profiles.runners.base import Anchor, Array
from hardware_profiles.runners.child import run
from hardware_profiles.runners.computing import outputs_of
from hardware_profiles.runners.parcel import BOOTSTRAP, parcel
from hardware_profiles.runners.ssh_faults import fault, target

GRACE_S = 5.0
"""What the board's own time limit, which tells more, has before ours ends the connection."""
ALIVE_EVERY_S, ALIVE_COUNT = 10, 3
_PYTHON = re.compile(r"(~/)?[A-Za-z0-9_./+][A-Za-z0-9_./+-]*")


class SshRunner:
    """Measures on a board that the system's `ssh` reaches, by the user's own configuration and keys.

    Times, `delegate` (by `connection`), `wait_s`, `who` and `say` are as for LocalRunner; `timeout_s` counts
    on the board, from when its turn has come. `connect_timeout_s` is for the connection. `options` are more
    arguments for ssh, which go before ours, such as ("-F", "some_config"). `python` is the interpreter
    there, by name or path, such as ~/edgesearch/bin/python. Whatever the board's shell sees is fixed but for
    that; programs, models and data go over standard input, are kept in memory, and are gone afterwards.
    """

    def __init__(
        self,
        connection: Ssh,
        device: str,
        threads: int = 1,
        budget_s: float = 0.35,
        patience_s: float = 1.0,
        timeout_s: float = 120.0,
        seed: int = 0,
        *,
        connect_timeout_s: float = 10.0,
        wait_s: float = 600.0,
        who: str | None = None,
        say: Callable[[str], None] | None = None,
        options: Sequence[str] = (),
        python: str = "python3",
    ) -> None:
        if parse_connection(str(connection)) != connection.model_copy(
            update={"delegate": None, "python": "python3", "record": None}
        ):
            raise DeviceError(f"a board is named by user, host and port alone, got '{connection}'")
        if not _PYTHON.fullmatch(python):
            raise DeviceError(f"python is a command or a path of letters, digits and ._/+-, got '{python}'")
        if connect_timeout_s < 1:
            raise DeviceError(f"connect_timeout_s is 1 or more, got {connect_timeout_s:g}")
        self.connection, self.device, self.threads, self.say = connection, device, threads, say
        self.options, self.python, self.connect_timeout_s = tuple(options), python, connect_timeout_s
        self.terms = Terms(
            device, threads, budget_s, patience_s, timeout_s, wait_s, seed, connection.delegate, who or me()
        )

    def measure(self, models: Sequence[Path], anchor: Anchor | None) -> tuple[Latency, ...]:
        """Time the models, interleaved with the anchor in one fresh process there; one Latency each.

        Without an anchor the constant is what this very run sees. Raises MeasuringFailed for a model that
        cannot be run there, Unreachable where the board does not answer or is taken, DeviceError where it
        cannot measure at all, or the anchor was calibrated for something else.
        """
        if not models:
            return ()
        if anchor is not None:
            terms = self.terms
            check(anchor, device=self.device, threads=terms.threads, delegate=terms.delegate)
        constant_ms = None if anchor is None else anchor.constant_ms
        request = self.terms.timing([content(model) for model in models], content(anchor_path()), constant_ms)
        timed = self._answer(Timed, request, models)
        return judged(timed, anchor, self.terms.source(timed.runtime, timed.board.machine))

    def compute(self, model: Path, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Return the model's outputs for some samples, one array (samples, *shape) each.

        Raises ValueError unless every input has as many samples, else as `measure` does.
        """
        return outputs_of(model, inputs, lambda piece: self._computed(model, piece))

    def _computed(self, model: Path, inputs: Sequence[Array]) -> Computed:
        return self._answer(Computed, self.terms.computing(content(model), inputs), [model])

    def _answer(self, kind: type[Kind], request: dict[str, Any], models: Sequence[Path]) -> Kind:
        """Send a request, and read what comes back."""
        limit_s = self.terms.timeout_s + self.connect_timeout_s + GRACE_S
        try:
            ended = run(
                self.command,
                parcel(request),
                limit_s=limit_s,
                wait_s=self.terms.wait_s + GRACE_S,
                hold=True,
                say=self._tell,
            )
        except OSError as error:
            raise DeviceError(
                f"cannot start ssh to reach {self.connection} ({error.strerror}): install it here "
                "(apt-get install openssh-client)"
            ) from error
        if (problem := fault(ended, self.connection, self.python, limit_s)) is not None:
            raise problem
        return read(kind, ended, models, self._place)

    def _tell(self, stage: str) -> None:
        if self.say is not None:
            self.say(f"{stage} to finish measuring on {self.connection}")

    @property
    def _place(self) -> Place:
        return Place(str(self.connection), f"ssh {target(self.connection)} {self.python} -m pip")

    @property
    def command(self) -> tuple[str, ...]:
        """The arguments that ssh is started with; what comes after the host is all that a shell sees."""
        settings = (
            "BatchMode=yes",
            f"ConnectTimeout={math.ceil(self.connect_timeout_s)}",
            f"ServerAliveInterval={ALIVE_EVERY_S}",
            f"ServerAliveCountMax={ALIVE_COUNT}",
            "ClearAllForwardings=yes",
            "RemoteCommand=none",
        )
        where = self.connection
        return (
            "ssh",
            *self.options,
            *("-T", "-a", "-x"),
            *(part for setting in settings for part in ("-o", setting)),
            *(("-p", str(where.port)) if where.port else ()),
            *(("-l", where.user) if where.user else ()),
            *("--", where.host, f"{self.python} -I -c '{BOOTSTRAP}'"),
        )


def content(model: Path) -> dict[str, str]:
    """Return a model as it is sent. Raises MeasuringFailed if it cannot be read."""
    try:
        return {"content": base64.b64encode(model.read_bytes()).decode()}
    except OSError as error:
        raise MeasuringFailed(f"cannot read the model '{model}': {error.strerror}") from error
