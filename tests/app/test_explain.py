"""Explanations of pods, from the API or from files, and by a process of its own."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from dnsserver.app.explain import ExplainError, explainer_of, run
from dnsserver.app.explainer import Wanted, WantedError
from dnsserver.config import Override, read
from dnsserver.config.model import Kubernetes
from dnsserver.explain.report import Explanation
from dnsserver.zone.model import Kind, Put, Remove
from tests.app.explaining import explaining
from tests.cluster import decoded, endpoints, namespace, service
from tests.forward.scripted import Query, upstream
from tests.kube.apiserver import ApiServer, serving
from tests.kube.support import thing
from tests.running import config, kubeconfig, running, write_objects

SEARCH = ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local")
RULE = '{apiGroups: [""], resources: [pods], verbs: [get]}'
PODS: dict[str, dict[str, Any]] = {
    "plain": {},
    "host": {"hostNetwork": True},
    "both": {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"},
    "node": {"dnsPolicy": "Default"},
    "own": {
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["10.96.0.10"], "searches": ["shop.svc.cluster.local"]},
    },
    "one-dot": {"dnsConfig": {"options": [{"name": "ndots", "value": "1"}], "searches": ["svc.cluster.local"]}},
    "aliased": {"hostAliases": [{"ip": "192.0.2.7", "hostnames": ["nobody"]}]},
}


def made(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "shop"}, "spec": spec}


async def refusing(query: Query) -> None:
    await query.send(query.reply(rcode=5))


@pytest.fixture
async def api() -> AsyncIterator[ApiServer]:
    async with serving(ApiServer()) as server:
        server.put(Kind.NAMESPACES, thing("shop", namespace="", spec={}))
        server.put(Kind.SERVICES, thing("web", spec={"clusterIP": "10.9.0.1"}))
        server.put(Kind.SERVICES, thing("kube-dns", namespace="kube-system", spec={"clusterIP": "10.96.0.10"}))
        for name, spec in PODS.items():
            server.put(Kind.PODS, thing(name, spec=spec))
        yield server


async def explained(folder: Path, api: ApiServer, name: str, pod: str) -> Explanation:
    settings = config(kubeconfig=kubeconfig(folder, api))
    async with running(settings) as server:
        return await explainer_of(server, server.place, trio.current_time).explain(Wanted(name, pod=pod))


async def test_what_changed_lately_of_a_service_that_is_asked_for_is_a_note(tmp_path: Path) -> None:
    """Of the Service itself, and of its namespace; what a namesake elsewhere did is of no interest."""
    things = [namespace("shop"), service("db"), endpoints("db", "10.0.0.1"), namespace("bank"), service("api")]
    async with explaining(tmp_path, things) as shop:
        quiet = await shop.explain("db", namespace="shop")
        shop.server.sync.apply(Put(decoded(endpoints("db"))))
        shop.server.sync.apply(Put(decoded(service("db", namespace="bank"))))
        told = await shop.explain("db", namespace="shop")
        shop.server.sync.apply(Remove(Kind.NAMESPACES, "", "shop"))
        gone = await shop.explain("DB.shop.svc.cluster.local.")
    assert [note for note in quiet.notes if "changed" in note] == []
    (note,) = (note for note in told.notes if "changed" in note)
    assert re.fullmatch(r"shop/db changed at \d\d:\d\d:\d\d UTC: ready addresses 1 → 0", note)
    found = [note.partition(" UTC: ")[2] for note in gone.notes if "changed" in note]
    assert found == ["deleted: it was a Namespace", "ready addresses 1 → 0"]


@pytest.mark.parametrize(
    ("gone", "name", "verdict", "changed"),
    [
        (
            Remove(Kind.SERVICES, "shop", "db"),
            "db.shop",
            "db.shop.svc.cluster.local. A: there is no such Service",
            "shop/db",
        ),
        (
            Remove(Kind.NAMESPACES, "", "shop"),
            "db.shop",
            "db.shop.svc.cluster.local. A: there is no such namespace",
            "shop",
        ),
        (
            Remove(Kind.SERVICES, "shop", "db"),
            "alias.bank",
            "alias.bank.svc.cluster.local. A: it is an alias of db.shop.svc.cluster.local.: there is no such Service",
            "shop/db",
        ),
        (Remove(Kind.SERVICES, "shop", "db"), "db.bank", "db.bank. A: upstream", ""),
    ],
)
async def test_what_was_deleted_lately_is_why_a_name_fails(
    tmp_path: Path, gone: Remove, name: str, verdict: str, changed: str
) -> None:
    """Rather than what an upstream that fails says of the name as it is; and the target of an alias counts, too."""
    things = [namespace("shop"), service("db", "10.9.0.7"), namespace("bank")]
    things.append(service("alias", namespace="bank", external="db.shop.svc.cluster.local"))
    async with upstream(refusing) as outside, explaining(tmp_path, things, port=outside.port) as shop:
        shop.server.sync.apply(gone)
        found = await shop.explain(name)
    assert found.verdict.startswith(f"{name} does not resolve: {verdict}")
    notes = [note.partition(" changed at ")[0] for note in found.notes if " changed at " in note]
    assert notes == [changed] * bool(changed)


@pytest.mark.parametrize(
    ("pod", "name", "search", "here", "resolves"),
    [
        ("plain", "web", SEARCH, "yes", True),
        ("host", "web.shop.svc.cluster.local", (), "no", False),
        ("both", "web", SEARCH, "yes", True),
        ("node", "web.shop.svc.cluster.local", (), "no", False),
        ("own", "web", SEARCH[:1], "yes", True),
        ("one-dot", "web", SEARCH, "yes", True),
        ("one-dot", "web.shop", SEARCH, "yes", False),  # not with musl
        ("aliased", "nobody", SEARCH, "yes", True),
        ("plain", "nobody", SEARCH, "yes", False),
    ],
)
async def test_a_pod_of_the_api(
    tmp_path: Path, api: ApiServer, pod: str, name: str, search: tuple[str, ...], here: str, resolves: bool
) -> None:
    found = await explained(tmp_path, api, name, f"shop/{pod}")
    assert (found.client.search, found.client.here, found.resolves) == (search, here, resolves), found.verdict
    if here == "no":
        assert found.verdict.endswith("this client asks the node's nameservers, not the cluster's DNS")


async def test_a_pod_that_may_not_be_read_is_taken_as_one_of_its_namespace(tmp_path: Path, api: ApiServer) -> None:
    api.forbidden.add(Kind.PODS)
    found = await explained(tmp_path, api, "web", "shop/own")
    assert (found.client.search, found.resolves) == (SEARCH, True)
    assert found.client.notes[0] == (
        f"pod shop/own cannot be read here: the role lacks the rule {RULE}. Explained as for a pod of the"
        " namespace shop with ClusterFirst"
    )


async def test_a_pod_that_is_not_there(tmp_path: Path, api: ApiServer) -> None:
    async with running(config(kubeconfig=kubeconfig(tmp_path, api))) as server:
        with pytest.raises(WantedError, match="pod: there is no pod shop/none"):
            await explainer_of(server, server.place, trio.current_time).explain(Wanted("web", pod="shop/none"))


PEOPLE = [
    namespace("shop"),
    service("web", "10.9.0.1"),
    service("kube-dns", "10.96.0.10", namespace="kube-system"),
    *(made("Pod", name, spec) | {"status": {"podIP": "10.1.0.7"}} for name, spec in PODS.items()),
]


@pytest.mark.parametrize("pods", ["insecure", "verified"])
async def test_a_server_of_files_reads_pods_of_them(tmp_path: Path, pods: str) -> None:
    async with explaining(tmp_path, PEOPLE, f'pods = "{pods}"\n') as server:
        assert (await server.explain("web", pod="shop/plain")).resolves
        found = await server.explain("web.shop.svc.cluster.local", pod="shop/host")
        assert (found.client.here, found.resolves) == ("no", False)


async def test_a_server_of_large_files_says_who_reads_pods_of_them(tmp_path: Path) -> None:
    large = made("Pod", "large", {"containers": [{"command": ["x" * (1 << 19)]}]})
    async with explaining(tmp_path, [*PEOPLE, large], 'pods = "verified"\n') as server:
        found = await server.explain("web", pod="shop/plain")
        assert found.resolves
        objects = tmp_path / "objects.json"
        assert found.client.notes[0].startswith(
            f"the DNS settings of pods in {objects} are read by `dnsserver explain --objects {objects}`, not by"
        )
        with pytest.raises(WantedError, match="pod: there is no pod shop/none in "):
            await server.explain("web", pod="shop/none")


@pytest.mark.parametrize(
    ("client", "text"),
    [
        ({"namespace": "nosuch"}, "namespace: there is no namespace nosuch"),
        ({"namespace": "shpo"}, "namespace: there is no namespace shpo. Did you mean shop?"),
        ({"pod": "shop/none"}, "pod: there is no pod shop/none in "),
        ({"pod": "nosuch/plain"}, "pod: there is no pod nosuch/plain in "),
    ],
)
@pytest.mark.parametrize("pods", ["disabled", "verified"])
async def test_a_client_that_is_not_there(tmp_path: Path, pods: str, client: dict[str, str], text: str) -> None:
    async with explaining(tmp_path, PEOPLE, f'pods = "{pods}"\n') as server:
        with pytest.raises(WantedError) as caught:
            await server.explain("web.shop.svc.cluster.local", **client)
    assert str(caught.value).startswith(text)


async def test_a_missing_namespace_that_nobody_named_is_a_note(tmp_path: Path) -> None:
    async with explaining(tmp_path, PEOPLE) as server:
        found = await server.explain("web.shop")
    assert (found.resolves, found.client.notes[1]) == (True, "there is no namespace default")


async def test_a_namespace_that_is_not_followed_may_be_there(tmp_path: Path, api: ApiServer) -> None:
    settings = config(kubeconfig=kubeconfig(tmp_path, api), kubernetes=Kubernetes(namespaces=("shop",)))
    async with running(settings) as server:
        explainer = explainer_of(server, server.place, trio.current_time)
        assert (await explainer.explain(Wanted("web.shop", namespace="other"))).resolves


async def test_a_pod_that_may_not_be_read_of_no_namespace(tmp_path: Path, api: ApiServer) -> None:
    api.forbidden.add(Kind.PODS)
    async with running(config(kubeconfig=kubeconfig(tmp_path, api))) as server:
        with pytest.raises(WantedError, match="pod: there is no namespace nosuch"):
            await explainer_of(server, server.place, trio.current_time).explain(Wanted("web", pod="nosuch/plain"))


def alone(folder: Path, things: list[dict[str, Any]], wanted: Wanted, text: str = "") -> Explanation:
    """Explain by files, in a process of its own, with more of a configuration."""
    objects = write_objects(folder, things)
    file = folder / "c.toml"
    file.write_text(f'objects = "{objects}"\nupstreams = []\n{text}')
    return run(read(file, dict[str, Override]()), wanted)


THINGS = [
    namespace("shop"),
    service("web", "10.9.0.1"),
    service("kube-dns", "10.96.0.10", namespace="kube-system"),
    *(made("Pod", name, spec) for name, spec in PODS.items()),
]


@pytest.mark.parametrize(
    ("wanted", "resolves"),
    [
        (Wanted("web", namespace="shop"), True),
        (Wanted("web", pod="shop/plain"), True),
        (Wanted("web.shop.svc.cluster.local", pod="shop/host"), False),
        (Wanted("web", pod="shop/own"), True),
        (Wanted("web.shop", pod="shop/one-dot"), False),
        (Wanted("www.example.com"), False),
    ],
)
def test_by_files(tmp_path: Path, wanted: Wanted, resolves: bool) -> None:
    found = alone(tmp_path, THINGS, wanted)
    assert found.resolves is resolves, found.verdict


@pytest.mark.parametrize(
    ("things", "nameservers"),
    [
        (THINGS, ("10.96.0.10", "8.8.8.8", "1.1.1.1")),
        (THINGS[:2], ("169.254.20.10", "10.96.0.10", "8.8.8.8")),  # without the Service
    ],
)
def test_a_pod_of_a_node_with_a_server_of_its_own(
    tmp_path: Path, things: list[dict[str, Any]], nameservers: tuple[str, ...]
) -> None:
    pod = made("Pod", "more", {"dnsConfig": {"nameservers": ["8.8.8.8", "1.1.1.1"]}})
    listen = 'listen = ["169.254.20.10:53", "10.96.0.10:53"]\n'
    found = alone(tmp_path, [*things, pod], Wanted("web", pod="shop/more"), listen)
    assert (found.client.nameservers, found.client.here) == (nameservers, "yes")
    assert any("left out" in note for note in found.client.notes) is (nameservers[0] != "10.96.0.10")


def test_by_files_of_yaml(tmp_path: Path) -> None:
    folder = tmp_path / "objects"
    folder.mkdir()
    (folder / "a.yaml").write_text(
        "kind: Namespace\napiVersion: v1\nmetadata: {name: shop}\n---\nkind: List\nitems: []\n"
    )
    pod = "kind: Pod\napiVersion: v1\nmetadata: {name: p, namespace: shop}\nspec: {dnsPolicy: Default}\n"
    (folder / "b.yaml").write_text(pod)
    file = tmp_path / "c.toml"
    file.write_text(f'objects = "{folder}"\nupstreams = []\n')
    loaded = read(file, dict[str, Override]())
    assert run(loaded, Wanted("web", pod="shop/p")).client.here == "no"
    with pytest.raises(WantedError, match=f"there is no pod shop/q in {folder}"):
        run(loaded, Wanted("web", pod="shop/q"))


def test_what_cannot_be_explained_alone(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    missing.write_text(f'objects = "{tmp_path / "none"}"\n')
    with pytest.raises(ExplainError, match="none: no such file or folder"):
        run(read(missing, dict[str, Override]()), Wanted("web"))
    with pytest.raises(WantedError):
        alone(tmp_path, THINGS, Wanted("a..b"))
    file = tmp_path / "broken.toml"
    file.write_text(f'objects = "{tmp_path}"\nstatic = ["none.zone"]\n')
    (tmp_path / "none.zone").write_text("no zone")
    with pytest.raises(ExplainError, match="static zone"):
        run(read(file, dict[str, Override]()), Wanted("web"))
