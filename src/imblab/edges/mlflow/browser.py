"""Opens an address in the browser as soon as its server answers.

The server takes the place of the process that starts it, so this module is also a script: a process of its own waits.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import webbrowser
from urllib.parse import urlsplit

#: Seconds that a server may take to answer, and the seconds between two looks.
MAX_START_SECONDS, LOOK_SECONDS = 120.0, 0.2


def can_open_browser() -> bool:
    """Whether a browser would be seen: a terminal outside of CI, a display, and a browser on it."""
    has_display = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    if os.environ.get("CI") or not has_display or not _is_terminal():
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def open_when_ready(address: str) -> None:
    """Start a process that waits for the server of an address, and then opens it."""
    command, nowhere = [sys.executable, "-I", __file__, address], subprocess.DEVNULL
    # It leaves a process of its own behind, which does not end with the server's Ctrl-C.
    subprocess.run(command, check=False, start_new_session=True, stdin=nowhere, stdout=nowhere, stderr=nowhere)


def wait_and_open(address: str, seconds: float = MAX_START_SECONDS) -> bool:
    """Open an address when its server answers; False if it does not within some seconds."""
    parts, until = urlsplit(address), time.monotonic() + seconds
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex((parts.hostname, parts.port)) == 0:
                return webbrowser.open(address)
        time.sleep(LOOK_SECONDS)
    return False


def _is_terminal() -> bool:
    return sys.stdout is not None and not sys.stdout.closed and sys.stdout.isatty()


if __name__ == "__main__":
    if os.fork() == 0:
        wait_and_open(sys.argv[1])
