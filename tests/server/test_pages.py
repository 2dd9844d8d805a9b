"""The content of the pages of admin HTTP, without sockets."""

import json

import pytest
import yaml

from dnsserver.metrics import Configuration, Kind, ObjectFiles, Readings, Zone, ZoneSnapshot
from dnsserver.server.admin import Request, Response
from dnsserver.server.pages import standard_routes

SERVICES = 'apiGroups: [""], resources: ["services"], verbs: ["list", "watch"]'
PODS = 'apiGroups: [""], resources: ["pods"], verbs: ["list", "watch"]'


def readyz(readings: Readings, accept: str = "") -> tuple[int, str]:
    async def read() -> Readings:
        return readings

    routes = standard_routes(read, lambda: readings, lambda *_: 0)
    response = routes["/readyz"].handle(Request("GET", "/readyz", {}, {"accept": accept}, "127.0.0.1"))
    assert isinstance(response, Response)
    return response.status, response.body.decode() if isinstance(response.body, bytes) else str(response.body)


CONFIGURATION = Configuration(
    hash_type="sha512",
    hash="0123456789abcdef0123",
    applied=90.0,
    applied_wall=0.0,
    failed=1,
    problems=("c.toml:7: ttl: found -1, expected a whole number of seconds from 0 to 3600",),
    needs_restart=("state", "workers"),
)
READING = Kind(kind="services", objects=7, state="listing")
WATCHED = Kind(kind="namespaces", objects=1, synced=True, state="watching", last_event=97.5, last_heard=99.0)
AGAIN = Kind(kind="pods", synced=True, state="waiting", last_check=10.0, resyncs={"gone": 2}, last_error="410 Gone")
DENIED = Kind(kind="services", state="forbidden", rule=SERVICES, forbidden=True, last_error="403 Forbidden: no")
SAVED = Kind(kind="services", objects=7, from_snapshot=True, state="starting")
DENIED_PODS = Kind(kind="pods", state="forbidden", rule=PODS, forbidden=True)


@pytest.mark.parametrize(
    ("readings", "status", "said"),
    [
        (Readings(ready=True), 200, ["ready"]),
        (
            Readings(now=102.5, ready=True, configuration=CONFIGURATION),
            200,
            [
                "ready",
                "configuration: sha512 0123456789abcdef, in force for 12.5 s",
                ("configuration of the files, refused: c.toml:7: ttl: found -1, "
                 "expected a whole number of seconds from 0 to 3600"),
                "configuration keys that need a restart: state, workers",
            ],
        ),
        (
            Readings(now=100.0, missing=("services",), kinds=(READING, WATCHED)),
            503,
            [
                "not ready, not read yet: services",
                "services: not read yet, 7 objects, being read now",
                "namespaces: read, 1 object, watched for changes, last change 2.5 s ago, last sign of life 1.0 s ago",
            ],
        ),
        (
            Readings(now=100.0, ready=True, kinds=(AGAIN,)),
            200,
            [
                "ready",
                ("pods: read, 0 objects, waiting to try again, last full comparison 90.0 s ago, "
                 "read again 2 times, last error: 410 Gone"),
            ],
        ),
        (
            Readings(
                now=100.0, ready=True, kinds=(SAVED,), zone=Zone(stale=True),
                zone_snapshot=ZoneSnapshot(serving=True, as_of=40.0),
            ),
            200,
            [
                "ready",
                "services: from the snapshot, 7 objects, connecting to the API server",
                "answers about the cluster are marked as stale (RFC 8914)",
                "state folder: its snapshot is being served, up to date 60.0 s ago",
            ],
        ),
        *(
            (
                Readings(now=100.0, ready=not missing, missing=missing, zone_snapshot=snapshot),
                503 if missing else 200,
                ["not ready, not read yet: services" if missing else "ready", f"state folder: {said}"],
            )
            for snapshot, missing, said in (
                (ZoneSnapshot(), ("services",), "nothing saved yet: the cluster is not read yet"),
                (ZoneSnapshot(), (), "nothing saved yet"),
                (ZoneSnapshot(problem="/s: permission denied"), (), "nothing saved: /s: permission denied"),
                (ZoneSnapshot(as_of=95.0), (), "up to date 5.0 s ago"),
                (
                    ZoneSnapshot(as_of=40.0, problem="/s: no space left on device"),
                    (),
                    "up to date 60.0 s ago; it cannot be saved now: /s: no space left on device",
                ),
            )
        ),
        (
            Readings(ready=True, object_files=ObjectFiles(2, 1, ("/objects/a.yaml: line 1: not YAML",))),
            200,
            ["ready", "left out of the object files: /objects/a.yaml: line 1: not YAML"],
        ),
        (
            Readings(now=100.0, draining=True, kinds=(WATCHED,)),
            503,
            [
                "draining: this server is about to end, and answers until then",
                "namespaces: read, 1 object, watched for changes, last change 2.5 s ago, last sign of life 1.0 s ago",
            ],
        ),
    ],
)  # fmt: skip
def test_readyz_in_plain_words(readings: Readings, status: int, said: list[str]) -> None:
    got, body = readyz(readings)
    assert (got, body.splitlines()) == (status, said)


@pytest.mark.parametrize(
    ("readings", "status", "resources"),
    [
        (Readings(missing=("services",), kinds=(WATCHED, DENIED)), 503, ["services"]),
        (Readings(missing=("services",), kinds=(DENIED, DENIED_PODS)), 503, ["services", "pods"]),
        (Readings(ready=True, kinds=(WATCHED, DENIED_PODS)), 200, ["pods"]),
    ],
)
def test_readyz_ends_with_the_rules_to_paste(readings: Readings, status: int, resources: list[str]) -> None:
    got, body = readyz(readings)
    assert got == status
    assert "denied by the API server (403)" in body
    rules = yaml.safe_load(body[body.index("rules:\n") :])["rules"]
    assert [rule["resources"] for rule in rules] == [[resource] for resource in resources]
    assert all(set(rule["verbs"]) == {"list", "watch"} and rule["apiGroups"] == [""] for rule in rules)


def test_readyz_names_a_kind_that_the_server_does_not_know() -> None:
    _, body = readyz(Readings(missing=("endpointslices",), kinds=(Kind(kind="endpointslices", state="missing"),)))
    assert "not known to the API server (404)" in body
    assert "rules:" not in body


def test_readyz_for_programs() -> None:
    readings = Readings(
        now=100.0,
        missing=("services",),
        kinds=(DENIED, WATCHED),
        zone_snapshot=ZoneSnapshot(serving=True, problem="/s: permission denied"),
        draining=True,
    )
    status, text = readyz(readings, "text/html, application/json")
    body = json.loads(text)
    assert (status, body["ready"], body["draining"], body["missing"]) == (503, False, True, ["services"])
    assert body["from_snapshot"] is True
    assert body["save_problem"] == "/s: permission denied"
    assert body["kinds"]["namespaces"]["event_age"] == 2.5
    assert body["kinds"]["services"]["event_age"] is None
    assert body["kinds"]["services"]["rule"] == SERVICES
    assert body["configuration"] is None
    _, text = readyz(Readings(now=102.5, configuration=CONFIGURATION), "application/json")
    assert json.loads(text)["configuration"] == {
        "hash_type": "sha512",
        "hash": CONFIGURATION.hash,
        "age": 12.5,
        "problems": list(CONFIGURATION.problems),
        "needs_restart": ["state", "workers"],
    }
