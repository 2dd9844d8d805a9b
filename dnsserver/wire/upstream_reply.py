"""Reads what an upstream answers: the octets of a reply become a Reading, which is what may be kept of it.

Kept are the records on the CNAME chain from the question to its answer, within the scope of who was asked; for a
negative answer the SOA, and with DO the proofs. All else (glue, NS, records of other names) is cut off: that is where
poison is put (RFC 5452 section 6, RFC 2181 section 5.4.1). Nearly every reply has nothing to cut before its end, so its
octets are taken as they are; the few others are written anew.
"""

import enum
import struct
from collections.abc import Sequence

import msgspec

from dnsserver.wire import message as m
from dnsserver.wire.extended_errors import BARE_OPT, OPTION_CODE, ExtendedError, read_errors
from dnsserver.wire.message import CLASS_IN, CNAME, HEADER_SIZE, NOERROR, RRSIG, Body, FormatError, RRset, map_ttls
from dnsserver.wire.name import ancestors, end_of_name, is_below
from dnsserver.wire.records import HAS_FORM, MAX_POINTERS, Names, Record, read_records
from dnsserver.wire.reply import whole_body
from dnsserver.wire.scope import Scope

MAX_DATA = 65_000  # octets of records that fit into a message behind the longest question, with an OPT
MAX_AUTHORITY = 128  # the proofs for each name of the longest chain, and their signatures, are fewer
MAX_RECORDS = 1000  # walked in about a millisecond; no reply within 1232 octets has a tenth of it

_unpack_counts = struct.Struct("!HHH").unpack_from
_unpack_fixed = struct.Struct("!HHIH").unpack_from
_TTL = struct.Struct("!I")
_TRUNCATED = 0x02
_NO_RECORDS = bytes(6)  # QDCOUNT, ANCOUNT, NSCOUNT
_OPT = b"\0" + m.OPT.to_bytes(2, "big")
_PROOFS = frozenset((m.NSEC, m.NSEC3))
_QUESTION_POINTER = b"\xc0\x0c"
_TOP_BIT = 0x80000000
_SIGNER = 18  # octets of an RRSIG before its signer's name

# How an address record at the question's name begins (pointer, type, class), what follows its TTL (the length), and
# how many octets it has.
_unpack_address = struct.Struct("!6sIH").unpack_from
_ADDRESSES = {
    type_: (_QUESTION_POINTER + struct.pack("!HH", type_, CLASS_IN), length, 12 + length)
    for type_, length in m.ADDRESS_SIZES.items()
}
_ADDRESS_TTLS = (6,)
_ABOUT_NAMES = frozenset((NOERROR, m.NXDOMAIN))


class Verdict(enum.Enum):
    """What a well-formed reply is worth."""

    GOOD = enum.auto()
    FAILED = enum.auto()  # an rcode that says nothing about the name: another upstream may know
    LAME = enum.auto()  # a referral: whoever sent it does not resolve for others
    TOO_LARGE = enum.auto()
    CHAIN_TOO_LONG = enum.auto()


_GOOD = Verdict.GOOD  # 57 ns each time it is looked up in the Enum


class TTLLimits(msgspec.Struct, frozen=True, gc=False):
    """Bounds for TTLs in seconds; `negative_*` for how long a name or type is known to be missing."""

    cap: int = 86_400
    floor: int = 0
    negative_cap: int = 3_600
    negative_floor: int = 0


class Reading(msgspec.Struct, frozen=True, gc=False):
    """What a reply says. `ttl` is how many seconds it may be kept, 0 for not at all.

    `follow` is the name at which the chain leaves the scope, after so many `aliases`; the records behind it were
    dropped. `errors` are the extended errors that it tells, whatever it says.
    """

    verdict: Verdict
    rcode: int
    body: Body = m.EMPTY
    ttl: int = 0
    ad: bool = False
    follow: bytes | None = None
    errors: tuple[ExtendedError, ...] = ()
    aliases: int = 0


