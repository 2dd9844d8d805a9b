"""The outside of the cluster: a server of one zone file, on loopback, UDP and TCP.

It is authoritative for the names of the zone; all other names do not exist. For tests that start processes, it is also
a program: `python -m tests.upstream` prints the port that it got.
"""

import sys
from pathlib import Path

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataset
import dns.rdatatype
import dns.zone
import trio

from tests.forward.scripted import Query, Script, upstream

ZONE = Path(__file__).with_name("conformance") / "upstream.zone"
_MAX_ALIASES = 8


def answering_from(path: Path = ZONE) -> Script:
    """Return the script of an upstream that knows only this zone."""
    zone = dns.zone.from_text(path.read_text(), relativize=False)

    async def script(query: Query) -> None:
        await query.send(answer(zone, query.message).to_wire(max_size=65535))

    return script


def answer(zone: dns.zone.Zone, query: dns.message.Message) -> dns.message.Message:
    """Return the answer of the zone's server (RFC 1034 section 4.3.2, no wildcards); it follows CNAMEs in the zone."""
    reply = dns.message.make_response(query, recursion_available=True)
    question = query.question[0]
    assert zone.origin is not None
    if not question.name.is_subdomain(zone.origin):
        reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply
    reply.flags |= dns.flags.AA
    name = question.name
    for _ in range(_MAX_ALIASES):
        found = zone.get_rrset(name, question.rdtype)
        if found is not None:
            reply.answer.append(found)
            return reply
        alias = zone.get_rrset(name, dns.rdatatype.CNAME)
        if alias is None:
            break
        reply.answer.append(alias)
        name = alias[0].target
    if not any(node.is_subdomain(name) for node in zone.nodes):
        reply.set_rcode(dns.rcode.NXDOMAIN)
    soa = zone.get_rrset(zone.origin, dns.rdatatype.SOA)
    assert soa is not None
    reply.authority.append(soa)
    return reply


async def _main() -> None:
    async with upstream(answering_from()) as server:
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(_main)
