"""What a zone returns: RRsets, and an Answer with its reason and the keys on which it depends."""

import struct
from collections.abc import Iterable, Iterator

import msgspec

from dnsserver.wire.extended_errors import ExtendedError
from dnsserver.wire.message import ANY, EDE, HINFO, MAX_CHAIN, NOERROR, SOA, RRset
from dnsserver.wire.name import MAX_NAME, to_text
from dnsserver.wire.renaming import Renaming

_ANY_TTL = 3789
_SOA_NUMBERS = struct.Struct("!IIIII")


class Absence(msgspec.Struct, frozen=True, gc=False, eq=False):
    """What a zone of this `serial` has in place of a service that does not exist; a change of it brings another."""

    serial: int


class Reason(msgspec.Struct, frozen=True, gc=False):
    """Why an answer is what it is.

    `code` is a short word for metrics; `ede` and `text` are what a client that speaks EDNS is told
    (RFC 8914), when there is something to tell. `also` is told beside it: what an upstream said, or that data is old.
    """

    code: str
    ede: EDE | None = None
    text: str = ""
    also: tuple[ExtendedError, ...] = ()


def looked_up_as(reason: Reason, name: bytes) -> Reason:
    """Return the reason of an answer, for a client that had asked for another name than this one."""
    if reason.ede is None:
        return reason
    return Reason(reason.code, reason.ede, f"{reason.text} (looked up as {to_text(name)})", reason.also)


FOUND = Reason("found")
NO_DATA = Reason("no-data")
CNAME_LOOP = Reason("cname-loop", EDE.OTHER, "the aliases lead back to each other")
TOO_MANY_CNAMES = Reason("cname-chain-too-long", EDE.OTHER, f"more than {MAX_CHAIN} CNAMEs")

# What an answer depends on, and what a change names: a namespace `(ns,)`, a service `(ns, service)`, or the packed
# address (4 or 16 octets) that a reverse or a pod name stands for. Lower-case; no two kinds of key are ever equal.
# A change of a namespace is one of all its services, so an answer of a service names the service only.
# `name_key` is about a name that was looked up in place of the one asked, or led to: what rules and hosts say of it.
Key = tuple[bytes, ...] | bytes
ADDRESSES: Key = ()  # a change of all addresses: no answer depends on it, but it stands for all that are octets


class Answer(msgspec.Struct, frozen=True, gc=False):
    """One authoritative answer: sections as RRsets, the reason, and the keys that it depends on.

    `follow` is set on a CNAME answer whose chain leaves the cluster: the name to go on with at the upstreams, whose
    rcode then becomes the reply's. `search` are names outside, in order: if one of them exists, the answer is a CNAME
    to it, and this NXDOMAIN if none does. With `renaming` what comes from outside has to be renamed; what is here is
    already. `depends` is None for an answer that must not be kept, because every change or the passing of time can
    alter it.
    """

    rcode: int = NOERROR
    answer: tuple[RRset, ...] = ()
    authority: tuple[RRset, ...] = ()
    additional: tuple[RRset, ...] = ()
    reason: Reason = FOUND
    depends: tuple[Key, ...] | None = ()
    follow: bytes | None = None
    search: tuple[bytes, ...] = ()
    aa: bool = True
    renaming: Renaming | None = None


def name_key(name: bytes) -> Key:
    """Return the key of what the configuration says of a lower-case name that is not the one asked."""
    return b"", name, b""


def names_of(keys: Iterable[Key]) -> Iterator[bytes]:
    """Yield the names of those keys that `name_key` has made."""
    for key in keys:
        if isinstance(key, tuple) and len(key) == 3:
            yield key[1]


def minimal_any(answer: Answer, name: bytes, qtype: int) -> Answer:
    """Return the answer, or for type ANY that a name exists and no more (RFC 8482)."""
    if qtype != ANY or answer.rcode != NOERROR:
        return answer
    hinfo = RRset(name, HINFO, _ANY_TTL, (b"\x07RFC8482\0",))
    return Answer(answer=(hinfo,), reason=answer.reason, depends=answer.depends, aa=answer.aa)


def soa(zone: bytes, ttl: int, *, server: bytes, mailbox: bytes, serial: int = 1) -> RRset:
    """Return the SOA of a zone of this server's own.

    `ttl` in seconds is also its MINIMUM: how long it is known that a name does not exist (RFC 2308 section 4).
    """
    numbers = _SOA_NUMBERS.pack(serial & 0xFFFFFFFF, 7200, 1800, 86400, ttl)  # refresh, retry and expire as CoreDNS has
    return RRset(zone, SOA, ttl, (server + mailbox + numbers,))


def bare_soa(zone: bytes, ttl: int) -> RRset:
    """Return the SOA of a zone that has no other name, for names that are fixed here."""
    mailbox = b"\x0ahostmaster" + zone
    return soa(zone, ttl, server=zone, mailbox=mailbox if len(mailbox) <= MAX_NAME else zone)


def joined(one: tuple[Key, ...] | None, other: tuple[Key, ...] | None) -> tuple[Key, ...] | None:
    """Return all that two answers depend on, each key once; None if one of them must not be kept."""
    return None if one is None or other is None else tuple(dict.fromkeys((*one, *other)))
