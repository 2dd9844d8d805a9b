"""Every plugin of a standard build of CoreDNS 1.14, with the words that it takes: as data.

Words are given as kinds, one after the other: `duration word?` is a duration and perhaps one more word. `?` says that
it may be missing, `*` that there may be any number of it, `+` that there is at least one. A kind with `|` in it is one
of these words. What each kind is stands in `kinds`; what no kind can say is in `refusals`.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Plugin(NamedTuple):
    """The words after its name, and the lines of its block: the first word of each, and the words after it.

    `options` is None if it takes no block. `once` says that it may stand in a server block only once. `former` are
    lines that versions before 1.14 took: they are no mistake of who runs such a version.
    """

    words: str = ""
    options: Mapping[str, str] | None = None
    once: bool = False
    former: tuple[str, ...] = ()


_RATE = {"max_connections": "0.."}
_STREAMS = {"max_streams": "0..", **_RATE}
_POLICY = "random|round_robin|sequential"
_FLAGS = "set|clear aa|ra|rd+"
_RULE = "word*"

PLUGINS: dict[str, Plugin] = {
    "root": Plugin("word"),
    "metadata": Plugin("word*", once=True),
    "geoip": Plugin("word", {"edns-subnet": ""}),
    "cancel": Plugin("positive?", {}),
    "proxyproto": Plugin(
        "",
        {
            "allow": "word*",
            "default": "use|ignore|reject|skip",
            "udp_session_tracking": "duration 1..?",
        },
    ),
    "quic": Plugin("", {"max_streams": "1..", "worker_pool_size": "1.."}),
    "grpc_server": Plugin("", _STREAMS),
    "https": Plugin("", _RATE),
    "https3": Plugin("", _STREAMS),
    "timeouts": Plugin("", {"read": "timeout", "write": "timeout", "idle": "timeout", "maxtcpqueries": "queries"}),
    "multisocket": Plugin("1..1024?", once=True),
    "reload": Plugin("interval? jitter?", {}),
    "nsid": Plugin("word*", once=True),
    "bufsize": Plugin("512..4096?"),
    "bind": Plugin("word+", {"except": "word+"}),
    "debug": Plugin(),
    "trace": Plugin(
        "word? word?",
        {
            "every": "0..",
            "service": "word",
            "client_server": "word?",
            "datadog_analytics_rate": "word?",
            "zipkin_max_backlog_size": "integer",
            "zipkin_max_batch_size": "integer",
            "zipkin_max_batch_interval": "duration",
        },
    ),
    "ready": Plugin("endpoint?", {"monitor": "until-ready|continuously"}, once=True),
    "health": Plugin("endpoint?", {"lameduck": "duration"}),
    "pprof": Plugin("endpoint?", {"block": "integer?"}, once=True),
    "shed": Plugin(once=True),
    "prometheus": Plugin("endpoint?", {"runtime_metrics": "", "tls": "word"}, once=True),
    "errors": Plugin(
        "stdout|stdout?",
        {
            "stacktrace": "",
            "consolidate": "duration regex warning|error|info|debug|show_first? show_first|show_first?",
        },
        once=True,
    ),
    "log": Plugin("word*", {"class": "all|success|denial|error+"}),
    "dnstap": Plugin(
        "word+", {"skipverify": "", "tls": "word+", "identity": "word", "version": "word", "extra": "word"}
    ),
    "local": Plugin("", {"localhost_prefix": "on|off"}),
    "dns64": Plugin("word?", {"prefix": "word", "translate_all": "", "allow_ipv4": ""}),
    "any": Plugin(),
    "chaos": Plugin("word*"),
    "loadbalance": Plugin("round_robin|weighted? word?", {"reload": "duration", "prefer": "network*"}),
    "tsig": Plugin(
        "word*",
        {"secret": "word word", "secrets": "word", "require": "word+", "require_opcode": "word+"},
        once=True,
    ),
    "rewrite": Plugin(_RULE, {}),
    "autopath": Plugin("word+"),
    "acl": Plugin("word*", {"allow": _RULE, "block": _RULE, "filter": _RULE, "drop": _RULE}),
    "cache": Plugin(
        "word*",
        {
            "success": "integer 1..? 0..? word*",
            "denial": "integer 1..? 0..? word*",
            "prefetch": "0.. duration? percentage?",
            "serve_stale": "time? immediate|verify? time? time? time?",
            "serve_stale_policy": "prefer_positive|prefer_positive",
            "servfail": "failure",
            "disable": "success|denial word*",
            "keepttl": "",
        },
        once=True,
    ),
    "header": Plugin("word*", {"query": _FLAGS, "response": _FLAGS}, former=("set", "clear")),
    "dnssec": Plugin("word*", {"key": "file|aws_secretsmanager word+", "cache_capacity": "integer"}, once=True),
    "tls": Plugin(
        "word*",
        {
            "client_auth": "nocert|request|require|verify_if_given|require_and_verify",
            "keylog": "word",
            "acme": "word+",
            "email": "word",
            "ca": "word",
            "ca_root": "word",
            "storage": "word",
            "resolver": "word",
        },
    ),
    "minimal": Plugin(),
    "template": Plugin(
        "class type word*",
        {
            "match": "regex+",
            "answer": "word+",
            "additional": "word+",
            "authority": "word+",
            "rcode": "upper_rcode",
            "ederror": "0..65535 word?",
            "fallthrough": "word*",
            "upstream": "word*",
        },
    ),
    "transfer": Plugin("word*", {"to": "word+", "source": "word"}),
    "hosts": Plugin(
        "word*",
        {
            "fallthrough": "word*",
            "fallthrough_unsupported": "",
            "no_reverse": "",
            "ttl": "1..65535 word*",
            "reload": "time",
        },
        once=True,
    ),
    "route53": Plugin(
        "word*",
        {
            "aws_access_key": "word word",
            "aws_endpoint": "word",
            "upstream": "word*",
            "credentials": "word word?",
            "fallthrough": "word*",
            "refresh": "word",
        },
    ),
    "azure": Plugin(
        "word*",
        dict.fromkeys(("subscription", "tenant", "client", "secret", "environment", "access"), "word")
        | {"fallthrough": "word*"},
    ),
    "clouddns": Plugin("word*", {"upstream": "word*", "credentials": "word", "fallthrough": "word*"}),
    "k8s_external": Plugin("word*", {"ttl": "0..3600 word*", "apex": "word+", "headless": "", "fallthrough": "word*"}),
    "kubernetes": Plugin(
        "word*",
        {
            "endpoint_pod_names": "",
            "pods": "disabled|insecure|verified",
            "namespaces": "word+",
            "endpoint": "word+",
            "tls": "word word word",
            "labels": "selector+",
            "namespace_labels": "selector+",
            "fallthrough": "word*",
            "ttl": "0..3600 word*",
            "noendpoints": "",
            "zonal": "",
            "ignore": "empty_service|empty_service? word*",
            "kubeconfig": "word word?",
            "multicluster": "word*",
            "startup_timeout": "duration word*",
            "apiserver_qps": "number",
            "apiserver_burst": "0..",
            "apiserver_max_inflight": "0..",
        },
        once=True,
        former=("resyncperiod", "upstream", "transfer"),
    ),
    "file": Plugin(
        "word word*",
        {"fallthrough": "word*", "reload": "duration word*", "reload_by_mtime": "", "upstream": "word*"},
        former=("no_reload", "transfer"),
    ),
    "auto": Plugin(
        "word*",
        {"directory": "word word? word?", "reload": "duration word*", "upstream": "word*"},
        former=("no_reload", "transfer"),
    ),
    "secondary": Plugin(
        "word*", {"transfer": "word+", "catalog": "word*", "fallthrough": "word*"}, former=("upstream",)
    ),
    "etcd": Plugin(
        "word*",
        {
            "stubzones": "",
            "fallthrough": "word*",
            "debug": "",
            "path": "word",
            "endpoint": "word+",
            "upstream": "word*",
            "tls": "word*",
            "credentials": "word word",
            "min-lease-ttl": "word",
            "max-lease-ttl": "word",
        },
    ),
    "loop": Plugin(once=True),
    "forward": Plugin(
        "word word+",
        {
            "except": "word+",
            "max_fails": "0..4294967295",
            "max_connect_attempts": "0..4294967295",
            "health_check": "time word*",
            "force_tcp": "",
            "prefer_udp": "",
            "tls": "word? word? word?",
            "tls_servername": "word",
            "expire": "time",
            "max_age": "time",
            "max_idle_conns": "0..",
            "read_timeout": "positive",
            "doh_method": "POST|GET",
            "policy": _POLICY,
            "max_concurrent": "0..",
            "next": "rcode+",
            "next_on_nodata": "",
            "failfast_all_unhealthy_upstreams": "",
            "failover": "rcode+",
            "resolver": "server+",
            "source_address": "address",
        },
        former=("spray", "protocol", "path"),
    ),
    "grpc": Plugin(
        "word word+",
        {
            "except": "word+",
            "tls": "word? word? word?",
            "tls_servername": "word",
            "policy": _POLICY,
            "fallthrough": "word*",
        },
        once=True,
    ),
    "erratic": Plugin("word*", {"drop": "0..?", "delay": "0..? duration?", "truncate": "0..?", "large": ""}),
    "whoami": Plugin(),
    "on": Plugin("word word*", {}),
    "sign": Plugin("word word*", {"key": "word+", "directory": "word"}),
    "view": Plugin("word", {"expr": "word+"}, once=True),
    "nomad": Plugin("word*", {"address": "word+", "filter": "word", "token": "word", "ttl": "0..3600"}),
}
ANY_LINES = frozenset(
    {"cancel", "hosts", "on", "reload", "rewrite"}
)  # whose blocks have lines that begin with no option
