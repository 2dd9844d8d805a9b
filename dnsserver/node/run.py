"""The guardian's process: one thread that waits for whatever happens next, and one that shows metrics."""

import contextlib
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from dnsserver import signals
from dnsserver.logger import get_logger, send_to
from dnsserver.node import report
from dnsserver.node.addresses import LOOPBACK, LOST, Addresses, parsed
from dnsserver.node.asker import Asker
from dnsserver.node.guardian import Guardian, Settings
from dnsserver.node.untracked import Untracked

log = get_logger("dnsserver.node.run")  # which is run as a program

_ASKS: Final = {"udp": 0.25, "tcp": 1.0}  # seconds between two questions to the server
_ASKS_CLUSTER: Final = 0.5  # and at a cluster address
_LOOK: Final = 0.5  # seconds between two looks at addresses and rules, well below the lease
_RETRY: Final = 0.5  # seconds until the port of metrics is tried again: the last guardian has it until it ends
_SCRAPE: Final = 1.0  # seconds that a client of metrics may take


class Options(NamedTuple):
    """What the command line says: addresses as text, the name to ask, where to report and to show metrics."""

    own: tuple[str, ...]
    cluster: tuple[str, ...]
    name: str
    device: str = "dnsserver0"
    drain: float = 30.0
    folder: str = ""
    metrics: tuple[str, int] | None = None

    @property
    def settings(self) -> Settings:
        """What the guardian is for."""
        return Settings(tuple(map(parsed, self.own)), tuple(map(parsed, self.cluster)), self.device, self.drain)


def run(options: Options) -> None:
    """Guard until SIGTERM, and then until another guardian has taken over or the server has ended.

    Raises OSError for what waiting does not help against: no NET_ADMIN, or an interface of somebody else.
    """
    addresses, untracked = Addresses(), Untracked()
    try:
        addresses.device(options.device)
    except PermissionError as error:
        raise PermissionError(error.errno, f"{error.strerror}: it needs the capability NET_ADMIN") from error
    except FileExistsError:
        raise
    except OSError as error:  # said and tried again from here on
        log.warning(
            "the interface cannot be made, trying again", device=options.device, error=error.strerror or str(error)
        )
    woken, wakes = socket.socketpair()
    wakes.setblocking(False)
    signal.set_wakeup_fd(wakes.fileno())
    for number in signals.ENDING:
        signal.signal(number, lambda *_: None)
    signals.pass_over()
    guardian = Guardian(options.settings, addresses, untracked)
    loop = _Loop(options, guardian, addresses.changes.socket, woken)
    if options.metrics is not None:
        threading.Thread(target=_show, args=(loop, *options.metrics), daemon=True).start()
    while not guardian.finished:
        loop.turn(addresses.changes.heard)
    addresses.close()
    untracked.close()


def remove(options: Options) -> None:
    """Remove what a guardian that was killed has left behind. Raises OSError."""
    addresses, untracked = Addresses(), Untracked()
    untracked.remove()
    settings = options.settings
    ours = {*settings.own, *settings.cluster}
    with contextlib.suppress(OSError):
        addresses.remove_device(settings.device)
    for given in addresses.all():
        if given.address in ours and addresses.name(given.device) == LOOPBACK:
            addresses.take(given.address, given.device)


