"""A cluster DNS server for Kubernetes: answers come from the API server's objects, other names from upstreams."""

__version__ = "0.1.0"
