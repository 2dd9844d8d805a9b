"""What rules cost: `python -m tests.bench.rules`, 10 s. Microseconds of the least of several runs, in this process."""

import time
import timeit
from collections.abc import Callable

from dnsserver.resolver.answers import FixedAnswer
from dnsserver.resolver.hosts import Hosts
from dnsserver.resolver.matching import Condition, read_prefix
from dnsserver.resolver.rewrites import Rewrite
from dnsserver.resolver.rules import Rules, RuleSet
from dnsserver.wire.name import from_text

_DOMAIN = from_text("cluster.local")
_ROUNDS = 100_000


def rules(count: int) -> RuleSet:
    """Return so many rules, of every kind that is looked up, about names near those that are asked."""
    part = count // 4
    names = (from_text(f"db{number}.ns{number % 20}.svc.cluster.local") for number in range(part))
    ends = (from_text(f"s{number}.example.com") for number in range(part))
    beginnings = (read_prefix(f"stage{number}-") for number in range(part))
    domains = (from_text(f"ads{number}.example.com") for number in range(part))
    return RuleSet(
        (
            *(Rewrite(Condition(name=name), _DOMAIN) for name in names),
            *(Rewrite(Condition(suffix=end), _DOMAIN) for end in ends),
            *(Rewrite(Condition(prefix=head), head) for head in beginnings),
        ),
        tuple(FixedAnswer(Condition(below=(domain,)), rcode="NXDOMAIN") for domain in domains),
    )


def _least(call: Callable[[], object]) -> float:
    return min(timeit.repeat(call, number=_ROUNDS, repeat=7)) / _ROUNDS * 1e6


def main() -> None:
    packet = from_text("web.shop.svc.cluster.local")
    outside = from_text("www.example.com")
    print(f"{'rules':>8}{'a service':>12}{'an outside name':>18}{'one that has a rule':>22}")
    for count in (8, 1000, 10_000):
        made = Rules(rules(count), [Hosts()], _DOMAIN)
        services = made.services
        assert services is not None
        columns = (
            _least(lambda: services.concerns(packet[5:9], packet[1:4])),  # noqa: B023 - called before the next round
            _least(lambda: made.concerns(bytes(outside[:16]) + b"\0")),  # noqa: B023 - of no name seen before
            _least(lambda: made.rewritten(from_text("a.s1.example.com"))),  # noqa: B023
        )
        print(f"{count:>8}{columns[0]:>10.2f}us{columns[1]:>16.2f}us{columns[2]:>20.2f}us")
    text = "".join(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255} host{n}.lab.example\n" for n in range(100_000))
    hosts = Hosts()
    for what, call in (
        ("100,000 lines of hosts read", lambda: hosts.load(text)),
        ("one of them changed", lambda: hosts.replace(text.replace("10.0.99.1 ", "10.0.99.2 ", 1))),
    ):
        begun = time.process_time()
        call()
        print(f"{what}: {(time.process_time() - begun) * 1000:.1f} ms")


if __name__ == "__main__":
    main()
