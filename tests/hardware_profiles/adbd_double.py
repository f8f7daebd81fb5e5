"""An Android device without Android: adbd's side of the ADB protocol over TCP, enough for a real `adb`.

Serves `shell:` and `shell,v2:` by running the line in this machine's shell, with /data/local/tmp in a
folder of its own and a `getprop` on the path, and `sync:` for `adb push`. Messages and services as in
packages/modules/adb's protocol.txt, SERVICES.TXT, SYNC.TXT and shell_protocol.h of the Android sources.
"""

import contextlib
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

VERSION, MAX_DATA = 0x01000001, 256 * 1024
STDOUT, STDERR, EXIT = 1, 2, 3
PLACE = "/data/local/tmp"
PROPERTIES = {
    "ro.serialno": "0123456789ABCDEF",
    "ro.build.fingerprint": "maker/phone/phone:14/AAA/1:user/release-keys",
    "ro.product.model": "Phone Pro",
    "ro.product.cpu.abi": "arm64-v8a",
}
GETPROP = """\
    #!/bin/sh
    case "$1" in
    {cases}
    esac
    """

BENCHMARK_MODEL = """\
    #!{python} -I
    '''LiteRT's benchmark_model as far as its flags and its log go; the timings are true.'''
    import sys
    from time import perf_counter_ns, sleep

    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    KNOWN = dict(graph="", num_runs="50", min_secs="1", warmup_runs="1", warmup_min_secs="0.5",
                 max_secs="150", num_threads="-1", use_gpu="false", use_nnapi="false", use_hexagon="false")
    given = dict(argument.removeprefix("--").split("=", 1) for argument in sys.argv[1:])
    if set(given) - set(KNOWN):
        sys.exit("Unconsumed cmdline flags: " + " ".join(sorted(given)))
    flags = KNOWN | given

    def say(text, level="INFO"):
        print(f"{{level}}: {{text}}", file=sys.stderr)

    def run(interpreter, least, least_secs):
        say(f"Running benchmark for at least {{least}} iterations and at least {{least_secs}} seconds but "
            f"terminate if exceeding {{flags['max_secs']}} seconds.")
        seen, begin = [], perf_counter_ns()
        while True:
            passed = (perf_counter_ns() - begin) / 1e9
            if passed > float(flags["max_secs"]) or (len(seen) >= least and passed >= least_secs):
                break
            start = perf_counter_ns() // 1000
            interpreter.invoke()
            seen.append(perf_counter_ns() // 1000 - start)
        p5, median, p95 = (int(q) for q in np.percentile(seen, [5, 50, 95], method="lower"))
        if min(seen) == max(seen):
            same = "(all same)" if len(seen) > 1 else ""
            say(f"count={{len(seen)}} curr={{seen[-1]}}{{same}}\\n")
        else:
            say(f"count={{len(seen)}} first={{seen[0]}} curr={{seen[-1]}} min={{min(seen)}} "
                f"max={{max(seen)}} avg={{np.mean(seen):.6g}} std={{np.std(seen):.0f}} "
                f"p5={{p5}} median={{median}} p95={{p95}}\\n")
        return seen

    say("STARTING!")
    say("Log parameter values verbosely: [0]")
    say(f"Graph: [{{flags['graph']}}]")
    try:
        interpreter = Interpreter(model_path=flags["graph"], num_threads=int(flags["num_threads"]))
    except Exception:
        say(f"Failed to load model {{flags['graph']}}", "ERROR")
        say("Benchmarking failed.", "ERROR")
        sys.exit(1)
    say(f"Loaded model {{flags['graph']}}")
    interpreter.allocate_tensors()
    {delegation}
    say("Initialized session in 1.2ms.")
    warm = run(interpreter, int(flags["warmup_runs"]), float(flags["warmup_min_secs"]))
    seen = run(interpreter, int(flags["num_runs"]), float(flags["min_secs"]))
    say(f"Inference timings in us: Init: 1200, First inference: {{warm[0]}}, "
        f"Warmup (avg): {{np.mean(warm):.6g}}, Inference (avg): {{np.mean(seen):.6g}}")
    """


def benchmark_model(path: Path, delegation: str = "") -> Path:
    """Write a program that stands for benchmark_model; `delegation` is a statement of Python in it."""
    path.write_text(textwrap.dedent(BENCHMARK_MODEL).format(python=sys.executable, delegation=delegation))
    path.chmod(0o600)  # the runner has to see to its being executable
    return path


