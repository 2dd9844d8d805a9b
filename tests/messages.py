"""Queries as `dig` makes them, odd queries, and the parts of a reply that tests look at."""

import struct
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rdatatype

SIZE = 1232
_HEADER = struct.Struct("!HHHHHH")


def d(name: str, type_: str = "A", *, flags: int = 0, **more: Any) -> dns.message.Message:
    """The query that `dig +norec +noad +nocookie` makes; with `use_edns=None` as by `+noedns`."""
    more = {"use_edns": 0, "payload": SIZE, **more}
    if more["use_edns"] is None:
        del more["payload"]
    return dns.message.make_query(name, type_, flags=flags, **more)


def addresses(reply: dns.message.Message) -> set[str]:
    return {rdata.to_text() for rrset in reply.answer for rdata in rrset}


def negative_ttl(reply: dns.message.Message) -> int:
    """The TTL of the SOA in authority, which has to be there."""
    (soa,) = reply.authority
    assert soa.rdtype == dns.rdatatype.SOA
    assert soa.ttl == min(soa.ttl, soa[0].minimum)
    return soa.ttl


def aa(reply: dns.message.Message) -> bool:
    return bool(reply.flags & dns.flags.AA)


def tc(reply: dns.message.Message) -> bool:
    return bool(reply.flags & dns.flags.TC)


def header(flags: int = 0, questions: int = 1, answers: int = 0, authorities: int = 0, extras: int = 0) -> bytes:
    return _HEADER.pack(0, flags, questions, answers, authorities, extras)


def option(code: int, data: bytes) -> dns.edns.GenericOption:
    return dns.edns.GenericOption(dns.edns.OptionType.make(code), data)
