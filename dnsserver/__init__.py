"""A cluster DNS server for Kubernetes: answers come from the API server's objects, other names from upstreams."""

from dnsserver import light_import

__version__ = "0.1.0"

light_import.load_late()
with light_import.without_types():
    import msgspec as _  # noqa: F401
