"""All endpoints of a Service with their states, from JSON of an API server and from what is read of YAML."""

from typing import Any

import msgspec
import pytest

from dnsserver.kube.endpoint_states import EndpointState, of_list, of_parsed
from tests.cluster import endpoints


@pytest.mark.parametrize(
    ("conditions", "state"),
    [
        (None, "ready"),
        ({}, "ready"),
        ({"ready": None}, "ready"),
        ({"ready": True, "serving": True, "terminating": False}, "ready"),
        ({"ready": True, "serving": False, "terminating": True}, "ready"),  # the Service publishes what is not ready
        ({"terminating": True}, "ready"),
        ({"ready": False}, "not ready"),
        ({"ready": False, "serving": False, "terminating": False}, "not ready"),
        ({"ready": False, "serving": True, "terminating": True}, "ending, still serving"),
        ({"ready": False, "terminating": True}, "ending, still serving"),
        ({"ready": False, "serving": False, "terminating": True}, "ending"),
    ],
)
def test_conditions_say_how_an_endpoint_is(conditions: Any, state: str) -> None:
    part = endpoints("web", {"addresses": ["10.0.0.1"], "conditions": conditions})
    (found,) = of_list(msgspec.json.encode({"items": [part]}))
    assert found == EndpointState(("10.0.0.1",), state, "web-1")
    assert of_parsed(part, "shop", "web") == (found,)


def test_what_stands_for_an_endpoint_is_told() -> None:
    one = {
        "addresses": ["10.0.0.1", "10.0.0.2"], "hostname": "web-0", "nodeName": "a", "zone": "z",
        "targetRef": {"kind": "Pod", "name": "web-0", "namespace": "shop"},
    }  # fmt: skip
    other = {"addresses": None, "targetRef": {"kind": "VirtualMachine", "name": "x"}}
    assert of_list(msgspec.json.encode({"items": [endpoints("web", one, other)]})) == (
        EndpointState(("10.0.0.1", "10.0.0.2"), "ready", "web-1", "web-0", "shop/web-0", "a", "z"),
        EndpointState((), "ready", "web-1"),
    )


@pytest.mark.parametrize(("namespace", "service"), [("shop", "db"), ("other", "web")])
def test_slices_of_others_are_left_out(namespace: str, service: str) -> None:
    assert of_parsed(endpoints("web", "10.0.0.1"), namespace, service) == ()


def test_no_slices_are_no_endpoints() -> None:
    assert of_list(b'{"items": null}') == of_list(b'{"items": [{"metadata": {}, "endpoints": null}]}') == ()


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"items": [{"metadata": {}, "endpoints": 5}]}'])
def test_what_cannot_be_read_is_an_error(text: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        of_list(text)
