"""Where Dask's workers are: the address of a scheduler, checked before anything is written."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path

from imblab.errors import ConfigError, foreign_reason, short_reason

ADDRESS_PATTERN = re.compile(r"(?:tcp|tls)://(?:\[([\w:.%]+)\]|([^\s\[\]/:@]+)):0*([0-9]{1,5})")


def _host_of(address: str) -> str:
    """Return the host of the address of a scheduler; an empty text for what is none."""
    match = ADDRESS_PATTERN.fullmatch(address)
    return (match[1] or match[2]) if match and 1 <= int(match[3]) <= 65535 else ""


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return host.lower() == "localhost"


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where workers are."""

    #: ``tcp://host:port``, ``tls://host:port`` or ``file:`` with the path of a scheduler file; None starts workers on
    #: this machine that listen on loopback alone
    address: str | None = None
    shared: str | None = None  # a folder that this machine and all workers share, for tables; None sends tables

    def __post_init__(self) -> None:
        if find_spec("distributed") is None:
            raise ConfigError(
                "'runner' is 'dask', and the package distributed is not installed; it speaks to Dask's workers. "
                "Install it with: pip install 'imblab[cluster]'."
            )
        if self.address is not None and not (self.address.startswith("file:") or _host_of(self.address)):
            raise ConfigError(
                f"'runner.address' is {self.address!r}; it is the address of a Dask scheduler, tcp://HOST:PORT or "
                "tls://HOST:PORT with a port from 1 to 65535, or file: with the path of its file. Write for example "
                "runner.address=tcp://127.0.0.1:8786, runner.address=tls://HOST:8786 or "
                "runner.address=file:scheduler.json."
            )
        if self.shared is not None and not Path(self.shared).is_dir():
            raise ConfigError(
                f"'runner.shared' is {self.shared!r}, which is not a directory here; it is a folder that all workers "
                "see under the same path. Make it, or leave runner.shared out: tables are sent then."
            )

    def scheduler(self) -> str | None:
        """Return the address of the scheduler; a scheduler file is read."""
        if self.address is None or not self.address.startswith("file:"):
            return self.address
        path = Path(self.address.removeprefix("file:"))
        try:
            content = json.loads(path.expanduser().read_text(encoding="utf-8"))
            address = content.get("address") if isinstance(content, dict) else None
            reason = f"its address is {address!r}, not tcp://HOST:PORT or tls://HOST:PORT"
        except (OSError, ValueError, RuntimeError) as error:  # the last one of a home that is not known
            address, reason = None, short_reason(error, names_path=False)
        if isinstance(address, str) and _host_of(address):
            return address
        raise ConfigError(
            f"'runner.address' names the file {str(path)!r}, which cannot be read as a scheduler file ({reason}); "
            "`dask scheduler --scheduler-file` writes it. Start the scheduler first, or correct the path."
        )

    def check(self) -> None:
        """Raise ConfigError if a scheduler file cannot be read, or Dask's configuration lacks certificates for TLS."""
        address = self.scheduler() or ""
        if not address.startswith("tls://"):
            return
        from distributed.security import Security

        try:
            problem = "" if Security().get_connection_args("client").get("ssl_context") else "it names none"
        except (OSError, ValueError) as error:  # a file is missing or holds something else
            problem = f"{type(error).__name__}: {foreign_reason(error)}"
        if problem:
            raise ConfigError(
                f"'runner.address' is {address!r}; such a connection needs a certificate, its key and their authority "
                f"from Dask's configuration ({problem}). Set DASK_DISTRIBUTED__COMM__TLS__CA_FILE, "
                "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT and DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY "
                "(docs/cluster.md)."
            )

    def notes(self) -> list[str]:
        """Say what a connection without encryption means, where one leaves this machine."""
        address = self.scheduler() or ""
        if not address.startswith("tcp://") or _is_loopback(_host_of(address)):
            return []
        return [
            f"'runner.address' is {address!r}: messages are neither encrypted nor authenticated. All who reach that "
            "port can read the tables and run code on the workers and here. Use tls:// (docs/cluster.md), or a "
            "network of your own."
        ]
