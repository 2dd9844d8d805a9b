"""Writes queries to upstreams: directly as octets, because one is written for every forwarded question."""

import struct

from dnsserver.wire import message as m

# 1232 octets fit every path of today's networks without fragments (RFC 9715 section 3, DNS Flag Day 2020).
UDP_SIZE = 1232

# RD is set, an upstream is a resolver. AD asks to be told whether the data is validated (RFC 6840 section 5.7): the
# answer is shared by all clients, those that set AD among them.
_FLAGS = {False: m.RD | m.AD, True: m.RD | m.AD | m.CD}
_HEAD = {cd: struct.pack("!HHHHH", flags, 1, 0, 0, 1) for cd, flags in _FLAGS.items()}
_HEAD_WITHOUT_EDNS = {cd: struct.pack("!HHHHH", flags, 1, 0, 0, 0) for cd, flags in _FLAGS.items()}

# Root, type OPT, UDP size, extended RCODE and version 0, flags, no option (RFC 6891 section 6.1.2).
_OPT = {do: struct.pack("!BHHIH", 0, m.OPT, UDP_SIZE, 0x8000 if do else 0, 0) for do in (False, True)}

_pack_type_and_class = struct.Struct("!HH").pack


def write(name: bytes, type_: int, do: bool, cd: bool, edns: bool = True) -> tuple[bytes, bytes]:
    """Return the question section that asks `name`, case kept, class IN, and a query less its ID that has it.

    Nothing in it comes from a client but the question, DO and CD.
    """
    section = name + _pack_type_and_class(type_, m.CLASS_IN)
    return section, _HEAD[cd] + section + _OPT[do] if edns else _HEAD_WITHOUT_EDNS[cd] + section
