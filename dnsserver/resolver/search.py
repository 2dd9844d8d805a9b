"""Search-list completion: what a pod will ask next, read from what it has just asked.

With `ndots:5` and the search list `NS.svc.Z svc.Z Z`, a pod that looks up `www.example.com` first asks
`www.example.com.NS.svc.Z`. The name itself says what the pod is after and which names it will try in turn, so the
server can try them at once and spare the pod its next queries: one round trip instead of four, for each of A and AAAA.

The first candidate with an address of either family is what the name is an alias of, whatever type was asked: so all
that is said of it is said of one name.
"""

from collections.abc import Callable, Generator, Sequence

import msgspec

from dnsserver.forward.outcome import Outcome
from dnsserver.resolver.reply_cache import FOREVER
from dnsserver.wire import message as m
from dnsserver.wire import name as names
from dnsserver.wire.records import rrsets
from dnsserver.zone.record import Answer, Key, Reason

# A rest that ends so was meant for the cluster, or is a reverse name: no place outside knows it.
_CLUSTER_ENDS = {b"svc", b"pod", b"arpa"}
_MIN_LABELS = 2
_ADDRESSES = (m.A, m.AAAA)
_MAX_ASKED = 64  # questions to the outside in one walk: A and AAAA of the 32 domains that a pod's list may have
_MAX_TURNS = 16  # times the chain of one candidate may come back from the outside
_ABOUT_NAMES = frozenset((m.NOERROR, m.NXDOMAIN))
_TOO_LONG = Reason("search-too-long", m.EDE.OTHER, "the search list takes too many questions")


class Search:
    """The search list of the cluster's pods.

    `node_domains` are those that the nodes' own resolv.conf adds to it; `namespaces` those whose pods it is for, all of
    them if empty.
    """

    def __init__(self, domain: bytes, node_domains: Sequence[bytes] = (), namespaces: Sequence[bytes] = ()) -> None:
        """Set the cluster domain and what differs between clusters; all names are in lower case."""
        self._tail = b"\x03svc" + domain
        self._domain = domain
        self._domain_labels = names.labels(domain)
        self._node_domains = tuple(node_domains)
        self._namespaces = frozenset(namespaces)

    def candidates(self, name: bytes) -> tuple[bytes, ...]:
        """Return what comes after `name` in the search list, in its order; nothing if no outside name was expanded.

        `name` has the form REST.NS.svc.Z; its namespace is known to exist, and no service of it is called as the last
        label of REST.
        """
        end = len(name) - len(self._tail)
        second = name[0] + 1
        if second + name[second] + 1 >= end:  # what most missing names are: REST is one label, and no outside name
            return ()
        labels = names.labels(name[:end] + names.ROOT)
        rest_labels, namespace = labels[:-1], labels[-1]
        if len(rest_labels) < _MIN_LABELS or rest_labels[-1] in _CLUSTER_ENDS:
            return ()
        if self._namespaces and namespace not in self._namespaces:
            return ()
        for size in range(1, len(self._domain_labels) + 1):  # foo.svc.cluster, foo.svc.cluster.local
            if rest_labels[-size - 1 :] == (b"svc", *self._domain_labels[:size]):
                return ()
            if rest_labels[-size - 1 :] == (b"pod", *self._domain_labels[:size]):
                return ()
        rest = name[: -len(self._tail) - len(namespace) - 1]
        whole = rest + names.ROOT
        if names.is_below(whole, self._domain):
            return ()
        on_nodes = tuple(rest + domain for domain in self._node_domains if len(rest) + len(domain) <= 255)
        return (rest + self._tail, rest + self._domain, *on_nodes, whole)


class Step(msgspec.Struct, frozen=True, gc=False):
    """A question that the outside has to answer about a candidate; `depends` is what the walk so far hangs on."""

    candidate: bytes
    name: bytes
    type: int
    depends: tuple[Key, ...] | None


class SearchResult(msgspec.Struct, frozen=True, gc=False):
    """Where a walk ended: at the candidate `name`, at a `failure`, or, with neither, after the last candidate.

    That is so until `expires`, and as long as nothing changes that it `depends` on.
    """

    name: bytes | None = None
    failure: Reason | None = None
    depends: tuple[Key, ...] | None = ()
    expires: float = FOREVER


Walk = Generator[Step, Outcome, SearchResult]


def walk(answer: Callable[[bytes, int], Answer], candidates: Sequence[bytes]) -> Walk:
    """Look for the first candidate that has an A or an AAAA; send each Step's outcome in; it ends with a SearchResult.

    `answer` gives what is known here of a name. A candidate that does not exist, or has neither, is passed over as
    glibc, Go and Java do. A failure ends the walk: what comes after it may be another host.
    """
    keys: dict[Key, None] | None = {}
    expires = FOREVER
    asked = 0
    for candidate in candidates:
        for qtype in _ADDRESSES:
            name = candidate
            for _ in range(_MAX_TURNS):
                here = answer(name, qtype)
                keys = None if keys is None or here.depends is None else keys | dict.fromkeys(here.depends)
                depends = None if keys is None else tuple(keys)
                rcode, reason = here.rcode, here.reason
                has_address = any(rrset.type == qtype for rrset in here.answer)
                if here.follow is None:
                    break
                asked += 1
                if asked > _MAX_ASKED:
                    return SearchResult(failure=_TOO_LONG, depends=None)
                outcome = yield Step(candidate, here.follow, qtype, depends)
                expires = min(expires, outcome.expires)
                rcode, reason = outcome.rcode, outcome.reason
                has_address = any(rrset.type == qtype for rrset in rrsets(outcome.body, here.follow)[0])
                if outcome.follow is None:
                    break
                name = outcome.follow
            else:
                return SearchResult(failure=_TOO_LONG, depends=None)
            if rcode not in _ABOUT_NAMES:
                return SearchResult(failure=reason, depends=depends, expires=expires)
            if has_address:
                return SearchResult(candidate, None, depends, expires)
            if rcode == m.NXDOMAIN:  # of no type, then (RFC 8020)
                break
    return SearchResult(depends=None if keys is None else tuple(keys), expires=expires)
