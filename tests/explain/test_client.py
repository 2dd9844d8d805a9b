"""The nameservers and the search list of a client, from a resolv.conf, a namespace, or a pod's spec."""

import pytest

from dnsserver.explain.client import (
    MUSL_LONGEST_LINE,
    Client,
    Node,
    looks_like_resolv_conf,
    of_namespace,
    of_pod,
    of_resolv_conf,
)
from dnsserver.kube.pod_dns import PodDns

DOMAIN = "cluster.local"
OWN = ("10.96.0.10",)
NODE = Node(("192.0.2.53",), ("corp.example",), ("timeout:3",), is_known=True, own=OWN)
SHOP = ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nameserver 10.96.0.10\n", Client("x", ("10.96.0.10",), here="yes")),
        ("nameserver 192.0.2.1\nnameserver 10.96.0.10\n", Client("x", ("192.0.2.1", "10.96.0.10"), here="yes")),
        ("nameserver 192.0.2.1", Client("x", ("192.0.2.1",))),
        ("nameserver fd00::a%eth0\n", Client("x", ("fd00::a%eth0",))),
        (
            "nameserver 1.1.1.1\nsearch a.example b.example.\nsearch c.example\n",
            Client("x", ("1.1.1.1",), ("c.example",), search_line=16),
        ),
        ("nameserver 1.1.1.1\ndomain a.example b\n", Client("x", ("1.1.1.1",), ("a.example",), search_line=18)),
        ("nameserver 1.1.1.1\nsearch .\n", Client("x", ("1.1.1.1",), (".",), search_line=8)),
        (
            "nameserver 1.1.1.1\noptions ndots:3 rotate\noptions use-vc\n",
            Client("x", ("1.1.1.1",), options=("ndots:3", "rotate", "use-vc")),
        ),
        ("# nameserver 9.9.9.9\n;search x\n\nnameserver 1.1.1.1", Client("x", ("1.1.1.1",))),
        ("\ufeffnameserver 1.1.1.1", Client("x", ("1.1.1.1",))),
        ("sortlist 10.0.0.0\nnameserver 1.1.1.1", Client("x", ("1.1.1.1",))),
    ],
)
def test_a_resolv_conf(text: str, expected: Client) -> None:
    assert of_resolv_conf(text, "x", OWN) == expected


@pytest.mark.parametrize(
    ("text", "looks"),
    [
        ("", True),
        ("\n# nothing\n; at all\n", True),
        ("search a.example", True),
        ("options ndots:5", True),
        ("\ufeffnameserver 1.1.1.1\r\n", True),
        ("hello\nsearch a.example\n", True),
        ("hello\n", False),
        ('upstreams = ["9.9.9.9"]\n', False),
        ("10.0.0.1 web.shop\n", False),
        ("\x7fELF\0\0\nsearch \0\n", False),
        ("nameserver:\n- 9.9.9.9\n", False),
    ],
)
def test_what_looks_like_a_resolv_conf(text: str, looks: bool) -> None:
    assert looks_like_resolv_conf(text) is looks


@pytest.mark.parametrize(
    ("text", "note"),
    [
        *(
            (
                text,
                "there is no valid line `nameserver ADDRESS`: resolvers ask 127.0.0.1, the client's own machine or pod",
            )
            for text in ("search a.example", "", "# nothing\n", "nameserver\n", "nameserver dns.example\n")
        ),
        ("nameserver dns.example\nnameserver 1.1.1.1", 'resolvers ignore the line "nameserver dns.example"'),
        ("nameservers 9.9.9.9\noptions ndots:2", 'resolvers ignore the line "nameservers 9.9.9.9"'),
        ("nameserver 1.1.1.1\n" + "hello\n" * 9, "resolvers ignore 6 more lines"),
        (
            "".join(f"nameserver 192.0.2.{number}\n" for number in range(4)),
            "resolvers take the first 3 of 4 nameservers",
        ),
        (
            "nameserver 1.1.1.1\nsearch " + "x" * (MUSL_LONGEST_LINE - 6) + "\n",
            "musl (Alpine) ignores the search list: its line has 255 octets, more than 254",
        ),
        (
            "nameserver 1.1.1.1\nsearch a b c d e f g\n",
            "glibc before 2.26 (2017) uses only the first 6 domains and 256 characters of the search list",
        ),
    ],
)
def test_what_is_to_be_said_of_a_resolv_conf(text: str, note: str) -> None:
    assert note in of_resolv_conf(text, "x").notes


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), (1, 5, 2)),
        (("ndots:5",), (5, 5, 2)),
        (("ndots:99", "timeout:99", "attempts:99"), (15, 30, 5)),
        (("ndots:", "timeout:0", "attempts:x"), (0, 1, 1)),
        (("ndots:2", "ndots:3x"), (3, 5, 2)),
        (("ndots:99999999999999999999",), (15, 5, 2)),
        (("rotate", "ndotsy:4"), (1, 5, 2)),
    ],
)
def test_numbers_of_options(options: tuple[str, ...], expected: tuple[int, int, int]) -> None:
    client = Client("x", options=options)
    assert (client.ndots, client.timeout, client.attempts) == expected


