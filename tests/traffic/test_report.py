"""The JSON of `/top` and `/failures`: programs rely on its keys, and `dnsserver top` reads it back."""

import msgspec

from dnsserver.traffic.report import (
    Client,
    FailureList,
    FailureRow,
    Listing,
    Name,
    ServerState,
    SlowName,
    Top,
    UpstreamState,
)

STATE = ServerState(version="1", ready=True, verdict="ready", stale=False, data_age=None, processes=2)
CLIENTS = Listing(61.5, 10, 0, (Client("10.0.0.1", ("shop/web-0",), (), 10, 3, 1.0),))
MISSING = Listing(61.5, 4, 1, (Name("gone.example.", 4, 0, 1.0, "forwarded"),))
SLOW = Listing(61.5, 2, 0, (SlowName("slow.example.", 2, 1.5),))
UPSTREAMS = Listing(61.5, 9, 0, (UpstreamState("10.0.0.9:53", True, False, 0.01, 0.02, 9, 8, {"silent": 1}),))


def test_it_is_read_back_as_it_was() -> None:
    top = Top(STATE, 1, True, 7, 0.1, clients=CLIENTS, missing=MISSING, slow=SLOW, upstreams=UPSTREAMS)
    assert msgspec.json.decode(msgspec.json.encode(top), type=Top) == top


def test_it_has_the_lists_that_were_asked_for_and_no_other_keys() -> None:
    found = msgspec.json.decode(msgspec.json.encode(Top(STATE, 5, True, 1, 0.1, clients=CLIENTS, missing=MISSING)))
    assert found == {
        "server": {
            "version": "1", "ready": True, "verdict": "ready", "stale": False, "data_age": None, "processes": 2,
        },
        "window": 5,
        "counting": True,
        "one_in": 1,
        "slow_from": 0.1,
        "clients": {
            "seconds": 61.5,
            "total": 10,
            "slack": 0,
            "items": [
                {
                    "client": "10.0.0.1", "pods": ["shop/web-0"], "services": [], "count": 10, "plus_minus": 3,
                    "share": 1.0,
                }
            ],
        },
        "missing": {
            "seconds": 61.5,
            "total": 4,
            "slack": 1,
            "items": [
                {"name": "gone.example.", "count": 4, "plus_minus": 0, "share": 1.0, "reason": "forwarded"},
            ],
        },
    }  # fmt: skip


def test_failures_have_these_keys() -> None:
    row = FailureRow("10.0.0.1", (), (), "a.", "A", "SERVFAIL", "upstream-timeout", "why", 2.0, 1.0, 3.0, 2)
    found = msgspec.json.decode(msgspec.json.encode(FailureList(3, (row,))))
    assert found == {
        "unrecorded": 3,
        "items": [
            {
                "client": "10.0.0.1", "pods": [], "services": [], "name": "a.", "type": "A", "rcode": "SERVFAIL",
                "reason": "upstream-timeout", "text": "why", "seconds": 2.0, "age": 1.0, "first_age": 3.0, "count": 2,
            }
        ],
    }  # fmt: skip
