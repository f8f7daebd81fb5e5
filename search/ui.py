"""MLflow's pages on the store in the home folder, for this machine's user alone.

The server is MLflow's own, in a child process, on 127.0.0.1. It is the plain tracking server (gunicorn
with MLflow's Flask application): MLflow's default server would also answer to an assistant that can
run shell commands, to a gateway for language models and to a job runner, which nobody here asked for.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator

from search.errors import StudyError
from search.home import Home
from search.mlflow_values import ENVIRONMENT, VIEW, quiet_mlflow
from search.secrets import redact, secrets_of

HOST = "127.0.0.1"
START_DEADLINE_S = 180
END_DEADLINE_S = 10
SHOWN_LINES = 3
LINKS = 5
TRAINING = "workflowType=machine_learning"  # else MLflow opens its pages for language models


def serve(home: Home, tracking_uri: str, port: int = 5000, say: Callable[[str], None] = print) -> None:
    """Show the runs in a browser until Ctrl-C or SIGTERM; then end the server and its children.

    `say` gets the address once it answers. With the address of a tracking server (http, https) only
    that is told, for it has pages already. Raises StudyError where the port is taken or the server
    does not start.
    """
    if tracking_uri.startswith(("http://", "https://")):
        say(f"MLflow is at {redact(tracking_uri)}")
        return
    _refuse_busy(port)
    home.ensure_writable()
    with _interruptible(), _server(home, tracking_uri, port) as server:
        url = f"http://{HOST}:{port}"
        _wait_until_it_answers(server, url, tracking_uri)
        say(f"MLflow is at {url} (Ctrl-C ends it)")
        for line in _links(url):
            say(line)
        with contextlib.suppress(KeyboardInterrupt):
            server.process.wait()
            raise StudyError(f"the MLflow server ended by itself: {server.last_words(tracking_uri)}")


def _refuse_busy(port: int) -> None:
    if not 1 <= port <= 65535:
        raise StudyError(f"a port is between 1 and 65535, got {port}; choose one with --port")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise StudyError(
                f"port {port} of {HOST} cannot be used ({error.strerror}); choose another, "
                f"e.g. --port {_free_port()}"
            ) from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class _Server:
    """The child process, and the last lines of what it said."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stderr or ():
            self._lines = [*self._lines, line.strip()][-SHOWN_LINES:]

    def close(self) -> None:
        """Let go of its standard error; once it has ended."""
        self._reader.join(1)
        if self.process.stderr and not self._reader.is_alive():
            self.process.stderr.close()

    def last_words(self, tracking_uri: str) -> str:
        """Return the end of its standard error on one line, without passwords."""
        self._reader.join(1)
        return redact(" / ".join(filter(None, self._lines)) or "it said nothing", secrets_of(tracking_uri))


@contextlib.contextmanager
def _server(home: Home, tracking_uri: str, port: int) -> Iterator[_Server]:
    quiet_mlflow()
    # The address goes by the environment: on the command line every user of the machine could read it.
    environment = {
        **os.environ,
        **ENVIRONMENT,
        "MLFLOW_BACKEND_STORE_URI": tracking_uri,
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": home.mlflow_artifacts.as_uri(),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "PYTHONWARNINGS": "ignore",
    }
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"),
        *("--gunicorn-opts", "--threads 4 --timeout 120 --log-level warning", "--no-serve-artifacts"),
    ]
    process = subprocess.Popen(
        command, env=environment, cwd=home.root, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, errors="replace",
    )  # fmt: skip
    server = _Server(process)
    try:
        yield server
    finally:
        _end(process)
        server.close()


def _ask(url: str, question: object = None) -> bytes:
    """Get, or post a question as JSON, without a proxy whatever the environment says."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    data = None if question is None else json.dumps(question).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data, headers)  # noqa: S310 - our own server, over http
    with opener.open(request, timeout=30) as answer:
        return bytes(answer.read())


def _links(url: str) -> Iterator[str]:
    """Yield a line for each of the latest studies: its trials as a table, and the digest of the whole."""
    wanted = {
        "filter": "name LIKE 'edgesearch/%'",
        "order_by": ["last_update_time DESC"],
        "max_results": LINKS,
    }
    answer = json.loads(_ask(f"{url}/api/2.0/mlflow/experiments/search", wanted))
    for experiment in answer.get("experiments", ()):
        base = f"{url}/#/experiments/{experiment['experiment_id']}/runs"
        tags = {tag["key"]: tag["value"] for tag in experiment.get("tags", ())}
        line = f"  {experiment['name'].partition('/')[2]}: trials {base}?viewStateShareKey={VIEW}&{TRAINING}"
        if parent := tags.get("edgesearch.parent"):
            line += f"  digest {base}/{parent}?{TRAINING}"
        yield line


def _wait_until_it_answers(server: _Server, url: str, tracking_uri: str) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise StudyError(f"the MLflow server did not start: {server.last_words(tracking_uri)}")
        with contextlib.suppress(OSError):
            _ask(f"{url}/health")
            return
        time.sleep(0.2)
    raise StudyError(
        f"the MLflow server did not answer within {START_DEADLINE_S} s: {server.last_words(tracking_uri)}"
    )


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C while the block runs, so that it ends the server too."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(process: "subprocess.Popen[str]") -> None:
    """End the process with all its descendants: politely, then by force."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(process.pid)
        family = [root, *root.children(recursive=True)]
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.terminate()
        _, left = psutil.wait_procs(family, timeout=END_DEADLINE_S)
        for member in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
    process.wait()
