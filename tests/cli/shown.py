"""A server that has been asked, as `/top` and `/failures` tell it."""

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

STATE = ServerState(version="1.2", ready=True, verdict="ready", stale=False, data_age=3.4, processes=1)
TOP = Top(
    STATE,
    1,
    True,
    40,
    0.1,
    clients=Listing(
        60.0,
        90_000,
        0,
        (
            Client("10.0.0.1", ("shop/web-0",), ("shop/web",), 61_234, 700, 0.68),
            Client("10.0.0.2", (), ("shop/head",), 20_000, 600, 0.22),
            Client("10.0.0.9", ("a/agent", "b/agent", "c/agent"), (), 5000, 300, 0.06),
            Client("fd00::7", (), (), 1, 0, 0.0),
        ),
    ),
    names=Listing(60.0, 90_000, 12, (Name("web.shop.svc.cluster.local.", 50_000, 900, 0.5556),)),
    domains=Listing(60.0, 90_000, 0, (Name("shop.svc.cluster.local.", 70_000, 800, 0.7778),)),
    missing=Listing(60.0, 900, 0, (Name("web.shop.", 800, 30, 0.889, "forwarded"), Name("x.", 1, 0, 0.1))),
    slow=Listing(60.0, 3, 0, (SlowName("slow.example.", 3, 2.345),)),
    upstreams=Listing(
        60.0,
        500,
        0,
        (
            UpstreamState("192.0.2.1:53", False, False, 0.0, 0.0, 20, 0, {"silent": 20, "failed": 3}),
            UpstreamState("192.0.2.2:53", True, True, 0.0015, 0.002, 480, 480, {}),
        ),
    ),
)
FAILURES = FailureList(
    7,
    (
        FailureRow(
            "10.0.0.1", ("shop/web-0",), (), "a.example.", "A", "SERVFAIL", "upstream-timeout", "none answered",
            2.0, 4.2, 60.0, 12,
        ),
        FailureRow("10.0.0.3", (), (), "", "", "", "rate", "", 0.0, 0.4, 0.4, 1),
    ),
)  # fmt: skip
