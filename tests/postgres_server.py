"""A private PostgreSQL server in a temporary folder, on a free port of the loopback device.

The programs are the Debian package's (`ci/env.py` installs it where it can). The server runs as a child of this process
and, as PostgreSQL refuses to run as root, as the user "postgres" or "nobody" when we are root.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WAIT_SECONDS = 60.0
# The shell ends the server when its standard input is closed: by us, or because we have ended, however that was.
_UNTIL_WE_END = '"$@" & server=$!; read -r _; kill -QUIT $server 2>/dev/null; wait $server'


def programs() -> Path | None:
    """The folder with initdb and postgres; None: PostgreSQL is not installed."""
    debian = Path("/usr/lib/postgresql")
    folders = sorted(debian.glob("*/bin"), key=lambda p: int(p.parent.name.split(".")[0]), reverse=True)
    on_path = shutil.which("initdb")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    return next((f for f in folders if (f / "initdb").exists() and (f / "postgres").exists()), None)


class Server:
    """Started at once; `uri` is how to connect. options: settings for postgres, such as {"fsync": "off"}."""

    def __init__(self, **options: str) -> None:
        found = programs()
        if found is None:
            raise RuntimeError("PostgreSQL is not installed (Debian: apt-get install postgresql)")
        self._programs = found
        self._options = [f"--{name}={value}" for name, value in options.items()]
        self._user = _unprivileged()
        self.folder = Path(tempfile.mkdtemp(prefix="tocsin-pg-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Any = None
        password = secrets.token_hex(8)
        secret = self.folder / "password"
        secret.write_text(password)
        if self._user is not None:
            shutil.chown(self.folder, self._user)
            shutil.chown(secret, self._user)
        self._run(
            "initdb",
            "-U",
            "tocsin",
            "-E",
            "UTF8",
            "--locale=C",
            "-N",
            "-A",
            "scram-sha-256",
            f"--pwfile={secret}",
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"postgresql://tocsin:{password}@127.0.0.1:{self.port}/postgres"
        self.start()

    def start(self) -> None:
        """Start it and return when it takes connections."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "sh", "-c", _UNTIL_WE_END, "sh", self._programs / "postgres", "-D", self.folder / "data",
                    "-p", str(self.port), "-k", self.folder, "--listen_addresses=127.0.0.1", *self._options,
                ],
                stdin=subprocess.PIPE, stdout=log, stderr=log, cwd="/", user=self._user,
                extra_groups=None if self._user is None else [], start_new_session=True,  # Ctrl-C is for the tests
            )  # fmt: skip
        until = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                self.query("SELECT 1")
                return
            except Exception as failure:
                if time.monotonic() > until:
                    text = (self.folder / "log").read_text(errors="replace")
                    raise RuntimeError(f"PostgreSQL does not start: {text[-2000:]}") from failure
                time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """End it: SIGQUIT or SIGKILL at once, as by a crash; SIGINT closes its connections first."""
        self._disconnect()
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            if how != signal.SIGQUIT:
                os.kill(int((self.folder / "data/postmaster.pid").read_text().split()[0]), how)
            if how == signal.SIGINT:  # it ends by itself, in good order
                until = time.monotonic() + WAIT_SECONDS
                while (self.folder / "data/postmaster.pid").exists() and time.monotonic() < until:
                    time.sleep(0.01)
            process.stdin.close()
            process.wait(WAIT_SECONDS)

    def close(self) -> None:
        """End it and take its folder away."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """One statement, committed at once; its rows."""
        with self._cursor() as cursor:
            cursor.execute(statement, values or None)
            return [] if cursor.description is None else cursor.fetchall()

    def table(self, statement: str) -> Any:
        """The rows of one statement as a pyarrow.Table."""
        with self._cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetch_arrow_table()

    @contextlib.contextmanager
    def _cursor(self) -> Iterator[Any]:
        import adbc_driver_postgresql.dbapi as driver

        if self._connection is None:
            self._connection = driver.connect(self.uri, autocommit=True)
        try:
            with self._connection.cursor() as cursor:
                yield cursor
        except Exception:
            self._disconnect()
            raise

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, "-D", self.folder / "data", *arguments],
            capture_output=True, text=True, cwd="/", user=self._user,
            extra_groups=None if self._user is None else [],
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stdout}{done.stderr}")


def _unprivileged() -> str | None:
    """Whom to run as; None: as we are."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None
    import pwd

    for user in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(user).pw_name
    raise RuntimeError("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