def read(reply: bytes, name: bytes, type_: int, do: bool, scope: Scope, limits: TTLLimits) -> Reading:
    """Return what may be kept of a reply whose header and question were found to fit `name` and `type_`.

    Raises FormatError for octets that are no message.
    """
    rcode = reply[3] & 0x0F
    # One address, which most questions are answered with: its octets are compared and not unpacked, 0.5 us where
    # `_read_in_order` takes 0.8. What stands behind it is of no use, unless it is to prove something.
    if type_ in _ADDRESSES and reply.startswith(b"\0\1", 6) and not rcode and (not do or reply.startswith(b"\0\0", 8)):
        head, length, size = _ADDRESSES[type_]
        start = HEADER_SIZE + len(name) + 4
        data = reply[start : start + size]
        if len(data) == size:
            begins, ttl, octets = _unpack_address(data)
            if begins == head and octets == length and limits.floor <= ttl <= limits.cap:
                # A bare OPT follows at most, or something that may tell an error.
                told = len(reply) > start + size + BARE_OPT and reply.find(OPTION_CODE, start + size) >= 0
                errors = read_errors(reply, start) if told else ()
                body = Body(1, 0, 0, data, _ADDRESS_TTLS)
                return Reading(_GOOD, NOERROR, body, ttl, bool(reply[3] & 0x20), None, errors)
    reading = _read_sections(reply, name, type_, do, scope, limits)
    position = HEADER_SIZE + len(name) + 4
    if reply.find(OPTION_CODE, position) >= 0 and (errors := read_errors(reply, position)):
        return msgspec.structs.replace(reading, errors=errors)
    return reading


def _read_sections(reply: bytes, name: bytes, type_: int, do: bool, scope: Scope, limits: TTLLimits) -> Reading:
    """Return what may be kept of a reply of any form, as `read` does."""
    rcode = reply[3] & 0x0F
    an, ns, ar = _unpack_counts(reply, 6)
    if rcode not in _ABOUT_NAMES:
        return Reading(Verdict.FAILED, rcode)
    if an + ns > MAX_RECORDS or ns > MAX_AUTHORITY:
        return Reading(Verdict.TOO_LARGE, rcode)
    if an and rcode == NOERROR and not (do and ns):
        try:
            reading = _read_in_order(reply, name, type_, an, do, scope, limits)
        except FormatError:  # or not: it has not read all the names that a pointer may lead to
            reading = None
        if reading is not None:
            return reading
    selected = _Selection(reply, name, type_, (an, ns, ar), do=do, scope=scope).reading(rcode, limits)
    if len(selected.body.data) > MAX_DATA:  # written out, names can take many times the room
        return Reading(Verdict.TOO_LARGE, rcode)
    return selected


def bare_rcode(reply: bytes) -> int | None:
    """Return the response code of an error reply without a question, with the OPT's part; None for all else.

    A header alone counts, whatever its counts say: it was copied from the query. NOERROR and NXDOMAIN say something
    about a name, and without one they say nothing; truncated they say that TCP has more.
    """
    size = len(reply)
    if size < HEADER_SIZE or reply[2] & 0xF8 != 0x80 or (size > HEADER_SIZE and reply[4:10] != _NO_RECORDS):
        return None
    rcode = reply[3] & 0x0F
    if reply.startswith(_OPT, HEADER_SIZE) and size > HEADER_SIZE + 5:
        rcode |= reply[HEADER_SIZE + 5] << 4  # RFC 6891 section 6.1.3
    return None if rcode in _ABOUT_NAMES and not is_truncated(reply) else rcode


def is_truncated(reply: bytes) -> bool:
    """Tell whether a reply with a whole header has its TC bit set."""
    return bool(reply[2] & _TRUNCATED)


def _read_in_order(
    reply: bytes, name: bytes, type_: int, count: int, do: bool, scope: Scope, limits: TTLLimits
) -> Reading | None:
    """Return the answer section as it is; None if it is not simply the chain in its order.

    This runs for nearly every forwarded question: one step for each record, and names are read only if they are new.
    """
    start = position = HEADER_SIZE + len(name) + 4
    owner = _QUESTION_POINTER
    size = m.ADDRESS_SIZES.get(type_)
    has_form = type_ in HAS_FORM
    names: Names | None = None
    offsets: list[int] = []
    lowest = _TOP_BIT
    highest = 0
    aliases: list[bytes] = []
    final = False
    end = len(reply)
    for _ in range(count):
        if reply[position : position + 2] != owner or position + 12 > end:
            return None
        rtype, cls, ttl, length = _unpack_fixed(reply, position + 2)
        rdata = position + 12
        position = rdata + length
        if cls != CLASS_IN or position > end:
            return None
        if rtype == type_:
            final = True
            if length != size and size is not None:
                return None
            if has_form:
                names = names or _names_of(reply)
                names.rdata(type_, rdata, position)
        elif rtype == CNAME and not final:
            names = names or _names_of(reply)
            target, after = names.read(rdata)
            # A name goes by fewer pointers than there are records before it, and the next owner by one more.
            if after != position or rdata > 0x3FFF or len(offsets) >= MAX_POINTERS:
                return None
            target = target.lower()
            if target in aliases or target == name:
                return None
            if len(aliases) >= m.MAX_CHAIN or not scope.allows(target):
                return None
            aliases.append(target)
            owner = (0xC000 | rdata).to_bytes(2, "big")
        elif do and rtype == RRSIG:
            names = names or _names_of(reply)
            names.rdata(RRSIG, rdata, position)
        else:
            return None
        offsets.append(rdata - 6 - start)
        if ttl < lowest:  # noqa: PLR1730 - a third of the cost of min()
            lowest = ttl
        if ttl > highest:  # noqa: PLR1730
            highest = ttl
    if not final:
        return None
    body = Body(count, 0, 0, reply[start:position], tuple(offsets))
    if highest > limits.cap or lowest < limits.floor:
        body = map_ttls(body, lambda ttl: _bounded(ttl, limits))
        lowest = min(int.from_bytes(body.data[offset : offset + 4], "big") for offset in offsets)
    return Reading(_GOOD, NOERROR, body, lowest, bool(reply[3] & 0x20))


