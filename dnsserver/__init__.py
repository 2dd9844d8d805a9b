"""A cluster DNS server for Kubernetes: answers come from the API server's objects, other names from upstreams.

An older Python has to be able to read this file, as it says which one is needed.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - `python3.10 -m dnsserver`
    found = sys.version.split()[0]
    sys.exit("dnsserver needs Python 3.11, 3.12 or 3.13, and " + sys.executable + " is Python " + found)

from dnsserver import light_import

__version__ = "0.1.0"

light_import.begin()
