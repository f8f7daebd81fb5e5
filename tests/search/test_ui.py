import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import search
from hardware_profiles.artifact import ArtifactStore
from search.errors import StudyError
from search.home import Home
from search.ledger import sync
from search.mlflow_ledger import MlflowLedger
from search.ray_cluster import listening_sockets
from search.ui import HOST, serve

ROOT = Path(search.__file__).parents[1]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def busy() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_a_busy_port_is_one_line_with_a_free_one(tmp_path, busy):
    with pytest.raises(StudyError, match=rf"port {busy} .* choose another, e.g. --port \d+") as caught:
        serve(Home(tmp_path / "home"), "sqlite:///x.db", busy)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_what_is_no_port_is_refused(tmp_path, port):
    with pytest.raises(StudyError, match=f"between 1 and 65535, got {port}"):
        serve(Home(tmp_path), "sqlite:///x.db", port)


def test_a_tracking_server_has_its_own_pages(tmp_path):
    said: list[str] = []
    serve(Home(tmp_path / "home"), "https://me:hunter22@mlflow.example/team", say=said.append)
    assert said == ["MLflow is at https://me:***@mlflow.example/team"]


@pytest.mark.slow
def test_a_server_that_does_not_start_tells_why_without_passwords(tmp_path):
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    with pytest.raises(StudyError, match="the MLflow server did not start: ") as caught:
        serve(Home(tmp_path), "nonsense+driver://me:hunter22@127.0.0.1/db", port)
    assert "hunter22" not in str(caught.value)
    assert "\n" not in str(caught.value)


SERVE = """
    import sys
    from pathlib import Path
    from search.home import Home
    from search.ui import serve

    home = Home(Path(sys.argv[1]))
    serve(home, home.mlflow_uri, int(sys.argv[2]), say=lambda line: print(line, flush=True))
    print("ended", flush=True)
"""


class Shown:
    """A running `serve` in a process of its own."""

    def __init__(self, home: Home, port: int) -> None:
        self.url = f"http://{HOST}:{port}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SERVE), str(home.root), str(port)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "http_proxy": "http://127.0.0.1:9"},
            stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.said = [self.process.stdout.readline(), self.process.stdout.readline()]
        self.family = psutil.Process(self.process.pid).children(recursive=True)

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(urllib.request.Request(self.url + path, headers=headers), timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def end(self, number: int) -> str:
        """Send a signal and return what is said then."""
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=60)
        return rest


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> Iterator[Shown]:
    """The pages of a home with one study in it; the test that ends it comes last."""
    home = Home(tmp_path_factory.mktemp("ui") / "my home")
    home.ensure_writable()
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    sync(small_study(), MlflowLedger(home.mlflow_uri, home.mlflow_artifacts, ArtifactStore(home.artifacts)))
    shown = Shown(home, port)
    yield shown
    if shown.process.poll() is None:
        os.killpg(shown.process.pid, signal.SIGKILL)


def small_study():
    """Make a study without the function-scoped fixtures."""
    from hardware_profiles.measurement import Measurement, Source
    from hardware_profiles.profile import this_machine
    from hardware_profiles.runners.base import Anchor
    from objectives.datasets.spec import DataSummary
    from objectives.outcome import Evidence, Measured
    from search.plan import StudyPlan
    from search.trial import StudyRecord, TrialRecord

    source = Source(provenance="measured", device="this-machine")
    values = {"accuracy": 0.9, "latency_ms": 0.01, "model_bytes": 2000.0}
    evidence = Evidence(
        measurements=tuple(Measurement(metric=m, value=v, source=source) for m, v in values.items())
    )
    return StudyRecord(
        name="try-1", plan=StudyPlan(data="iris"), space="mlp",
        data=DataSummary(
            name="iris", digest="d" * 16, kind="table", input_shape=(4,), dtype="float32", classes=("a", "b"),
            sizes=(90, 30, 30),
        ),
        profile=this_machine(), anchor=Anchor(sha256="0" * 64, constant_ms=0.01, source=source),
        majority_accuracy=0.5, versions={},
        trials=(TrialRecord(number=0, state="measured", outcome=Measured(evidence=evidence)),),
    )  # fmt: skip


@pytest.mark.slow
def test_the_address_is_told_and_links_to_the_study(shown):
    assert shown.said[0] == f"MLflow is at {shown.url} (Ctrl-C ends it)\n"
    trials = rf"{shown.url}/#/experiments/1/runs\?viewStateShareKey=edgesearch&\S+"
    assert re.fullmatch(
        rf"  try-1: trials {trials}  digest {shown.url}/#/experiments/1/runs/\w{{32}}\S*\n", shown.said[1]
    )


@pytest.mark.slow
def test_the_pages_and_the_files_are_served(shown):
    status, page = shown.get("/")
    assert (status, b"<html" in page) == (200, True)
    run = re.search(r"runs/(\w{32})", shown.said[1])
    assert run is not None
    status, listing = shown.get(f"/ajax-api/2.0/mlflow/artifacts/list?run_id={run[1]}")
    assert {f["path"] for f in json.loads(listing)["files"]} >= {"front.csv", "front.html", "front.png"}
    assert shown.get(f"/get-artifact?run_id={run[1]}&path=front.csv")[1].startswith(b"trial,accuracy,")


@pytest.mark.slow
def test_it_listens_on_loopback_only(shown):
    sockets = listening_sockets(shown.process.pid)
    assert {(s.host, f"http://{s.host}:{s.port}") for s in sockets} == {(HOST, shown.url)}


@pytest.mark.slow
def test_other_names_for_it_and_other_doors_are_shut(shown):
    assert shown.get("/api/2.0/mlflow/experiments/get?experiment_id=0", Host="evil.example")[0] == 403
    for path in (
        "/ajax-api/3.0/mlflow/assistant/config",
        "/gateway/x/mlflow/invocations",
        "/ajax-api/3.0/jobs/1",
    ):
        assert shown.get(path)[0] == 404


@pytest.mark.slow
def test_no_address_of_a_store_is_on_a_command_line(shown):
    lines = [" ".join(process.cmdline()) for process in shown.family]
    assert lines and not [line for line in lines if "sqlite:" in line]


@pytest.mark.slow
def test_ctrl_c_ends_it_with_all_its_children(shown):
    assert len(shown.family) >= 2
    assert shown.end(signal.SIGINT) == "ended\n"
    assert shown.process.returncode == 0
    deadline = time.monotonic() + 30
    while any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in shown.family):
        assert time.monotonic() < deadline
        time.sleep(0.1)
