"""Replies of an upstream about www.example.com."""

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from hypothesis import strategies as st

A = 1
SOA_TEXT = "example.com. 900 IN SOA ns.example.com. hostmaster.example.com. 1 7200 1800 86400 60"
RECORDS = st.lists(
    st.sampled_from(
        [
            "www.example.com. 300 IN A 192.0.2.1",
            "www.example.com. 0 IN CNAME web.example.com.",
            "web.example.com. 4294967295 IN A 192.0.2.2",
            "web.example.com. 60 IN CNAME www.example.com.",
            "www.example.com. 300 IN MX 10 mail.example.com.",
            "evil.example. 300 IN A 192.0.2.3",
            "example.com. 300 IN NS ns.example.com.",
            "example.com. 300 IN DNAME example.net.",
            SOA_TEXT,
            "example.com. 300 IN NSEC zzz.example.com. A NS",
            "www.example.com. 300 IN RRSIG A 8 3 300 20300101000000 20200101000000 1 example.com. AAAA",
        ]
    ),
    max_size=5,
)


def message(
    *answer: str, authority: tuple[str, ...] = (), rcode: int = 0, type_: int = A, additional: tuple[str, ...] = ()
) -> bytes:
    """Return a reply as dnspython writes it."""
    query = dns.message.make_query("www.example.com", dns.rdatatype.RdataType(type_), use_edns=0, payload=1232, id=1)
    reply = dns.message.make_response(query, recursion_available=True)
    reply.set_rcode(dns.rcode.Rcode(rcode))
    for section, lines in ((reply.answer, answer), (reply.authority, authority), (reply.additional, additional)):
        for line in lines:
            name, ttl, klass, kind, rdata = line.split(maxsplit=4)
            section.append(dns.rrset.from_text(name, int(ttl), klass, kind, rdata))
    return reply.to_wire(max_size=65535)
