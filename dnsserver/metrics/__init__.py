"""What the server tells Prometheus: numbers in, metric families out.

Promises: the hot path keeps ints and adds to a `Histogram`, nothing more; all else happens when somebody scrapes. Every
family is one entry of `families.FAMILIES`. Names and labels that CoreDNS has are its own, so that dashboards and alerts
made for it go on working; what it does not have begins with `dnsserver_`. Must not know where the numbers come from.
`exposition` is not among what stands here, as a worker does without it.
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
