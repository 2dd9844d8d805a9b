"""The plugins that a Corefile may name, and the words that each needs behind its name."""

# All of CoreDNS 1.14.7's plugin.cfg.
PLUGINS = (
    "root", "metadata", "geoip", "cancel", "proxyproto", "quic", "grpc_server", "https", "https3", "timeouts",
    "multisocket", "reload", "nsid", "bufsize", "bind", "debug", "trace", "ready", "health", "pprof", "shed",
    "prometheus", "errors", "log", "dnstap", "local", "dns64", "any", "chaos", "loadbalance", "tsig", "rewrite",
    "autopath", "acl", "cache", "header", "dnssec", "tls", "minimal", "template", "transfer", "hosts", "route53",
    "azure", "clouddns", "k8s_external", "kubernetes", "file", "auto", "secondary", "etcd", "loop", "forward",
    "grpc", "erratic", "whoami", "on", "sign", "view", "nomad"
)  # fmt: skip

_NEEDED = {
    "acl": "acl {\n allow\n}",
    "autopath": "autopath @kubernetes",
    "bind": "bind 127.0.0.1",
    "dnstap": "dnstap /tmp/dnstap.sock",
    "file": "file /db.example a.example",
    "forward": "forward . 192.0.2.1",
    "geoip": "geoip /db.mmdb",
    "grpc": "grpc . 192.0.2.1",
    "header": "header {\n response set ra\n}",
    "kubernetes": "kubernetes cluster.local",
    "on": "on startup true",
    "rewrite": "rewrite name a.example b.example",
    "root": "root /etc",
    "secondary": "secondary a.example {\n transfer from 192.0.2.1\n}",
    "sign": "sign /db.example a.example",
    "template": "template IN A a.example",
    "timeouts": "timeouts {\n read 5s\n}",
    "tls": "tls cert key",
    "transfer": "transfer {\n to *\n}",
    "view": "view a {\n expr true\n}",
}


def shortest(plugin: str) -> str:
    """Return the shortest directive of a plugin that CoreDNS starts with."""
    return _NEEDED.get(plugin, plugin)