def pod(**given: object) -> PodDns:
    return PodDns("shop", "web-1", **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spec", "nameservers", "search", "options", "here"),
    [
        (pod(), OWN, (*SHOP, "corp.example"), ("ndots:5",), "yes"),
        (pod(policy="ClusterFirstWithHostNet", host_network=True), OWN, (*SHOP, "corp.example"), ("ndots:5",), "yes"),
        (pod(host_network=True), ("192.0.2.53",), ("corp.example",), ("timeout:3",), "no"),
        (pod(policy="Default"), ("192.0.2.53",), ("corp.example",), ("timeout:3",), "no"),
        (pod(policy="None", nameservers=("192.0.2.9",)), ("192.0.2.9",), (), (), "unknown"),
        (pod(policy="None", nameservers=OWN, searches=("a.example.",)), OWN, ("a.example",), (), "yes"),
        (pod(policy="Default", nameservers=OWN), ("192.0.2.53", *OWN), ("corp.example",), ("timeout:3",), "yes"),
        (
            pod(searches=("own.example", "svc.cluster.local"), options=("ndots:1", "single-request")),
            OWN,
            (*SHOP, "corp.example", "own.example"),
            ("ndots:1", "single-request"),
            "yes",
        ),
        (
            pod(nameservers=("192.0.2.1", "192.0.2.2", "192.0.2.3")),
            (*OWN, "192.0.2.1", "192.0.2.2"),
            (*SHOP, "corp.example"),
            ("ndots:5",),
            "yes",
        ),
    ],
)
def test_a_pod(
    spec: PodDns, nameservers: tuple[str, ...], search: tuple[str, ...], options: tuple[str, ...], here: str
) -> None:
    client = of_pod(spec, DOMAIN, NODE)
    assert (client.nameservers, client.search, client.options, client.here) == (nameservers, search, options, here)


BOTH = ("10.96.0.10", "fd00::a")


@pytest.mark.parametrize(
    ("service", "given", "expected"),
    [
        (OWN, (), OWN),
        (OWN, ("8.8.8.8", "1.1.1.1"), (*OWN, "8.8.8.8", "1.1.1.1")),
        (BOTH, (), BOTH),
        ((), (), ("169.254.20.10", *OWN)),
    ],
)
def test_a_pod_asks_the_service_and_not_what_else_a_server_of_its_node_has(
    service: tuple[str, ...], given: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    """As with `manifests/node-local`, where the server listens at the Service's addresses and at some of the link."""
    listen = ("169.254.20.10", *OWN) if len(service) < 2 else ("169.254.20.10", "fd00:20::10", *BOTH)
    node = Node(own=(*service, *listen), service=service)
    client = of_pod(pod(nameservers=given), DOMAIN, node)
    assert (client.nameservers, client.notes) == (expected, ())
    assert of_resolv_conf("nameserver 169.254.20.10", "x", node.own).here == "yes"


@pytest.mark.parametrize(
    ("spec", "node", "note"),
    [
        (pod(host_network=True), NODE, "hostNetwork makes ClusterFirst the same as Default"),
        (pod(policy="Default"), NODE, "the node's resolv.conf is taken from the node that this server runs on"),
        (pod(policy="Default"), Node(), "the content of the node's resolv.conf is not known here"),
        (pod(nameservers=("1.1.1.1",) * 1 + ("1.1.1.2", "1.1.1.3")), NODE, "at most 3 nameservers: 1.1.1.3 left out"),
        (
            pod(searches=tuple(f"d{number}.example" for number in range(40))),
            NODE,
            "at most 32 search domains of 2048 octets: 12 left out",
        ),
        (pod(searches=tuple(f"{'x' * 250}.d{number}" for number in range(9))), NODE, "2048 octets: 2 left out"),
    ],
)
def test_what_is_to_be_said_of_a_pod(spec: PodDns, node: Node, note: str) -> None:
    assert any(note in said for said in of_pod(spec, DOMAIN, node).notes), of_pod(spec, DOMAIN, node).notes


def test_who_it_is() -> None:
    assert of_namespace("shop", DOMAIN, NODE).who == "a pod of the namespace shop (ClusterFirst)"
    assert of_pod(pod(host_network=True), DOMAIN, NODE).who == "pod shop/web-1 (dnsPolicy ClusterFirst, hostNetwork)"


def test_names_of_a_pods_own_hosts_file() -> None:
    spec = pod(aliases=(("db.example", "192.0.2.7"),), address="10.1.2.3", hostname="h", subdomain="sub")
    assert of_pod(spec, DOMAIN, NODE).hosts == (
        ("h", "10.1.2.3"),
        ("h.sub.shop.svc.cluster.local", "10.1.2.3"),
        ("db.example", "192.0.2.7"),
    )


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (("10.96.0.10", "fd00::a", "127.0.0.1", "::1"), ("10.96.0.10", "fd00::a")),
        (("127.0.0.1",), ()),
        (("169.254.20.10", "127.0.0.53"), ("169.254.20.10",)),
    ],
)
def test_what_a_server_has_on_loopback_is_no_nameserver_of_a_pod(
    own: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    found = of_namespace("shop", DOMAIN, Node(own=own))
    assert (found.nameservers, found.here) == (expected, "yes")
    assert of_resolv_conf(f"nameserver {own[-1]}\n", "x", own).here == "yes"
