"""Search completion together with policies by DNS names: a warning, if the API serves such policies."""

from pathlib import Path

import msgspec
import pytest

from dnsserver.config.model import Search
from tests.app.following import config_of, following
from tests.kube.apiserver import ApiServer, serving
from tests.kube.support import wait_for
from tests.logs import capture_logs


@pytest.mark.parametrize(
    ("groups", "enabled", "kinds"),
    [
        (["apps", "cilium.io", "networking.k8s.io"], True, ["CiliumNetworkPolicy with toFQDNs"]),
        (["k8s.ovn.org", "cilium.io"], True, ["CiliumNetworkPolicy with toFQDNs", "EgressFirewall with dnsName"]),
        (["apps", "networking.k8s.io"], True, None),
        (["cilium.io"], False, None),
    ],
)
async def test_the_log_warns_of_policies_by_name(
    groups: list[str], enabled: bool, kinds: list[str] | None, tmp_path: Path
) -> None:
    api = ApiServer()
    api.groups = groups
    with capture_logs() as logs:
        async with serving(api):
            config = msgspec.structs.replace(config_of(api, tmp_path), search=Search(enabled=enabled))
            async with following(config) as rig:
                await wait_for(lambda: not rig.cluster.missing)
                if kinds is not None:
                    await wait_for(lambda: any("policies" in entry["event"] for entry in logs))
    found = [entry for entry in logs if "policies" in entry["event"]]
    assert [entry["kinds"] for entry in found] == ([] if kinds is None else [kinds])
    assert all(entry["log_level"] == "warning" for entry in found)
