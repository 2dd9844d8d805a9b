"""Every metric, in one list."""

from dnsserver.metrics.coredns import COREDNS
from dnsserver.metrics.own import OWN

FAMILIES = (*COREDNS, *OWN)
