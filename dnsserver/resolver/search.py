"""Search-list completion: what a pod will ask next, read from what it has just asked.

With `ndots:5` and the search list `NS.svc.Z svc.Z Z`, a pod that looks up `www.example.com` first asks
`www.example.com.NS.svc.Z`. The name itself says what the pod is after and which names it will try in turn, so the
server can try them at once and spare the pod its next queries: one round trip instead of four, for each of A and AAAA.
"""

from collections.abc import Sequence

from dnsserver.wire import message as m
from dnsserver.wire import name as names

# A rest that ends so was meant for the cluster, or is a reverse name: no place outside knows it.
_CLUSTER_ENDS = {b"svc", b"pod", b"arpa"}
_MIN_LABELS = 2
TYPES = frozenset((m.A, m.AAAA))


class Search:
    """The search list of the cluster's pods.

    `node_domains` are those that the nodes' own resolv.conf adds to it; pods of the namespaces in `off` are left alone.
    """

    def __init__(self, domain: bytes, node_domains: Sequence[bytes] = (), off: Sequence[bytes] = ()) -> None:
        """Take the cluster domain and what differs from one cluster to the next; all names in lower case."""
        self._tail = b"\x03svc" + domain
        self._domain = domain
        self._domain_labels = names.labels(domain)
        self._node_domains = tuple(node_domains)
        self._off = frozenset(off)

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
        if len(rest_labels) < _MIN_LABELS or namespace in self._off or rest_labels[-1] in _CLUSTER_ENDS:
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
