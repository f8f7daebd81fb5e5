import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import filelock
import psutil
import pytest

import search
from search.errors import StudyError
from search.home import Home
from search.ray_cluster import (
    FOLDER_PREFIX,
    WORKER_ENVIRONMENT,
    ListeningSocket,
    _sweep,
    ensure_token,
    start_ray,
)

ROOT = Path(search.__file__).parents[1]
KNOWN = ("gcs_server", "raylet", "ray::", "python")


def test_the_token_is_private_and_stays_the_same(tmp_path):
    path = ensure_token(tmp_path / "home" / "ray-token")
    token = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(token) == 64 and int(token, 16) > 0
    assert ensure_token(path).read_text() == token
    assert ensure_token(tmp_path / "other").read_text() != token


def test_a_token_that_others_could_read_is_replaced(tmp_path):
    path = tmp_path / "ray-token"
    path.write_text("known")
    path.chmod(0o644)
    ensure_token(path)
    assert path.read_text() != "known"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_token_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="cannot write to"):
        ensure_token(tmp_path / "file" / "ray-token")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
    ],
)
def test_which_addresses_are_loopback(host, loopback):
    assert ListeningSocket(1, "x", host, 80).loopback is loopback


def test_what_cannot_be_started_is_refused_before_ray_is_imported(tmp_path):
    with pytest.raises(StudyError, match="at least 1 core, got 0"):
        start_ray(Home(tmp_path), cpus=0)
    with pytest.raises(StudyError, match="HOST:PORT or 'auto', got 'ray://h:1'"):
        start_ray(Home(tmp_path), "ray://h:1")
    assert not (tmp_path / "ray-token").exists()


def test_another_thread_than_the_main_one_is_refused(tmp_path):
    caught = []

    def start():
        try:
            start_ray(Home(tmp_path))
        except StudyError as error:
            caught.append(str(error))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert caught == ["Ray is started from the main thread, for it ends with the thread that started it"]


def test_only_folders_of_the_dead_are_swept(tmp_path):
    dead, alive, young, foreign = (
        tmp_path / f"{FOLDER_PREFIX}{n}" for n in ("dead", "alive", "young", "foreign")
    )
    for folder in (dead, alive, young, foreign):
        folder.mkdir()
        if folder != foreign:
            (folder / "lock").touch()
        if folder != young:
            os.utime(folder, (0, 0))
    with filelock.FileLock(alive / "lock"):
        os.utime(alive, (0, 0))
        _sweep(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in (alive, young, foreign))


def run(script: str, folder: Path, **environment: str) -> dict:
    """Run a driver in a fresh process in `folder` and return the JSON of its last line."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(folder / "home")],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {"stderr": done.stderr, **json.loads(done.stdout.splitlines()[-1])}


SOCKETS = """
    import json, os, stat, sys
    from pathlib import Path
    from search.home import Home
    from search.ray_cluster import listening_sockets, start_ray

    home = Home(Path(sys.argv[1]))
    with start_ray(home, cpus=1) as cluster:
        import ray

        @ray.remote(num_cpus=1)
        class Worker:
            def see(self):
                import search
                return {"search": search.__file__, "env": dict(os.environ)}

        worker = Worker.remote()
        seen = ray.get(worker.see.remote(), timeout=120)
        folder = cluster._folder
        answer = {
            "sockets": [[s.process, s.host, s.port] for s in listening_sockets(os.getpid())],
            "mode": stat.S_IMODE(folder.stat().st_mode),
            "own": cluster.own,
            "cpus": ray.cluster_resources()["CPU"],
            "driver": {name: os.environ.get(name) for name in ("TF_USE_LEGACY_KERAS", "OMP_NUM_THREADS")},
            **seen,
        }
    answer["left"] = folder.exists()
    print(json.dumps(answer))