def _names_of(reply: bytes) -> Names:
    """Return the Names of a reply, after the name of its question is read."""
    names = Names(reply)
    names.read(HEADER_SIZE)
    return names


def _bounded(ttl: int, limits: TTLLimits) -> int:
    """Apply cap and floor; with the top bit set a TTL counts as 0 (RFC 2181 section 8)."""
    return max(limits.floor, 0 if ttl >= _TOP_BIT else min(ttl, limits.cap))


class _Selection:
    """Picks the records to keep one by one: for negative answers, and for replies with records to leave out."""

    def __init__(
        self, reply: bytes, name: bytes, type_: int, counts: tuple[int, int, int], *, do: bool, scope: Scope
    ) -> None:
        # The case that was asked is noise, and must not show in names that point to the question.
        self._reply = reply = reply[:HEADER_SIZE] + name + reply[HEADER_SIZE + len(name) :]
        self._name = name
        self._type = type_
        self._do = do
        self._scope = scope
        an, ns, ar = counts
        self._start = HEADER_SIZE + len(name) + 4
        names = _names_of(reply)
        self._records = list(read_records(reply, names, self._start, an + ns))
        self._answer = self._records[:an]
        self._authority = self._records[an:]
        after = self._records[-1].end if self._records else self._start
        # An extended RCODE, say BADVERS, hides behind NOERROR in the header (RFC 6891 section 6.1.3).
        self._extended = 0
        if not an and ar and ar <= MAX_RECORDS:
            for record in read_records(reply, names, after, ar):
                if record.type == m.OPT:
                    self._extended = record.ttl >> 24

    def reading(self, rcode: int, limits: TTLLimits) -> Reading:
        """Return what the selection amounts to."""
        if self._extended:
            return Reading(Verdict.FAILED, self._extended << 4 | rcode)
        picked = self._chain()
        if picked is None:
            return Reading(Verdict.CHAIN_TOO_LONG, rcode)
        chain, last, final, follow = picked
        ad = bool(self._reply[3] & 0x20)
        aliases = sum(record.type == CNAME for record in chain)
        if final or follow is not None:
            body, ttl = self._body(chain, self._proofs(chain, None), limits)
            return Reading(Verdict.GOOD, NOERROR, body, ttl, ad, follow, aliases=aliases)
        soas = (r for r in self._authority if r.type == m.SOA and r.cls == CLASS_IN and is_below(last, r.owner))
        soa = next(soas, None)
        if soa is None and rcode == NOERROR and not self._scope.is_home(last):
            body, ttl = self._body(chain, [], limits)  # trusted, but they know no more than that
            return Reading(Verdict.GOOD, NOERROR, body, ttl, ad, last, aliases=aliases)
        if soa is None:
            # Neither data nor proof of its absence: not to be kept (RFC 2308 section 5).
            referral = any(record.type == m.NS for record in self._authority) and not self._reply[3] & 0x80
            body, _ = self._body(chain, self._proofs(chain, None), limits)
            return Reading(Verdict.LAME if referral and rcode == NOERROR else Verdict.GOOD, rcode, body, 0, ad)
        kept = self._proofs(chain, soa)
        minimum = int.from_bytes(self._reply[soa.end - 4 : soa.end], "big")
        negative = min(_bounded(soa.ttl, limits), _bounded(minimum, limits), limits.negative_cap)
        negative = max(negative, limits.negative_floor)
        body, ttl = self._body(chain, kept, limits, {soa: negative})
        return Reading(Verdict.GOOD, rcode, body, min(ttl, negative), ad)

    def _chain(self) -> tuple[list[Record], bytes, bool, bytes | None] | None:
        """Return the records of the chain, its last name, whether that has the answer, and where the chain leaves."""
        by_owner: dict[bytes, list[Record]] = {}
        for record in self._answer:
            if record.cls == CLASS_IN:
                by_owner.setdefault(record.owner, []).append(record)
        dnames = {r.owner: r for r in self._answer if r.type == m.DNAME and r.cls == CLASS_IN}
        kept: list[Record] = []
        name = self._name
        seen = {name}
        while True:
            here = by_owner.get(name, ())
            wanted = [r for r in here if self._type in {r.type, m.ANY}]
            alias = next((record for record in here if record.type == CNAME), None)
            dname = next((dnames.pop(above) for above in ancestors(name) if above in dnames), None) if alias else None
            if dname is not None:  # it is signed, the alias that was made of it is not (RFC 6672 section 5.3.1)
                kept += [dname, *self._signatures(by_owner[dname.owner], m.DNAME)]
            if wanted:
                return kept + wanted + self._signatures(here, self._type), name, True, None
            if alias is None:
                return kept, name, False, None
            kept += [alias, *self._signatures(here, CNAME)]
            name = alias.uncompressed.lower()
            if name in seen or len(seen) > m.MAX_CHAIN:
                return None
            seen.add(name)
            if not self._scope.allows(name):
                return kept, name, False, name

    def _signatures(self, records: Sequence[Record], covered: int) -> list[Record]:
        """Return the RRSIGs over a type; for ANY and RRSIG, the answer itself has them."""
        if not self._do or self._type in {m.ANY, RRSIG}:
            return []
        code = covered.to_bytes(2, "big")
        return [r for r in records if r.type == RRSIG and self._reply[r.rdata : r.rdata + 2] == code]

    def _proofs(self, chain: Sequence[Record], soa: Record | None) -> list[Record]:
        """Return the kept records of the authority section, in order: the SOA, and with DO the proofs and signatures.

        Each name of a chain may need its own proof: for a wildcard on the way, or for the absence of the last name.
        """
        if not self._do:
            return [] if soa is None else [soa]
        names = {self._name, *(record.owner for record in chain)}
        above = {zone for name in names for zone in (name, *ancestors(name))}
        signatures = {r: _signer(r) for r in self._authority if r.type == RRSIG}
        zones = above.intersection(signatures.values())
        kept = {r for r in self._authority if r is soa or (r.type in _PROOFS and self._proves(r.owner, zones))}
        sets = {(r.owner, r.type.to_bytes(2, "big")) for r in kept}
        kept.update(r for r in signatures if (r.owner, self._reply[r.rdata : r.rdata + 2]) in sets)
        return [record for record in self._authority if record in kept and record.cls == CLASS_IN]

    def _proves(self, owner: bytes, zones: set[bytes]) -> bool:
        """Tell whether a proof with this owner is kept: neighbours of a name may be out of scope, but in its zone."""
        if self._scope.allows(owner):
            return True
        near = owner in zones or any(zone in zones for zone in ancestors(owner))
        return near and not self._scope.is_inside_denied(owner)

    def _body(
        self,
        answer: Sequence[Record],
        authority: Sequence[Record],
        limits: TTLLimits,
        fixed: dict[Record, int] | None = None,
    ) -> tuple[Body, int]:
        """Return the records as a Body, and their lowest TTL; `fixed` sets the TTL of some of them."""
        ttls = {record: _bounded(record.ttl, limits) for record in (*answer, *authority)}
        ttls.update(fixed or {})
        lowest = min(ttls.values(), default=0)
        picked = [*answer, *authority]
        if picked == self._records[: len(picked)]:
            # They are the first of the message, one after the other: no octet has to move.
            start = self._start
            data = bytearray(self._reply[start : picked[-1].end] if picked else b"")
            for record in picked:
                _TTL.pack_into(data, record.ttl_at - start, ttls[record])
            offsets = tuple(record.ttl_at - start for record in picked)
            return Body(len(answer), len(authority), 0, bytes(data), offsets), lowest
        body = whole_body(
            self._name,
            [self._rrset(record, ttls[record]) for record in answer],
            [self._rrset(record, ttls[record]) for record in authority],
        )
        return body, lowest

    def _rrset(self, record: Record, ttl: int) -> RRset:
        return RRset(record.owner, record.type, ttl, (record.uncompressed,))


def _signer(signature: Record) -> bytes:
    """Return the name of the zone whose key made an RRSIG (RFC 4034 section 3.1.7)."""
    return signature.uncompressed[_SIGNER : end_of_name(signature.uncompressed, _SIGNER)].lower()
