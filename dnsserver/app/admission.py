"""What `[clients]` does to a client whose questions are explained: explanations themselves are never turned away."""

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from dnsserver.config.model import Clients

_EVERYBODY = Clients().allow


def notes(clients: Clients, address: str) -> Iterator[str]:
    """Yield what there is to say of a client, by its address, "" if that is not known."""
    if clients.allow != _EVERYBODY:
        if not address:
            yield "[clients] lets only some networks ask: for a pod (--pod) it is said whether it is in one of them"
        elif not any(ip_address(address) in ip_network(network.text) for network in clients.allow):
            gets = "REFUSED" if clients.excess == "refuse" else "no reply"
            yield f"{address} gets {gets} to every question: clients.allow has no network with it"
    limits = [
        f"{number} {what}"
        for number, what in (
            (clients.rate, "questions a second"), (clients.in_flight, "questions that wait for upstreams")
        )
        if number
    ]  # fmt: skip
    if limits and clients.over != "log":
        yield f"[clients] allows each client {' and '.join(limits)}: above that it gets other replies, or none"
