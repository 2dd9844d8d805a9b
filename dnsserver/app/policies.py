"""Tells whether the cluster may have policies about DNS names: search completion hides the final name from those."""

import trio

from dnsserver.kube import discovery
from dnsserver.kube.api import Client
from dnsserver.kube.errors import ApiError
from dnsserver.logger import get_logger

log = get_logger("dnsserver")

# API groups that have a kind of policy with DNS names in it, and what that is called there.
_BY_NAME = {
    "cilium.io": "CiliumNetworkPolicy with toFQDNs",
    "crd.antrea.io": "Antrea's NetworkPolicy with fqdn",
    "k8s.ovn.org": "EgressFirewall with dnsName",
    "networking.gke.io": "FQDNNetworkPolicy",
    "policy.networking.k8s.io": "ClusterNetworkPolicy with domainNames",
}
_RETRY = 60.0  # seconds


async def warn_of_policies_by_name(client: Client) -> None:
    """Warn once if the API serves policies by DNS names; ask until the API says what it serves."""
    while True:
        try:
            groups = await discovery.groups(client)
        except ApiError:
            await trio.sleep(_RETRY)
            continue
        kinds = [_BY_NAME[group] for group in sorted(groups & _BY_NAME.keys())]
        if kinds:
            log.warning(
                "search completion is on where policies may go by DNS names",
                kinds=kinds,
                effect="they see names of the search list, not those that are meant, and deny what they should allow",
                hint="[search] enabled = false, or namespaces without such policies",
            )
        return