@dataclass
class Stream:
    """One service that adb has opened: bytes come by `incoming`, a write waits for its acknowledgement."""

    device: "Adbd"
    connection: socket.socket
    ours: int
    theirs: int
    acknowledged: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    closed: bool = False
    incoming: bytearray = field(default_factory=bytearray)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), MAX_DATA // 2):
            if self.closed:
                return
            part = data[start : start + MAX_DATA // 2]
            self.device.send(self.connection, b"WRTE", self.ours, self.theirs, part)
            self.acknowledged.acquire(timeout=10)

    def read(self, count: int) -> bytes:
        with self.arrived:
            self.arrived.wait_for(lambda: len(self.incoming) >= count or self.closed, timeout=30)
            if len(self.incoming) < count:
                raise ConnectionError("the stream ended early")
            data = bytes(self.incoming[:count])
            del self.incoming[:count]
            return data

    def feed(self, data: bytes) -> None:
        with self.arrived:
            self.incoming += data
            self.arrived.notify_all()

    def close(self) -> None:
        with self.arrived:
            self.closed = True
            self.arrived.notify_all()
        self.acknowledged.release()


class Adbd:
    """A device at `127.0.0.1:port`. Its faults are switched by its attributes.

    `answers` gives, by a pattern of the line, what a shell prints instead of running it, and its
    status; `vanishes_at` is the pattern of a line at which the device disappears, `hangs_at` of one that
    it never ends; `stalls` lets it answer no line any more, `full` lets every push fail, `authorized`
    False lets nobody in, `modern` False is a device older than Android 7, whose shell tells no status.
    """

    def __init__(self, folder: Path) -> None:
        self.root, self.lines = folder / "device", list[str]()
        (self.root / PLACE.lstrip("/")).mkdir(parents=True)
        self._install_getprop()
        self.answers: dict[str, tuple[str, int]] = {}
        self.vanishes_at: str | None = None
        self.hangs_at: str | None = None
        self.stalls, self.stopped = False, threading.Event()
        self.full, self.authorized, self.modern = False, True, True
        self.sending, self.streams, self.next_id = threading.Lock(), dict[int, Stream](), 1
        self.connections: list[socket.socket] = []
        self.children: list[subprocess.Popen[bytes]] = []
        self.threads: list[threading.Thread] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self._start(self._accept)

    @property
    def serial(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def place(self) -> Path:
        """Where the device's /data/local/tmp lies here."""
        return self.root / PLACE.lstrip("/")

    def stop(self) -> None:
        """Disappear, as by a pulled cable: ends every connection and whatever runs."""
        self.stopped.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for stream in list(self.streams.values()):
            stream.close()
        for child in self.children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)

    def idle(self) -> bool:
        """Wait a little for what runs to end; tell whether nothing is left of it."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and any(child.poll() is None for child in self.children):
            time.sleep(0.02)
        return all(child.poll() is not None for child in self.children)

    def join(self) -> None:
        """Stop, and wait until nothing of it runs any more."""
        self.stop()
        for thread in self.threads:
            thread.join(timeout=10)
        assert not any(thread.is_alive() for thread in self.threads)

    def send(
        self, connection: socket.socket, command: bytes, first: int, second: int, data: bytes = b""
    ) -> None:
        number = int.from_bytes(command, "little")
        header = struct.pack("<6I", number, first, second, len(data), sum(data), number ^ 0xFFFFFFFF)
        with self.sending, contextlib.suppress(OSError):
            connection.sendall(header + data)

    def _install_getprop(self) -> None:
        cases = "\n".join(f"{name}) echo '{value}' ;;" for name, value in PROPERTIES.items())
        (self.root / "bin").mkdir()
        script = self.root / "bin" / "getprop"
        script.write_text(textwrap.dedent(GETPROP).format(cases=cases))
        script.chmod(0o755)

    def _start(self, target: object, *arguments: object) -> None:
        assert callable(target)
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections.append(connection)
                self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, ConnectionError):
            while True:
                command, first, second, length, _, _ = struct.unpack("<4s5I", receive(connection, 24))
                self._handle(connection, command, first, second, receive(connection, length))
        for stream in list(self.streams.values()):
            if stream.connection is connection:
                stream.close()

    def _handle(
        self, connection: socket.socket, command: bytes, first: int, second: int, data: bytes
    ) -> None:
        if command in (b"CNXN", b"AUTH") and not self.authorized:
            self.send(connection, b"AUTH", 1, 0, b"\x55" * 20)  # a token to sign, whatever the signature
        elif command == b"CNXN":
            banner = "device::ro.product.name=phone;features=" + ("shell_v2" if self.modern else "")
            self.send(connection, b"CNXN", VERSION, MAX_DATA, banner.encode())
        elif command == b"OPEN":
            self._open(connection, first, data.rstrip(b"\0").decode())
        elif (stream := self.streams.get(second)) is not None:
            if command == b"OKAY":
                stream.acknowledged.release()
            elif command == b"WRTE":
                self.send(connection, b"OKAY", stream.ours, stream.theirs)
                stream.feed(data)
            elif command == b"CLSE":
                del self.streams[second]
                stream.close()

    def _open(self, connection: socket.socket, theirs: int, service: str) -> None:
        name, _, line = service.partition(":")
        serves = {"shell": self._shell, "sync": self._sync}.get(name.split(",")[0])
        if serves is None:
            self.send(connection, b"CLSE", 0, theirs)
            return
        stream = Stream(self, connection, self.next_id, theirs)
        self.streams[self.next_id] = stream
        self.next_id += 1
        self.send(connection, b"OKAY", stream.ours, theirs)
        self._start(self._run, serves, stream, line)

    def _run(self, serves: object, stream: Stream, line: str) -> None:
        assert callable(serves)
        with contextlib.suppress(ConnectionError):
            serves(stream, line)
        if not stream.closed:
            self.send(stream.connection, b"CLSE", stream.ours, stream.theirs)

    def _shell(self, stream: Stream, line: str) -> None:
        self.lines.append(line)
        if self.vanishes_at and re.search(self.vanishes_at, line):
            self.stop()
            return
        if self.stalls:
            self.stopped.wait()
            return
        out, status = self._outcome(line)
        if self.modern:
            stream.write(struct.pack("<BI", STDOUT, len(out)) + out)
            stream.write(struct.pack("<BIB", EXIT, 1, status % 256))
        else:
            stream.write(out.replace(b"\n", b"\r\n"))

    def _outcome(self, line: str) -> tuple[bytes, int]:
        for pattern, (text, status) in self.answers.items():
            if re.search(pattern, line):
                line = f"cat <<'END'\n{text}\nEND\n(exit {status}); {line.rpartition('; ')[2]}"
        if self.hangs_at and re.search(self.hangs_at, line):
            line = line.replace("./benchmark_model", "sh -c 'exec sleep 60'")
        child = subprocess.Popen(
            ["/bin/sh", "-c", line.replace(PLACE, str(self.place))],
            env={"PATH": f"{self.root / 'bin'}:/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.children.append(child)  # it goes on when adb does not listen any more, as on a phone
        out, _ = child.communicate()
        return out, child.returncode

    def _sync(self, stream: Stream, _: str) -> None:
        while True:
            command, length = struct.unpack("<4sI", stream.read(8))
            if command == b"QUIT":
                return
            if command == b"STAT":
                stream.write(b"STAT" + stat_of(self._here(stream.read(length).decode())))
            elif command == b"SEND":
                self._receive_file(stream, stream.read(length).decode())

    def _receive_file(self, stream: Stream, target: str) -> None:
        path, _, mode = target.rpartition(",")
        data = bytearray()
        while True:
            command, length = struct.unpack("<4sI", stream.read(8))
            if command == b"DONE":
                break
            data += stream.read(length)
        if self.full:
            reason = b"write failed: No space left on device"
            stream.write(b"FAIL" + struct.pack("<I", len(reason)) + reason)
            return
        self._here(path).write_bytes(data)
        self._here(path).chmod(int(mode) & 0o777)
        stream.write(b"OKAY" + struct.pack("<I", 0))

    def _here(self, path: str) -> Path:
        assert path.startswith(PLACE), path
        return self.place / path.removeprefix(PLACE).lstrip("/")


def receive(connection: socket.socket, count: int) -> bytes:
    """Return that many bytes of a connection. Raises ConnectionError where it ends."""
    data = b""
    while len(data) < count:
        if not (part := connection.recv(count - len(data))):
            raise ConnectionError("the connection ended")
        data += part
    return data


def stat_of(path: Path) -> bytes:
    """Return mode, size and time as `sync:` tells them; all 0 where there is nothing."""
    if not path.exists():
        return struct.pack("<3I", 0, 0, 0)
    found = path.stat()
    return struct.pack("<3I", found.st_mode, found.st_size, int(found.st_mtime))
