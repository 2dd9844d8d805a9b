"""What the server tells Prometheus: numbers in, metric families out.

Promises: the hot path only keeps ints and adds to a `Histogram`; everything else happens during a scrape. Every family
is one entry of `families.FAMILIES`. Names and labels that CoreDNS has are the same here, so that its dashboards and
alerts go on working; all others begin with `dnsserver_`. Must not know where the numbers come from.
`exposition` is not exported here, because a worker does not need it.
"""

from dnsserver.metrics.histogram import LAG, PROGRAMMING, REST, SIZES, TIME, Histogram
from dnsserver.metrics.namespaces import NamespaceLabels
from dnsserver.metrics.numbers import (
    MISSING,
    OTHER,
    AnswerCache,
    Audience,
    Configuration,
    Forward,
    Kind,
    Log,
    Namespace,
    ObjectFiles,
    Process,
    Readings,
    Replies,
    Request,
    TcpListener,
    Traffic,
    UdpListener,
    Upstream,
    Usage,
    Zone,
    ZoneSnapshot,
    added,
    server_label,
)

__all__ = [
    "LAG",
    "MISSING",
    "OTHER",
    "PROGRAMMING",
    "REST",
    "SIZES",
    "TIME",
    "AnswerCache",
    "Audience",
    "Configuration",
    "Forward",
    "Histogram",
    "Kind",
    "Log",
    "Namespace",
    "NamespaceLabels",
    "ObjectFiles",
    "Process",
    "Readings",
    "Replies",
    "Request",
    "TcpListener",
    "Traffic",
    "UdpListener",
    "Upstream",
    "Usage",
    "Zone",
    "ZoneSnapshot",
    "added",
    "server_label",
]
