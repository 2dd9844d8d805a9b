"""What rules cost: `python -m tests.bench.rules`, a minute. Processor time in this process, the least of many rounds.

Questions of four kinds that no rule is for, without rules and with 1,000 of them about names near by, in turns.
"""

import time
from collections.abc import Callable

import dns.message

from dnsserver.forward.outcome import FORWARDED, Outcome
from dnsserver.resolver.hosts import Hosts
from dnsserver.wire import message as m
from dnsserver.wire.message import Body
from tests.cluster import service
from tests.outside import Outside
from tests.ruled import Ruled

_SERVICES = 1000
_ROUNDS = 30


def rules(count: int) -> str:
    """Return `count` rules as TOML, of every kind that a look-up finds."""
    part = count // 5
    found = [f"[[rewrite]]\nname = 'db{n}.shop.svc.cluster.local'\nto = 'x.test'" for n in range(part)]
    found += [f"[[rewrite]]\nsuffix = '.s{n}.example.com'\nto = 'x.test'" for n in range(part)]
    found += [f"[[rewrite]]\nprefix = 'stage{n}-'\nto = ''" for n in range(part)]
    found += [f"[[answer]]\nbelow = ['ads{n}.example.com']\nrcode = 'NXDOMAIN'" for n in range(part)]
    found += [f"[[answer]]\nname = 'fix{n}.test'\nrecords = ['@ A 192.0.2.1']" for n in range(part - 1)]
    return "\n".join([*found, "[[hosts]]\nentries = ['192.0.2.9 nas.test']"])


def packets(name: str, rtype: str) -> list[bytes]:
    """Return a question for each service, with its number in place of `{}` in the name."""
    made = (dns.message.make_query(name.format(n), rtype, use_edns=0) for n in range(_SERVICES))
    return [message.to_wire() for message in made]


WAYS = {
    "a service's address": packets("svc{}.shop.svc.cluster.local", "A"),
    "a service's ports": packets("svc{}.shop.svc.cluster.local", "SRV"),
    "a missing service": packets("none{}.shop.svc.cluster.local", "A"),
    "an outside name": packets("www{}.example.com", "A"),
}


_BODY = Body(1, 0, 0, b"\xc0\x0c\0\1\0\1\0\0\1\0\0\4\xc0\0\2\1", (6,))
_ONE_ADDRESS = Outcome(m.NOERROR, _BODY, False, FORWARDED, 0.0, 300.0)  # every outside name has it, at once


def _microseconds(server: Ruled, questions: list[bytes]) -> float:
    server.replies.clear()
    respond = server.responder.respond
    begun = time.process_time()
    for packet in questions:
        respond(packet, server.port, 0)
    return (time.process_time() - begun) / len(questions) * 1e6


def main() -> None:
    things = [service(f"svc{n}", f"10.9.{n >> 8}.{n & 255}", ports=(("http", "TCP", 80),)) for n in range(_SERVICES)]
    outside = Outside(lambda *_: _ONE_ADDRESS)
    servers = [Ruled(text, *things, outside=outside) for text in ("", rules(1000))]
    print(f"{'':<24}{'no rules':>12}{'1,000 rules':>14}{'ratio':>9}")
    for way, questions in WAYS.items():
        rounds = [[_microseconds(server, questions) for server in servers] for _ in range(_ROUNDS)]
        without, with_rules = (min(column) for column in zip(*rounds, strict=True))
        print(f"{way:<24}{without:>10.2f}us{with_rules:>12.2f}us{with_rules / without:>9.3f}")
    text = "".join(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255} host{n}.lab.example\n" for n in range(100_000))
    changed = text.replace("10.0.99.1 ", "10.0.99.2 ", 1)
    hosts = Hosts()
    calls: dict[str, Callable[[], object]] = {
        "100,000 lines of hosts": lambda: hosts.load(text),
        "one of them changed": lambda: hosts.replace(changed),
    }
    for what, call in calls.items():
        begun = time.process_time()
        call()
        print(f"{what:<24}{(time.process_time() - begun) * 1000:>10.1f}ms")


if __name__ == "__main__":
    main()
