"""The C servers of Debian, each as one process (or thread) that answers, from the same zone file, without rate limits.

They do less than a cluster DNS server, since their zones stand still: that is what makes them yardsticks.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from loadtest.questions import Question
from tests.bench.processes import Running, found, running
from tests.free_port import free_port


class Zone(NamedTuple):
    """What they serve: an origin, its records as lines of a zone file, and a question that has an answer."""

    origin: str
    records: list[str]
    question: Question


class Yardstick(NamedTuple):
    """A program, the Debian package it is in, and its command line and files in a folder."""

    name: str
    program: str
    package: str
    prepare: Callable[[Path, int, Zone], list[str | Path]]


# Both of its rate limits are on by default; round-robin is off, and the database is the zone in memory.
NSD = """\
server:
  ip-address: 127.0.0.1
  port: {port}
  server-count: 1
  tcp-count: 1000
  tcp-timeout: 60
  username: ""
  zonesdir: "{folder}"
  pidfile: "{folder}/nsd.pid"
  zonelistfile: "{folder}/zone.list"
  xfrdfile: "{folder}/xfrd.state"
  xfrdir: "{folder}"
  database: ""
  rrl-ratelimit: 0
  rrl-whitelist-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: {zone}
  zonefile: zone
"""

KNOT = """\
server:
  rundir: "{folder}"
  pidfile: "{folder}/knot.pid"
  listen: 127.0.0.1@{port}
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
  tcp-max-clients: 1000
  tcp-idle-timeout: 60
log:
  - target: stderr
    any: error
database:
  storage: "{folder}/knot"
zone:
  - domain: {zone}
    storage: "{folder}"
    file: zone
    zonefile-sync: -1
    journal-content: none
"""

# Its access control refuses nobody on 127.0.0.1.
UNBOUND = """\
server:
  interface: 127.0.0.1@{port}
  num-threads: 1
  incoming-num-tcp: 1000
  tcp-idle-timeout: 60000
  do-daemonize: no
  use-syslog: no
  chroot: ""
  username: ""
  directory: "{folder}"
  pidfile: ""
  module-config: "iterator"
  do-not-query-localhost: no
remote-control:
  control-enable: no
auth-zone:
  name: {zone}
  zonefile: zone
  for-downstream: yes
  for-upstream: no
"""


def _nsd(folder: Path, port: int, zone: Zone) -> list[str | Path]:
    return ["nsd", "-d", "-c", _written(folder, NSD, port, zone)]


def _knot(folder: Path, port: int, zone: Zone) -> list[str | Path]:
    (folder / "knot").mkdir()
    return ["knotd", "-c", _written(folder, KNOT, port, zone)]


def _unbound(folder: Path, port: int, zone: Zone) -> list[str | Path]:
    return ["unbound", "-d", "-p", "-c", _written(folder, UNBOUND, port, zone)]


def _dnsmasq(folder: Path, port: int, zone: Zone) -> list[str | Path]:
    """Return the command of dnsmasq, which reads no zone files: it gets the addresses, and is asked only for those."""
    hosts = folder / "hosts"
    words = [record.split() for record in zone.records]
    hosts.write_text("".join(f"{word[3]} {word[0]}.{zone.origin}\n" for word in words if word[2] == "A"))
    return [
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--user=root",
        "--no-resolv",
        "--no-hosts",
        f"--pid-file={folder / 'dnsmasq.pid'}",
        f"--addn-hosts={hosts}",
        f"--port={port}",
        "--listen-address=127.0.0.1",
        "--bind-interfaces",
    ]


def _written(folder: Path, template: str, port: int, zone: Zone) -> Path:
    (folder / "zone").write_text("\n".join([f"$ORIGIN {zone.origin}.", *zone.records]) + "\n")
    path = folder / "conf"
    path.write_text(template.format(folder=folder, port=port, zone=zone.origin))
    return path


ALL = (
    Yardstick("NSD", "nsd", "nsd", _nsd),
    Yardstick("Knot", "knotd", "knot", _knot),
    Yardstick("Unbound", "unbound", "unbound", _unbound),
    Yardstick("dnsmasq", "dnsmasq", "dnsmasq-base", _dnsmasq),
)


@contextmanager
def serving(yardstick: Yardstick, folder: Path, zone: Zone) -> Iterator[Running]:
    """Run one of the servers; the block begins when it answers."""
    own = folder / yardstick.name
    own.mkdir()
    port = free_port()
    command = yardstick.prepare(own, port, zone)
    with running(
        yardstick.name, [found(yardstick.program) or yardstick.program, *command[1:]], port, zone.question, own / "log"
    ) as server:
        yield server
