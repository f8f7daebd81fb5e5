"""A real sshd on loopback, with its own keys: a board that the tests may break. Run as the user who tests.

One server has many ways of being a board, told apart by the key that logs in: each key has its own
environment or its own program in authorized_keys.
"""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

SSHD = "/usr/sbin/sshd"


@dataclass
class Board:
    """The server's folder, port and process. `home` and `tmp` are what its programs take for theirs."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def tmp(self) -> Path:
        return self.folder / "tmp"

    def options(self, key: str = "good", known: str = "known_hosts") -> tuple[str, str]:
        """Return the arguments with which ssh logs in as that key, and knows hosts by that file."""
        config = self.folder / f"config-{key}-{known}"
        config.write_text(
            f"Host *\n  IdentityFile {self.folder}/{key}\n  IdentitiesOnly yes\n  IdentityAgent none\n"
            f"  UserKnownHostsFile {self.folder}/{known}\n  GlobalKnownHostsFile none\n"
            f"  StrictHostKeyChecking yes\n  User {getpass.getuser()}\n"
        )
        return "-F", str(config)

    def processes(self) -> list[psutil.Process]:
        """Return what runs for us there: the Pythons that the server's sessions have started."""
        server = psutil.Process(self.process.pid)
        return [process for process in server.children(recursive=True) if is_ours(process)]

    def sessions(self) -> list[psutil.Process]:
        """Return the server's processes for connections."""
        return psutil.Process(self.process.pid).children()


def is_ours(process: psutil.Process) -> bool:
    try:
        return "-I" in process.cmdline() and "sys.stdin.buffer" in process.cmdline()[-1]
    except psutil.NoSuchProcess:
        return False


def start(folder: Path) -> Board:
    """Start the server; `stop` it. Keys: see `authorize`; `stranger` is one that is not let in."""
    for name in ("home", "tmp"):
        (folder / name).mkdir()
    for name in ("host", "other_host", "stranger"):
        keygen(folder / name)
    authorize(folder, "good", f"{python_folder(folder, 'plain', f'exec {sys.executable}')}:/usr/bin:/bin")
    port = free_port()
    configure(folder, port)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(parents=True, exist_ok=True)
    log = (folder / "log").open("wb")
    process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log)
    log.close()
    for name, host in (("known_hosts", "host"), ("wrong_hosts", "other_host")):
        key = (folder / f"{host}.pub").read_text()
        (folder / name).write_text(f"[127.0.0.1]:{port} {key}")
    (folder / "no_hosts").write_text("")
    wait_for(port, process, folder)
    return Board(folder, port, process)


def stop(board: Board) -> None:
    """End the server with its sessions, and what they may have left."""
    everything = psutil.Process(board.process.pid).children(recursive=True)
    board.process.terminate()
    board.process.wait()
    for process in everything:
        if process.is_running():
            process.kill()


def keygen(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


def authorize(folder: Path, name: str, path: str, command: str | None = None, **environment: str) -> None:
    """Let a new key in, for which PATH is `path` and a program, if given, runs whatever is asked for."""
    keygen(folder / name)
    given = {"PATH": path, "HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp")} | environment
    options = [f'environment="{key}={value}"' for key, value in given.items()]
    if command is not None:
        script = folder / f"{name}.sh"
        script.write_text(f"#!/bin/sh\n{command}\n")
        script.chmod(0o755)
        options.append(f'command="{script}"')
    with (folder / "authorized_keys").open("a") as keys:
        keys.write(",".join(options) + " " + (folder / f"{name}.pub").read_text())


def python_folder(folder: Path, name: str, start_line: str) -> Path:
    """Return a folder with a `python3` that is started by that line of shell."""
    made = folder / f"bin-{name}"
    made.mkdir()
    (made / "python3").write_text(f'#!/bin/sh\n{start_line} "$@"\n')
    (made / "python3").chmod(0o755)
    return made


def configure(folder: Path, port: int) -> None:
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitUserEnvironment yes\n"
        "PermitRootLogin prohibit-password\nPrintMotd no\nMaxStartups 100\n"
    )


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    for _ in range(100):
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"sshd did not start: {(folder / 'log').read_text()}")


def user_site(home: Path) -> Path:
    """Return the folder for what the user has installed there, with this numpy in it."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    site = home / ".local" / "lib" / version / "site-packages"
    if not site.exists():
        site.mkdir(parents=True)
        source = Path(np.__file__).parent
        for folder in (source, source.parent / "numpy.libs"):
            if folder.exists():
                (site / folder.name).symlink_to(folder)
    return site


def which_python(version: str) -> str | None:
    """Return a Python of that version, on the path or where pyenv keeps it; shims may lead nowhere."""
    on_path = shutil.which(f"python{version}")
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    kept = map(str, sorted(root.glob(f"versions/{version}.*/bin/python")))
    for python in filter(None, (on_path, *kept)):
        if subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0:
            return python
    return None
