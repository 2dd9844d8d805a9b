"""What an explanation says of `[clients]`, for a client of which the address is known or not."""

import pytest

from dnsserver.app.admission import notes
from dnsserver.config.model import Clients
from dnsserver.config.values import Network

TEN = (Network("10.0.0.0/8"), Network("fd00::/8"))
OUT = "192.0.2.1 gets {} to every question: clients.allow has no network with it"
SOME = "[clients] lets only some networks ask: for a pod (--pod) it is said whether it is in one of them"
LIMITED = "[clients] allows each client {}: above that it gets other replies, or none"


@pytest.mark.parametrize(
    ("clients", "address", "said"),
    [
        (Clients(), "192.0.2.1", []),
        (Clients(), "", []),
        (Clients(allow=TEN), "10.1.2.3", []),
        (Clients(allow=TEN), "fd00::1", []),
        (Clients(allow=TEN), "192.0.2.1", [OUT.format("no reply")]),
        (Clients(allow=TEN, excess="refuse"), "192.0.2.1", [OUT.format("REFUSED")]),
        (Clients(allow=TEN), "", [SOME]),
        (Clients(rate=50), "10.1.2.3", [LIMITED.format("50 questions a second")]),
        (Clients(rate=50, over="log"), "10.1.2.3", []),
        (
            Clients(rate=50, in_flight=9),
            "",
            [LIMITED.format("50 questions a second and 9 questions that wait for upstreams")],
        ),
    ],
)
def test_what_is_said_of_a_client(clients: Clients, address: str, said: list[str]) -> None:
    assert list(notes(clients, address)) == said
