"""What each reason means, and what to do about it: for `explain`, the page, and the documentation.

The key is the code of a `dnsserver.zone.record.Reason`. A reason without advice needs none: its answer is not a
failure, or says all that there is to say.
"""

import re
from typing import NamedTuple


class _Row(NamedTuple):
    """What an answer of this reason says, as the end of "the answer says"; and what to do, in whole sentences."""

    meaning: str
    advice: str = ""


# What may be pasted into a shell, in the place of NAMESPACE and SERVICE in a command.
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

_UPSTREAM = "Ask that upstream with dig from where the server runs. "
_ALIASES = (
    "Follow the aliases with dig, one after the other, and correct the one that leads back, or shorten the chain."
)
_LIMITS = (
    "Find out with `dnsserver top` who asks so many questions. If that is right, raise the limit under `[clients]` in"
    " the configuration."
)

_ROWS = {
    # what was hoped for
    "found": _Row("records of the cluster, a zone file, or the server's own names"),
    "forwarded": _Row(
        'what an upstream said: records or "does not exist"',
        "If the name should exist, check its spelling, and whether that upstream is the right one for its domain.",
    ),
    "forwarded-no-data": _Row("what an upstream said: the name exists, but has no records of this type"),
    "search-completed": _Row("an alias to the first name of the search list that has an address"),
    "hosts": _Row("addresses from a `[[hosts]]` table"),
    "rule-records": _Row("records of an `[[answer]]`"),
    "any-outside": _Row("a question for ANY: the reply is minimal (RFC 8482)"),
    # the name exists
    "no-data": _Row("the name exists, but has no records of this type"),
    "no-address-of-family": _Row("the Service exists, but has no address of this family"),
    "above-ports": _Row("the name only leads to names of ports (`_tcp.SERVICE…`): it exists, but has no records"),
    "no-ports": _Row(
        "the Service has no port, so there is no SRV record",
        "Give the Service or its EndpointSlices ports, or ask for A and AAAA instead of SRV.",
    ),
    "hosts-no-data": _Row("a `[[hosts]]` table has the name, but no records of this type"),
    "rule-no-data": _Row("an `[[answer]]` applies to the name, but has no records of this type"),
    "ipv6-off": _Row(
        '`ipv6 = "off"` hides the AAAA record',
        'Do nothing if no pod can reach IPv6; otherwise set `ipv6 = "on"` in the configuration.',
    ),
    # the cluster
    "namespace-missing": _Row(
        "there is no such namespace",
        "Compare the name with `kubectl get namespaces`: the namespace is the second label of the name. Pods of other"
        " namespaces have to write it.",
    ),
    "service-missing": _Row(
        "there is no such Service in that namespace",
        "Compare the name with `kubectl get services -n NAMESPACE`: it may be in another namespace, or not exist yet.",
    ),
    "no-ready-endpoints": _Row(
        "the headless Service exists, but has no ready endpoint",
        "Find out why its pods are not ready: look at `kubectl get endpointslices,pods -n NAMESPACE`, the Service's"
        " selector, and the readiness probes. `publishNotReadyAddresses` on the Service shows the pods anyway.",
    ),
    "port-unknown": _Row(
        "the Service has no port of that name and protocol",
        "Use the name of a port of the Service, with the same protocol: `kubectl describe service SERVICE -n"
        " NAMESPACE`.",
    ),
    "endpoint-missing": _Row(
        "the headless Service has no ready endpoint of that hostname or address",
        "See which endpoints are ready: `kubectl get endpointslices -n NAMESPACE -o yaml`. A pod of a StatefulSet has"
        " its name only if `serviceName` of the StatefulSet is this Service.",
    ),
    "below-external-name": _Row(
        "nothing is below a Service of type ExternalName",
        "Ask for the Service itself, without a label in front.",
    ),
    "external-name-is-address": _Row(
        "`externalName` is an address, and DNS needs a name",
        "Make it a headless Service with an EndpointSlice for the address.",
    ),
    "external-name-invalid": _Row(
        "`externalName` is not a name",
        "Correct `externalName` of the Service: it takes a domain name, without scheme and port.",
    ),
    "too-many-labels": _Row(
        "the name has more labels than any cluster name",
        "Remove labels: names are SERVICE.NAMESPACE.svc.DOMAIN, with one label for an endpoint or two for a port in"
        " front. If a search list made this name, end the name with a dot, or set `ndots` to 1.",
    ),
    "not-a-cluster-name": _Row(
        "the name is below the cluster's domain, but does not have the form of a cluster name",
        "Names of Services end with `svc.DOMAIN`, names of pods with `pod.DOMAIN`. If a search list made this"
        " name, this answer does no harm, and the next name of the list is asked.",
    ),
    "name-too-long": _Row(
        "the name of the endpoint would have more than 255 octets",
        "Shorten the hostname of the pod, or the names of the Service and its namespace.",
    ),
    "pods-disabled": _Row(
        'names of pods are off (`pods = "disabled"`)',
        "Ask for a Service, or set `pods` in the configuration.",
    ),
    "pod-missing": _Row(
        'no running pod of that namespace has the address (`pods = "verified"`)',
        "Compare with `kubectl get pods -n NAMESPACE -o wide`: the pod may have ended, or be in another namespace.",
    ),
    "not-an-address": _Row(
        "the first label of the pod's name is not an address",
        "Write the address with dashes: 10-1-2-3.NAMESPACE.pod.DOMAIN, and fd00--1 for fd00::1.",
    ),
    "address-unknown": _Row(
        "no Service or endpoint has the address of this reverse name in `reverse_zones`",
        "Do nothing if no Service or ready endpoint should have the address; otherwise look at its EndpointSlices.",
    ),
    "not-ready": _Row(
        "the cluster has not been read yet",
        "Look at `/readyz` of the server: it says what is missing, the last error, and the RBAC rule to add.",
    ),
    "stale": _Row(
        "data that is older than it should be",
        "For a cluster name, `/readyz` says why nothing comes from the API server. For an outside name, find out why"
        " no upstream answers.",
    ),
    # rules, hosts, zone files
    "name-missing": _Row("the zone file does not have the name", "Add it to the zone file under `static`."),
    "hosts-name-missing": _Row(
        "a `[[hosts]]` table is the authority for the name's domain, but does not have the name",
        "Add the name to the hosts table, or remove its domain from `authoritative_below`.",
    ),
    "rule-nodata": _Row("the `rcode` of an `[[answer]]`: no such record", "Look at `[[answer]]` in the configuration."),
    "rule-nxdomain": _Row("the `rcode` of an `[[answer]]`: no such name", "Look at `[[answer]]` in the configuration."),
    "rule-refused": _Row("the `rcode` of an `[[answer]]`: refused", "Look at `[[answer]]` in the configuration."),
    "rule-dropped": _Row(
        "the `rcode` of an `[[answer]]` is `DROP`: there is no reply", "Look at `[[answer]]` in the configuration."
    ),
    "rule-record-invalid": _Row(
        "the record that an `[[answer]]` makes from the name is not valid: 999 in an address, say",
        "Correct the text of the `[[answer]]`, or let it apply to fewer names.",
    ),
    "rewrite-not-a-name": _Row(
        "the name that a `[[rewrite]]` makes is not valid, or is too long",
        "Correct `to` of the `[[rewrite]]`, or let it apply to fewer names.",
    ),
    "special-use-name": _Row(
        "the name is never forwarded: it is for special use, like localhost (RFC 6761)",
        "Use another domain: `invalid`, `onion` and `alt` are kept out of DNS everywhere.",
    ),
    "local-domain": _Row(
        "`[local]` keeps the name's domain from the upstreams",
        "Remove the domain from `[local]` in the configuration if an upstream should have it.",
    ),
    # chains
    "cname-loop": _Row("aliases lead to each other", _ALIASES),
    "cname-chain-too-long": _Row("aliases lead through too many names, of the cluster or from zone to zone", _ALIASES),
    "chain-too-long": _Row("outside names: aliases lead to each other or through too many names", _ALIASES),
    "search-too-long": _Row(
        "the search list took too many questions", "Shorten `[search]` or the search list of the nodes."
    ),
    # the outside
    "no-upstreams": _Row(
        "there are no upstreams",
        "Add some under `upstreams` in the configuration, or write a `[[forward]]` for the domain.",
    ),
    "upstreams-unknown": _Row(
        "the file or hostname that gives the upstreams cannot be read",
        "Correct `upstreams` in the configuration, or the file that it names: the text says what is wrong.",
    ),
    "upstream-timeout": _Row(
        "no upstream answered in time",
        _UPSTREAM + "A firewall or NetworkPolicy may be between them, over UDP or TCP, or it is overloaded.",
    ),
    "upstream-unreachable": _Row(
        "no upstream can be reached",
        _UPSTREAM + "It may be down, listen on another port, or have no route from here.",
    ),
    "upstream-closed": _Row(
        "an upstream closes TCP connections without an answer",
        _UPSTREAM + "`dig +tcp` shows whether it accepts connections from here.",
    ),
    "upstream-servfail": _Row(
        "the upstreams replied SERVFAIL",
        _UPSTREAM + "The fault is further on: at the name's own servers, or in DNSSEC if `dig +cd` works.",
    ),
    "upstream-refused": _Row(
        "the upstreams refused to answer",
        _UPSTREAM + "Its access list has to allow this server's address, and recursion.",
    ),
    "upstream-lame": _Row(
        "the upstreams replied with a referral",
        "It does not resolve names for others: set a resolver in `upstreams`, or write a `[[forward]]` for the domains"
        " that it has.",
    ),
    "upstream-format": _Row(
        "the upstreams sent replies that cannot be read",
        _UPSTREAM + "Something on the way may change packets, or it is not a DNS server.",
    ),
    "answer-too-large": _Row(
        "the answer has too many records", "Ask for another type, or ask the owner of the name to shorten it."
    ),
    "failure-cached": _Row(
        "it failed a short time ago",
        "The text has the reason of that failure: correct it. The name is asked again after `cache.failure_ttl`, or at"
        " once after `POST /cache/flush?name=NAME`.",
    ),
    "forward-overload": _Row(
        "more questions wait than `forwarding.in_flight` allows",
        "The upstreams are too slow for so many questions: see their times in `dnsserver_upstream_rtt_seconds`.",
    ),
    "forward-domain-share": _Row(
        "too many questions below one domain wait",
        "Its servers do not answer, or somebody asks for random names below it: see `dnsserver top`.",
    ),
    "forward-client-share": _Row("too many questions of one client wait", _LIMITS),
    "loop": _Row(
        "the question came back from an upstream: it forwards to this server",
        "Use other upstreams. With `dnsPolicy: ClusterFirst` the resolv.conf of the pod names this server: use"
        " `Default`, or the file of the node.",
    ),
    # clients and their packets
    "client-not-allowed": _Row(
        "`[clients]` does not let this client ask", "Add its network to `clients.allow` in the configuration."
    ),
    "client-rate": _Row("the client asks more than `clients.rate` allows", _LIMITS),
    "client-in-flight": _Row("more questions of the client wait than `clients.in_flight` allows", _LIMITS),
    "given-up": _Row(
        "no reply: more questions came than could be answered",
        "Find out with `dnsserver top` who asks so many questions; otherwise run more replicas, or more `workers`.",
    ),
    "format-error": _Row(
        "the packet is not a query", "Look at what sends it: the query log has its address, tcpdump the packet."
    ),
    "opcode-not-implemented": _Row(
        "the packet is a NOTIFY, an UPDATE or the like", "Send it to the server that has the zone: this one has none."
    ),
    "edns-version": _Row(
        "the query is of a later version of EDNS", "Do nothing: the client asks again with version 0."
    ),
    "class-refused": _Row("the class is not IN", "Ask in class IN; there is no `version.bind` here."),
    "transfer-refused": _Row("it is a zone transfer", "`dnsserver dump` prints the zone. It is not sent over DNS."),
    "internal-error": _Row("a bug", "Report it, with the traceback that is in the server's log."),
    "forward-internal-error": _Row("a bug", "Report it, with the traceback that is in the server's log."),
}

CODES = frozenset(_ROWS)


def meaning(code: str) -> str:
    """Return what an answer of this reason says, as part of a sentence; empty for a code that is not known."""
    return _ROWS.get(code, _Row("")).meaning


def advice(code: str, namespace: str = "", service: str = "") -> str:
    """Return what to do about an answer of this reason, in whole sentences; empty where there is nothing to do.

    `namespace` and `service` are those that the answer is about, where they are known: they go into the commands.
    """
    said = _ROWS.get(code, _Row("")).advice
    if _LABEL.fullmatch(namespace):
        said = said.replace("-n NAMESPACE", f"-n {namespace}").replace(".NAMESPACE.pod.", f".{namespace}.pod.")
    return said.replace("service SERVICE", f"service {service}") if _LABEL.fullmatch(service) else said
