"""The parts of a pod's spec from which its resolv.conf and its /etc/hosts are made."""

import json
from typing import Any

import msgspec
import pytest

from dnsserver.kube.pod_dns import PodDns, of_json, of_parsed


def pod(spec: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"kind": "Pod", "metadata": {"name": "web-1", "namespace": "shop"}}
    return made | ({"spec": spec} if spec is not None else {}) | ({"status": status} if status else {})


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        (pod(), PodDns("shop", "web-1")),
        (pod({}), PodDns("shop", "web-1")),
        (pod({"dnsPolicy": "Default"}), PodDns("shop", "web-1", "Default")),
        (pod({"hostNetwork": True}, podIP="10.1.2.3"), PodDns("shop", "web-1", host_network=True, address="10.1.2.3")),
        (
            pod(
                {
                    "dnsPolicy": "None",
                    "dnsConfig": {
                        "nameservers": ["192.0.2.1"],
                        "searches": ["a.example"],
                        "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}, {"value": "x"}],
                    },
                }
            ),
            PodDns("shop", "web-1", "None", False, ("192.0.2.1",), ("a.example",), ("ndots:2", "edns0")),
        ),
        (pod({"dnsConfig": None, "hostAliases": None}), PodDns("shop", "web-1")),
        (
            pod({"hostAliases": [{"ip": "192.0.2.7", "hostnames": ["a", "b"]}], "hostname": "h", "subdomain": "s"}),
            PodDns("shop", "web-1", aliases=(("a", "192.0.2.7"), ("b", "192.0.2.7")), hostname="h", subdomain="s"),
        ),
    ],
)
def test_what_is_read(thing: dict[str, Any], expected: PodDns) -> None:
    assert of_parsed(thing) == expected
    assert of_json(json.dumps(thing).encode()) == expected


@pytest.mark.parametrize("thing", [{}, pod({"hostNetwork": "yes"}), pod({"dnsConfig": {"nameservers": "1.1.1.1"}}), []])
def test_what_is_no_pod(thing: Any) -> None:
    with pytest.raises(msgspec.MsgspecError):
        of_parsed(thing)
