"""A cluster DNS server for Kubernetes: answers come from the API server's objects, other names from upstreams."""

from dnsserver import light_import

__version__ = "0.1.0"

light_import.begin()
