"""What listening addresses have counted, as the values of which metrics are made."""

from collections import Counter
from collections.abc import Iterable

import msgspec

from dnsserver import metrics
from dnsserver.resolver import tally
from dnsserver.resolver.reply_cache import ReplyTable
from dnsserver.server.tcp import TcpServer
from dnsserver.server.udp_listener import UdpListener

_TEXTS = {tally.MISSING: metrics.MISSING, tally.OTHER: metrics.OTHER}


def traffic(label: str, table: ReplyTable) -> metrics.Traffic:
    """Return what was sent of a table, as far as it is settled; `label` is that of its address."""
    sent = table.sent()
    return metrics.Traffic(
        server=label,
        protocol=table.protocol,
        family=table.family,
        replies=dict(sent.replies),
        from_cache=dict(sent.from_cache),
        durations=table.durations,
        requests=sent.requests,
        responses=sent.responses,
        do=sent.do,
    )


def namespaces(tables: Iterable[ReplyTable]) -> dict[str, metrics.Namespace]:
    """Return the counts of questions by namespace, of all these tables together."""
    questions: Counter[bytes] = Counter()
    failures: dict[bytes, Counter[int]] = {}
    for table in tables:
        found = table.namespaces
        questions.update(found.questions)
        for (name, rcode), count in found.failures.items():
            failures.setdefault(name, Counter())[rcode] += count
    return {
        _TEXTS.get(name) or name.decode("ascii", "replace"): metrics.Namespace(
            questions=count, failures=dict(failures.get(name, {}))
        )
        for name, count in questions.items()
    }


def ended(label: str, udp: UdpListener, tcp: TcpServer) -> metrics.Process:
    """Return all that an address has counted that is closed and whose tables hold nothing any more, without gauges."""
    tables = udp.table, tcp.table
    for table in tables:
        table.namespaces.count_missed()
    replace = msgspec.structs.replace
    packets = udp.statistics(label)
    return metrics.Process(
        asked=packets.received + tcp.heard,
        namespaces=namespaces(tables),
        traffic=tuple(traffic(label, table) for table in tables),
        udp=(replace(packets, heavy=0),),
        tcp=(replace(tcp.statistics(label), connections=0, heavy=0),),
        replies=metrics.Replies(hits=sum(table.hit_shapes.total() for table in tables)),
    )
