"""What tests of child processes ask of the system."""

import time
from pathlib import Path


def gone(pid: int) -> bool:
    """Tell whether a process has ended, or does so within seconds (an orphan is for init to reap)."""
    for _ in range(200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False
