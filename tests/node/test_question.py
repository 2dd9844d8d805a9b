"""The guardian's question, against the oracle's reading of it, and what counts as its answer."""

import dns.message
import dns.name
import dns.rrset
import pytest

from dnsserver.node.question import is_answer, question

NAME = "kubernetes.default.svc.cluster.local"


@pytest.mark.parametrize("name", [NAME, NAME + ".", "localhost", ".", "a" * 63 + ".example"])
def test_it_asks_for_the_addresses_of_a_name(name: str) -> None:
    read = dns.message.from_wire(question(4660, name))
    assert (read.id, read.flags) == (4660, dns.flags.RD)
    assert read.question == [dns.rrset.RRset(dns.name.from_text(name), dns.rdataclass.IN, dns.rdatatype.A)]


@pytest.mark.parametrize("name", ["a..b", "a" * 64, ".".join(["abcdefg"] * 40), "bücher.example"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"name|codec"):
        question(1, name)


def reply(asked: bytes, rcode: dns.rcode.Rcode = dns.rcode.NOERROR) -> bytes:
    made = dns.message.make_response(dns.message.from_wire(asked))
    made.set_rcode(rcode)
    return made.to_wire()


def test_only_a_reply_to_it_without_an_error_is_an_answer() -> None:
    asked = question(7, NAME)
    assert is_answer(reply(asked), asked)
    assert is_answer(reply(asked).replace(b"kubernetes", b"KUBERNETES"), asked)
    for rcode in (dns.rcode.SERVFAIL, dns.rcode.NXDOMAIN, dns.rcode.REFUSED):
        assert not is_answer(reply(asked, rcode), asked)
    for other in (reply(question(8, NAME)), reply(question(7, "localhost")), asked, b"", reply(asked)[:20]):
        assert not is_answer(other, asked)
