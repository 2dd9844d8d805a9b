"""Records as text, as master files have them (RFC 1035 section 5.1): what `explain` and `dump` show.

Types whose data is names and numbers are written out, all others as octets (RFC 3597 section 5). Every reader of master
files reads both.
"""

from collections.abc import Iterator
from socket import AF_INET, AF_INET6, inet_ntop

from dnsserver.wire import message as m
from dnsserver.wire.message import HEADER_SIZE, RRset, type_name
from dnsserver.wire.name import end_of_name, to_text
from dnsserver.wire.records import Names, Record, read_records

_NAMES = {m.NS, m.CNAME, m.PTR, m.DNAME}
_STRINGS = {m.TXT, m.HINFO}
_PRINTABLE = frozenset(range(0x20, 0x7F)) - set(b'"\\')


def lines(rrset: RRset) -> Iterator[str]:
    """Yield a line for each record: owner, TTL, class, type, data."""
    head = f"{to_text(rrset.name)} {rrset.ttl} IN {type_name(rrset.type)} "
    for rdata in rrset.rdatas:
        yield head + rdata_text(rrset.type, rdata)


def rdata_text(type_: int, rdata: bytes) -> str:
    """Return the data of a record; names in it are uncompressed."""
    if type_ == m.A and len(rdata) == 4:
        return inet_ntop(AF_INET, rdata)
    if type_ == m.AAAA and len(rdata) == 16:
        return inet_ntop(AF_INET6, rdata)
    if type_ in _NAMES:
        return to_text(rdata)
    if type_ in _STRINGS:
        return _strings(rdata)
    if type_ == m.MX:
        return f"{_number(rdata, 0)} {to_text(rdata[2:])}"
    if type_ == m.SRV:
        return f"{_number(rdata, 0)} {_number(rdata, 2)} {_number(rdata, 4)} {to_text(rdata[6:])}"
    if type_ == m.SOA:
        mailbox = end_of_name(rdata, 0)
        numbers = end_of_name(rdata, mailbox)
        values = (str(int.from_bytes(rdata[at : at + 4], "big")) for at in range(numbers, numbers + 20, 4))
        return " ".join((to_text(rdata[:mailbox]), to_text(rdata[mailbox:numbers]), *values))
    return rf"\# {len(rdata)} {rdata.hex()}".rstrip()


def answer_records(reply: bytes) -> tuple[list[Record], int]:
    """Return the answer section of a reply with one question, and where the records begin. Raises FormatError."""
    names = Names(reply)
    _, position = names.read(HEADER_SIZE)
    count = int.from_bytes(reply[6:8], "big")
    return list(read_records(reply, names, position + 4, count)), position + 4


def _number(rdata: bytes, at: int) -> int:
    return int.from_bytes(rdata[at : at + 2], "big")


def _strings(rdata: bytes) -> str:
    texts = []
    while rdata:
        end = 1 + rdata[0]
        shown = "".join(chr(octet) if octet in _PRINTABLE else f"\\{octet:03}" for octet in rdata[1:end])
        texts.append(f'"{shown}"')
        rdata = rdata[end:]
    return " ".join(texts)
