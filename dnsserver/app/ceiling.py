"""The most memory that a configuration can take, part by part: `check` prints it, and a pod's limit must be above.

Pure, except for one look at the kernel's limits of socket buffers. Each part keeps its own bound. For what is measured
(programs, the zone), the part says how. None of this runs while serving.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from dnsserver.config import Config
from dnsserver.forward import failure_cache
from dnsserver.server.heavy import LANES
from dnsserver.traffic.observed import MOST_ROOM, QUEUE, SIZE
from dnsserver.traffic.who_asks import most_held
from dnsserver.zone.journal import ROW, ROWS

MIB = 1024 * 1024
KIB = 1024

SERVICES = 10_000

# Private memory of the programs (RssAnon, CPython 3.11 to 3.13): a server with a few objects takes 25 MiB when all its
# pages were looked at, another that answers 20, the loader 28, a second process 15. What rules, or a file that has
# changed, have imported comes on top. And the pages of files that all of them have in common: 17 MiB of the loader's,
# 12 of the others', which are mostly the same ones (RssFile).
_SERVER = 30 * MIB
_WORKER = 24 * MIB
_LOADER = 32 * MIB
_SECOND = 20 * MIB
_SHARED = 22 * MIB

# A service with a slice of two endpoints takes 1.6 KiB of the zone (tracemalloc over 12,500 of them), with pods 2.4.
# The memory into which pages of a list are read has room for the largest, EndpointSlices that wait to be applied are up
# to three pages more, and the whole zone is held as octets while its snapshot is written.
_SERVICE = 2560
# A line of a hosts file with two names, of 40 octets or so, takes 390 and its text three times (tracemalloc, 100,000).
_HOSTS = 14
_PATTERN = 512 * KIB  # the most that RE2 may take for one
_RE2 = 3 * MIB
_LISTING = 8 * MIB
_SNAPSHOT = 640  # octets for each service

# Beside the octets that its entries count: two sets of numbers of names asked once.
_SEEN_ONCE = 1 / 16
_FLIGHT = 2560  # a question under way with all its attempts, the name at its longest
_WAITER = 800  # who waits for it: the question at its longest, the address, and what makes the reply
_FAILING = MIB  # who waits in a flood until it is their turn to be told that it failed: some 1,200 at the longest names
_SILENT = 6 * MIB  # queries that may still be answered: 480 octets each with the longest names, some 12,000
_ARRIVING = 8 * MIB  # what streams have brought of answers of up to 64 KiB, and what is made of them
_TEMPLATES = 4 * MIB  # 256 of each kind
_GATHERED = 2 * MIB  # samples and failures of half a second, in a burst, with the longest names
_CONNECTION = 3 * KIB
_LATE = 3 * MIB  # of one address: replies and packets of a turn of each lane, and questions that were put off
_KINDS = 3  # of replies, each with room of its own
_FOLLOWERS = 8  # streams of `dnsserver tail`
TCP_BUFFERS = 48 * KIB  # of a connection, both ways, doubled by the kernel
# Asked for, granted up to the kernel's limit, and doubled as well.
UDP_BUFFERS = {"rmem": 2 * MIB, "wmem": MIB // 2}
LANE_BUFFERS = {"rmem": 256 * KIB, "wmem": 64 * KIB}
_BEHIND = 64 * MIB  # what a worker has not read of the events for it, before it is given up


class Part(msgspec.Struct, frozen=True):
    """One part, the octets that it takes at most in all processes together, and the setting that bounds it."""

    name: str
    octets: int
    bound: str = ""


def parts(config: Config, *, services: int = SERVICES) -> tuple[Part, ...]:
    """Return what all processes take at most, for a cluster of so many services."""
    return tuple(_parts(config, services))


def total(found: tuple[Part, ...]) -> int:
    """Return the sum in octets."""
    return sum(part.octets for part in found)


def _parts(config: Config, services: int) -> Iterator[Part]:
    workers = config.workers - 1
    processes = config.workers
    yield Part("server", _SERVER)
    if workers:
        yield Part(f"{workers} more that answer", workers * _WORKER, "workers")
    if config.objects is None:
        yield Part("loader of credentials", _LOADER)
    yield Part("a second process, as `kubectl exec` starts one", _SECOND)
    yield Part("code that they share", _SHARED)
    yield Part(f"zone of {services:,} services", processes * services * _SERVICE)
    hosts = _HOSTS * _hosts_octets(config) + _patterns(config)
    yield Part("names of hosts, and regular expressions", processes * hosts)
    yield Part("zone while it is read and saved", _LISTING + services * _SNAPSHOT)
    yield Part("what changed", ROWS * ROW)
    yield Part("who asks what", most_held() + processes * _GATHERED)
    if workers:
        yield Part("events on their way to the others", workers * _BEHIND)
    yield Part("finished replies", int(config.reply_cache.size * (1 + _SEEN_ONCE)), "reply_cache.size")
    yield Part("answers from outside", config.cache.size + processes * failure_cache.MOST, "cache.size")
    in_flight = config.forwarding.in_flight
    yield Part("questions under way, and who waits", in_flight * (_FLIGHT + 2 * _WAITER), "forwarding.in_flight")
    yield Part("failures on their way to who waits", processes * _FAILING)
    yield Part("queries that silent upstreams may still answer", processes * _SILENT)
    yield Part("answers on their way from upstreams", processes * _ARRIVING)
    yield Part("templates of replies", processes * _TEMPLATES)
    rows = _KINDS * MOST_ROOM + _FOLLOWERS * QUEUE
    yield Part("replies for the log of queries and `tail`", processes * rows * SIZE)
    yield Part("UDP packets under way", processes * len(config.listen) * _LATE)
    yield Part("TCP connections", config.tcp.connections * _CONNECTION + config.tcp.buffers, "tcp.buffers")
    yield Part("TCP in the kernel", config.tcp.connections * TCP_BUFFERS, "tcp.connections")
    yield Part("UDP in the kernel", processes * len(config.listen) * (_granted("rmem") + _granted("wmem")))


def _hosts_octets(config: Config) -> int:
    """Return the number of octets in the lines of all tables of hosts now."""
    files = [table.file for table in config.hosts if table.file is not None and table.file.is_file()]
    entries = (len(entry) for table in config.hosts for entry in table.entries)
    return sum(entries) + sum(file.stat().st_size for file in files)


def _patterns(config: Config) -> int:
    """Return the most memory that the regular expressions of rules take, in octets."""
    expressions = [*(rule.regex for rule in config.rewrite), *(rule.regex for rule in config.answer)]
    count = sum(expression is not None for expression in expressions)
    return _RE2 + count * _PATTERN if count else 0


def _granted(kind: str) -> int:
    """Return the octets that the kernel gives the UDP sockets of an address for one direction."""
    try:
        most = int(Path(f"/proc/sys/net/core/{kind}_max").read_text("ascii"))
    except (OSError, ValueError):
        most = 212_992
    return 2 * (2 * min(UDP_BUFFERS[kind], most) + (LANES - 1) * min(LANE_BUFFERS[kind], most))


def table(found: tuple[Part, ...]) -> str:
    """Return the parts and their sum as lines of a comment in TOML."""
    rows = [(part.name, part.octets, part.bound) for part in found] + [("all", total(found), "")]
    lines = [f"# {name:<48}{octets / MIB:>7.1f}  {bound}".rstrip() for name, octets, bound in rows]
    return "\n".join(["# Memory at the most, in MiB (docs/security.md), and the setting that bounds it:", *lines, ""])