"""


@pytest.fixture(scope="module")
def started(tmp_path_factory) -> dict:
    """What a real cluster looks like, from a folder with a module named like ours."""
    folder = tmp_path_factory.mktemp("driver")
    (folder / "search.py").write_text("raise ImportError('the wrong search')\n")
    # -c puts the working folder first on the driver's own path, which is not what is tested here.
    return run(
        SOCKETS, folder, PYTHONSAFEPATH="1", RAY_AUTH_MODE="disabled", RAY_ADDRESS="10.255.255.1:1"
    ) | {"token": folder / "home" / "ray-token"}


@pytest.mark.slow
def test_every_listening_socket_is_known_and_on_loopback(started):
    sockets = [ListeningSocket(0, *s) for s in started["sockets"]]
    assert {"gcs_server", "raylet"} <= {s.process for s in sockets}
    assert [s for s in sockets if not s.process.startswith(KNOWN)] == []
    assert [s for s in sockets if not s.loopback] == []


@pytest.mark.slow
def test_workers_are_prepared_and_the_driver_is_left_as_it_was(started):
    assert {name: started["env"].get(name) for name in WORKER_ENVIRONMENT} == WORKER_ENVIRONMENT
    assert started["driver"] == {
        "TF_USE_LEGACY_KERAS": os.environ.get("TF_USE_LEGACY_KERAS"),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
    }
    assert started["env"]["RAY_USAGE_STATS_ENABLED"] == "0"
    assert (started["own"], started["cpus"]) == (True, 1)


@pytest.mark.slow
def test_a_users_module_does_not_hide_ours_in_the_worker(started):
    assert Path(started["search"]) == ROOT / "search" / "__init__.py"


@pytest.mark.slow
def test_the_token_is_in_force_and_the_folder_is_private_and_goes(started):
    assert started["env"]["RAY_AUTH_MODE"] == "token"
    assert started["env"]["RAY_AUTH_TOKEN_PATH"] == str(started["token"])
    assert stat.S_IMODE(started["token"].stat().st_mode) == 0o600
    assert started["mode"] == 0o700
    assert started["left"] is False


@pytest.mark.slow
def test_nothing_is_said_on_standard_error(started):
    assert started["stderr"] == ""


INTRUDER = """
    import json, os, sys
    from pathlib import Path
    from search.home import Home
    from search.ray_cluster import start_ray

    with start_ray(Home(Path(sys.argv[1])), cpus=1):
        import ray, subprocess
        address = ray.get_runtime_context().gcs_address
        join = "import sys; from pathlib import Path; from search.home import Home; " \\
               "from search.ray_cluster import start_ray; start_ray(Home(Path('/x')), sys.argv[1]).stop()"
        codes = {}
        for name, token in (("right", Path(sys.argv[1], "ray-token").read_text()), ("wrong", "0" * 64)):
            done = subprocess.run([sys.executable, "-c", join, address], capture_output=True, text=True,
                                  env={**os.environ, "RAY_AUTH_TOKEN": token})
            codes[name] = [done.returncode, done.stderr]
    print(json.dumps(codes))
"""


@pytest.mark.slow
def test_joining_takes_the_right_token(tmp_path):
    answer = run(INTRUDER, tmp_path)
    assert answer["right"] == [0, ""]
    assert answer["wrong"][0] != 0
    assert "cannot be joined" in answer["wrong"][1] and "token" in answer["wrong"][1]


STAYS = """
    import sys, time
    from pathlib import Path
    from search.home import Home
    from search.ray_cluster import start_ray

    start_ray(Home(Path(sys.argv[1])), cpus=2)
    import ray

    @ray.remote(num_cpus=1, max_restarts=-1)
    class Busy:
        def ready(self):
            return True

        def spin(self):
            while True:
                pass

    workers = [Busy.remote() for _ in range(2)]
    ray.get([w.ready.remote() for w in workers])
    workers[0].spin.remote()
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_killing_the_drivers_group_leaves_no_process(tmp_path):
    driver = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(STAYS), str(tmp_path / "home")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert driver.stdout is not None and driver.stdout.readline() == "ready\n"
        children = psutil.Process(driver.pid).children(recursive=True)
        assert {"gcs_server", "raylet"} <= {p.name() for p in children}
    finally:
        os.killpg(driver.pid, signal.SIGKILL)
        driver.communicate()
    deadline = time.monotonic() + 60
    while alive(children) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert alive(children) == []


def alive(processes: list[psutil.Process]) -> list[str]:
    """Name those that run; who waits to be reaped by init does not."""
    return [p.name() for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


TWO_HOMES = """
import sys
from pathlib import Path
from search.home import Home
from search.ray_cluster import start_ray

for name in ("one", "two"):
    home = Home(Path(sys.argv[1]) / name)
    home.ensure_writable()
    with start_ray(home, cpus=1):
        import ray

        print(ray.get(ray.remote(lambda: 5).remote()))
"""


@pytest.mark.slow
def test_one_process_starts_clusters_for_two_homes(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TWO_HOMES, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.stdout.split() == ["5", "5"], done.stderr[-2000:]


@pytest.mark.slow
def test_ray_that_was_imported_without_tokens_is_refused(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", "import ray\n" + TWO_HOMES, str(tmp_path)],
        env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "import it after `search.run_study`" in done.stderr
