"""Plugins that have no settings here: what each one's loss means, and which of them are a default now."""

DEFAULT = {
    "any": "ANY gets one HINFO record (RFC 8482), for names outside the cluster as well",
    "cancel": "a question has a deadline, forwarding.deadline",
    "debug": "a fault of the program costs one question and is logged; [log] level sets what is told",
    "loop": "an upstream that forwards back to this server is found while it runs, and left out",
    "minimal": "replies have the records asked for, and only those besides that spare a client a question",
    "multisocket": "`workers` sets how many processes answer, each with sockets of its own",
    "reload": "the configuration is followed; a bad change is refused whole and told in the log",
    "timeouts": "idle connections are closed, [tcp] says when",
}

_CLIENTS_BY = "clients that ask over {} are not answered: they have to use UDP or TCP at port 53"
_NO_RECORDS = "names that {} are not found here: give them to a server of their own, and write a [[forward]] to it"

LOST = {
    "auto": "zone files that appear in a folder are not found by themselves: name each file in `static`",
    "azure": _NO_RECORDS.format("come from Azure DNS"),
    "chaos": "questions of class CH, as for version.bind, are refused: the metrics have the version",
    "clouddns": _NO_RECORDS.format("come from Google Cloud DNS"),
    "dns64": "AAAA is not made from A: pods with IPv6 only reach no IPv4 host, unless the upstreams make it for them",
    "dnssec": "answers are not signed: validators that know a key for these zones take them for forged",
    "dnstap": "nothing is sent to a dnstap collector: who watches queries there sees none",
    "erratic": "nothing is delayed or dropped on purpose: tests that rely on it see good answers",
    "etcd": _NO_RECORDS.format("etcd holds (SkyDNS)"),
    "geoip": "clients are not told apart by where they are",
    "grpc": "upstreams are not asked over gRPC: names of this block are not forwarded by it",
    "grpc_server": _CLIENTS_BY.format("gRPC"),
    "https": _CLIENTS_BY.format("HTTPS"),
    "https3": _CLIENTS_BY.format("HTTPS"),
    "k8s_external": "addresses of load balancers and externalIPs are not shown: clients outside the cluster get "
    "NXDOMAIN, or what the upstreams say for these names; external-dns or a second server has to give them",
    "metadata": "no other plugin is there to use what it gathers",
    "nomad": _NO_RECORDS.format("Nomad knows"),
    "nsid": "a reply does not say which server gave it: use the metrics of each pod",
    "on": "no command is run at start or stop: use what starts the process for it",
    "pprof": "there is no profile of the Go run time",
    "proxyproto": "clients behind a PROXY protocol have the proxy's address, also to rules on addresses",
    "quic": _CLIENTS_BY.format("QUIC"),
    "route53": _NO_RECORDS.format("come from Route 53"),
    "secondary": "zones are not transferred from a primary: write a [[forward]] to it",
    "shed": "load is shed by limits instead, [clients] and [tcp]",
    "sign": "zones are not signed: validators that know a key for them take answers for forged",
    "tls": _CLIENTS_BY.format("TLS"),
    "trace": "no trace of a query is sent: the metrics have the time of each stage",
    "transfer": "zones are not handed out (AXFR is refused): secondaries keep what they have until it expires",
    "tsig": "questions are not checked for TSIG signatures: [clients] allow lets clients in, by their address",
    "whoami": "no name tells a client its own address",
    # Not of CoreDNS itself, but built in by people.
    "ads": "names are not blocked by lists: clients get their addresses; [[answer]] blocks those you write down",
    "alternate": "no other upstream is asked for an rcode: clients keep the first answer",
    "fanout": "upstreams are not asked all at once: [[forward]] asks the fastest one first",
    "federation": "federated Services are gone from Kubernetes, and not answered",
    "finalize": "CNAMEs are not flattened: clients get the chain as it is",
    "k8s_crd": _NO_RECORDS.format("custom resources hold"),
    "k8s_gateway": "names of Ingresses, Gateways and load balancers are not answered: external-dns is needed, or "
    "a [[forward]] to a server that has them",
    "kubernetai": "one server answers for one cluster: the others need a server each, and a [[forward]] to it",
    "mdns": _NO_RECORDS.format("multicast DNS knows"),
    "proxy": "is gone from CoreDNS since 1.5: write what it forwarded into upstreams and [[forward]]",
    "records": "records in the Corefile are not read: write them as [[answer]] tables or a zone file",
    "redis": _NO_RECORDS.format("Redis holds"),
    "rrl": "replies are not limited by their kind: [clients] rate limits questions of one address",
    "unbound": "nothing is resolved from the root servers: names of this block are asked of upstreams",
    "wgsd": _NO_RECORDS.format("WireGuard peers have"),
}