class _Loop:
    """Waits for the next thing to do, and does it."""

    def __init__(self, options: Options, guardian: Guardian, changes: socket.socket, woken: socket.socket) -> None:
        self._options = options
        self._guardian = guardian
        self._changes = changes
        self._woken = woken
        self._folder = Path(options.folder) if options.folder else None
        self._unwritten = ""  # why the last report could not be written
        first = options.settings.own[0]
        self._askers = {(first, transport): Asker(first, transport, options.name) for transport in ("udp", "tcp")}
        self._due = dict.fromkeys(self._askers, 0.0)
        self._look = 0.0
        self.report = guardian.report(report.clock())

    def turn(self, heard: Any) -> None:
        """Wait for one thing and do it."""
        waits = select.poll()
        waits.register(self._changes, select.POLLIN)
        waits.register(self._woken, select.POLLIN)
        by_number = {}
        for key, asker in self._askers.items():
            if asker.sock is not None:
                by_number[asker.sock.fileno()] = key
                waits.register(asker.sock, select.POLLOUT if asker.writes else select.POLLIN)
        now = time.monotonic()
        due = min([self._look, *(at for key, at in self._due.items() if not self._askers[key].is_asking)])
        due = min([due, *(asker.until for asker in self._askers.values() if asker.is_asking)])
        ready = waits.poll(max(0.0, due - now) * 1000 + 1)
        now = time.monotonic()
        numbers = {number for number, _ in ready}
        if self._woken.fileno() in numbers and {*self._woken.recv(64)} & {*signals.ENDING}:
            self._guardian.end(now)
        if self._changes.fileno() in numbers and LOST.intersection(heard()):
            self._look = now
        for number in numbers & by_number.keys():
            self._note(by_number[number], self._askers[by_number[number]].look(), now)
        for key, asker in self._askers.items():
            self._note(key, asker.expire(now), now)
            if now >= self._due[key] and not asker.is_asking:
                self._due[key] = now + self._every(key)
                self._note(key, asker.ask(now), now)
        if now >= self._look:
            self._look_now(now)

    def _every(self, key: Any) -> float:
        address, transport = key
        return _ASKS[transport] if address == self._options.settings.own[0] else _ASKS_CLUSTER

    def _note(self, key: Any, outcome: Any, now: float) -> None:
        if outcome is None:
            return
        address, transport = key
        if outcome == "closed":  # the server may have ended
            self._due = {each: now if each[0] == address else at for each, at in self._due.items()}
        if self._guardian.note(address, transport, outcome, now):
            self._look = now

    def _look_now(self, now: float) -> None:
        self._guardian.look(now)
        self._look = now + _LOOK
        self._follow_cluster(now)
        self.report = self._guardian.report(report.clock())
        if self._folder is not None:
            self._write(self._folder)

    def _write(self, folder: Path) -> None:
        """Write the report; if that fails, the reason is logged once."""
        try:
            report.write(folder, self.report)
        except OSError as error:
            problem = error.strerror or str(error)
            if problem != self._unwritten:
                log.warning("the report cannot be written", folder=str(folder), error=problem)
            self._unwritten = problem
        else:
            self._unwritten = ""

    def _follow_cluster(self, now: float) -> None:
        """Ask at the cluster addresses that the node has."""
        wanted = {(address, "udp") for address in self._guardian.asked}
        first = self._options.settings.own[0]
        for key in [key for key in self._askers if key[0] != first and key not in wanted]:
            self._askers.pop(key).close()
            del self._due[key]
        for key in wanted - self._askers.keys():
            self._askers[key] = Asker(key[0], "udp", self._options.name)
            self._due[key] = now


def _show(loop: _Loop, host: str, port: int) -> None:
    """Answer every request with the metrics, one after the other, as long as the process lives."""
    listener = _listener(host, port)
    while True:
        with contextlib.suppress(OSError):
            client, _ = listener.accept()
            with client:
                client.settimeout(_SCRAPE)
                client.recv(8192)
                body = report.metrics(loop.report).encode()
                head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {len(body)}\r\n"
                client.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)


def _listener(host: str, port: int) -> socket.socket:
    """Return a socket that listens there, as soon as the address can be bound."""
    told = False
    while True:
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            return socket.create_server((host, port), family=family, backlog=8)
        except OSError as error:
            if not told:
                log.info("metrics wait for their port", address=f"{host}:{port}", error=error.strerror)
                told = True
            time.sleep(_RETRY)


def _log_lines(level: str, name: str, event: dict[str, Any]) -> None:
    """Write a log line as the server does; a line that nobody reads is lost, and delays nothing."""
    stamp = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    line = json.dumps({"timestamp": stamp, "level": level, "logger": name, **event}, default=str)
    with contextlib.suppress(OSError):
        os.write(2, line.encode() + b"\n")


def options_of(raw: dict[str, Any]) -> Options:
    """Return options that came through JSON."""
    metrics = None if raw["metrics"] is None else (raw["metrics"][0], raw["metrics"][1])
    return Options(**{**raw, "own": tuple(raw["own"]), "cluster": tuple(raw["cluster"]), "metrics": metrics})


def main() -> None:
    """Guard with the options that stand in the first argument as JSON; leaves by SystemExit."""
    options = options_of(json.loads(sys.argv[1]))
    os.set_blocking(2, False)
    send_to(_log_lines, "info")
    try:
        run(options)
    except OSError as error:
        log.error("cannot guard this node", error=error.strerror or str(error))  # noqa: TRY400 - the text says it all
        sys.exit(1)


if __name__ == "__main__":
    main()
