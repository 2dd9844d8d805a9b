"""Plugins without settings here: which are the default now, and what the loss of each other one means."""

DEFAULT = {
    "any": "ANY gets one HINFO record (RFC 8482), for names outside the cluster as well",
    "cancel": "a question has a deadline, forwarding.deadline",
    "debug": "an internal error costs one question and is logged; [log] level sets what is logged",
    "loop": "an upstream that forwards back to this server is detected at run time, and left out",
    "minimal": "replies have the records asked for, and only such extra records as save a client a question",
    "multisocket": "`workers` sets how many processes answer, each with its own sockets",
    "reload": "changes of the configuration are followed; a change with a mistake is refused as a whole and logged",
    "timeouts": "idle connections are closed after the times set in [tcp]",
}

_CLIENTS_BY = "clients that ask over {} are not answered: they have to use UDP or TCP on port 53"
_NO_RECORDS = "names that {} are not found here: run a server of their own for them, and write a [[forward]] to it"

LOST = {
    "auto": "the zone files of a folder are not read: name each file in `static`, with its zone as `$ORIGIN`",
    "azure": _NO_RECORDS.format("come from Azure DNS"),
    "chaos": "questions of class CH, such as version.bind, are refused: the metrics show the version",
    "clouddns": _NO_RECORDS.format("come from Google Cloud DNS"),
    "dns64": "no AAAA is made from A: pods that have only IPv6 reach no IPv4 host, unless the upstreams make AAAA",
    "dnssec": "answers are not signed: validators that have a key for these zones reject them as forged",
    "dnstap": "nothing is sent to a dnstap collector: it shows no queries of this server",
    "erratic": "nothing is delayed or dropped on purpose: tests that rely on it get good answers",
    "etcd": _NO_RECORDS.format("etcd holds (SkyDNS)"),
    "geoip": "clients are not distinguished by their location",
    "grpc": "upstreams are not asked over gRPC: the names of this block are not forwarded that way",
    "grpc_server": _CLIENTS_BY.format("gRPC"),
    "https": _CLIENTS_BY.format("HTTPS"),
    "https3": _CLIENTS_BY.format("HTTPS"),
    "k8s_external": "addresses of load balancers and externalIPs are not answered: clients outside the cluster get "
    "NXDOMAIN, or what the upstreams say for these names; use external-dns or a second server for them",
    "metadata": "there is no plugin that uses what it gathers",
    "nomad": _NO_RECORDS.format("Nomad knows"),
    "nsid": "a reply does not name the server that sent it: use the metrics of each pod",
    "on": "no command is run at start or stop: let whatever starts the process run it",
    "pprof": "there is no Go run time to profile",
    "proxyproto": "clients behind a proxy (PROXY protocol) have the proxy's address, also for rules on addresses",
    "quic": _CLIENTS_BY.format("QUIC"),
    "route53": _NO_RECORDS.format("come from Route 53"),
    "secondary": "zones are not transferred from a primary: write a [[forward]] to it",
    "shed": "instead, the limits in [clients] and [tcp] shed load",
    "sign": "zones are not signed: validators that have a key for them reject answers as forged",
    "tls": _CLIENTS_BY.format("TLS"),
    "trace": "no trace of a query is sent: the metrics show the time of each stage",
    "transfer": "zones cannot be transferred from here (AXFR is refused): secondaries keep their copy until it expires",
    "tsig": "TSIG signatures of questions are not checked: [clients] allow admits clients by their address",
    "whoami": "no name tells a client its own address",
    # Not of CoreDNS itself, but built in by people.
    "ads": "names are not blocked by lists: clients get their addresses; block single names with [[answer]]",
    "alternate": "no other upstream is asked because of an rcode: clients get the first answer",
    "fanout": "upstreams are not all asked at once: [[forward]] asks the fastest one first",
    "federation": "federated Services no longer exist in Kubernetes, and are not answered",
    "finalize": "CNAMEs are not flattened: clients get the chain as it is",
    "k8s_crd": _NO_RECORDS.format("custom resources hold"),
    "k8s_gateway": "names of Ingresses, Gateways and load balancers are not answered: use external-dns, or "
    "a [[forward]] to a server that has them",
    "kubernetai": "one server answers for one cluster: each of the others needs a server and a [[forward]] to it",
    "mdns": _NO_RECORDS.format("multicast DNS knows"),
    "proxy": "was removed in CoreDNS 1.5: write what it forwarded into upstreams and [[forward]]",
    "records": "records in the Corefile are not imported: write them as [[answer]] tables or a zone file",
    "redis": _NO_RECORDS.format("Redis holds"),
    "rrl": "replies are not rate-limited by their kind: [clients] rate limits the questions of one address",
    "unbound": "nothing is resolved from the root servers: the names of this block go to the upstreams",
    "wgsd": _NO_RECORDS.format("WireGuard peers have"),
}
