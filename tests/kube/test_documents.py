"""The forms that files of objects may have, and the messages about other forms."""

import json
import time

import pytest

from dnsserver.kube.content import Content
from dnsserver.kube.documents import TOLD, read
from dnsserver.zone.model import EndpointSlice, Kind, Namespace, Pod, Service

SEVERAL = b"""\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
# Only a comment, and nothing.
---
apiVersion: v1
kind: List
items:
- kind: Service
  metadata: {name: web, namespace: shop}
  spec: {clusterIP: 10.0.0.1, ports: [{port: 80}]}
- kind: Deployment
  metadata: {name: web, namespace: shop}
---
kind: EndpointSliceList
items:
- metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
  addressType: IPv4
  endpoints: [{addresses: [10.1.1.1]}]
---
kind: Pod
metadata: {name: alone, creationTimestamp: 2026-11-21T02:55:59Z}
status: {phase: Running, podIP: 10.1.1.1}
---
kind: ConfigMapList
items: [{metadata: {name: ignored}}]
"""
SERVICE = "kind: Service\nmetadata: {name: web, namespace: shop}\n"
SLICE = "kind: EndpointSlice\nmetadata: {name: web, labels: {kubernetes.io/service-name: web}}\n"


def test_documents_and_lists() -> None:
    content = read(SEVERAL)
    assert content.findings.problems == content.findings.warnings == []
    assert content.findings.notes == [
        "not served, as they have no names in a cluster's DNS: 1 ConfigMap, 1 Deployment",
    ]
    assert {key: type(thing) for key, thing in content.objects.items()} == {
        (Kind.NAMESPACES, "", "shop"): Namespace,
        (Kind.SERVICES, "shop", "web"): Service,
        (Kind.ENDPOINTSLICES, "shop", "web-1"): EndpointSlice,
        (Kind.PODS, "default", "alone"): Pod,
    }


@pytest.mark.parametrize("indent", [None, 2, "\t"])
def test_json(indent: int | str | None) -> None:
    items = [
        {"kind": "Service", "metadata": {"name": "web"}, "spec": {"clusterIP": "10.0.0.1"}},
        {"kind": "Service", "metadata": {"name": "bad"}, "spec": 7},
    ]
    content = read(json.dumps({"kind": "List", "items": items}, indent=indent).encode(), json=True)
    assert list(content.objects) == [(Kind.SERVICES, "default", "web")]
    (problem,) = content.findings.problems
    assert "Service /bad: spec: expected a map, got 7" in problem
    assert problem.startswith("line 18: " if indent else "line 1: ")


def test_empty() -> None:
    assert read(b"") == read(b"---\n") == Content()


def test_a_byte_order_mark() -> None:
    text = '{"kind": "Namespace", "metadata": {"name": "büro"}}'
    for octets, as_json in ((text.encode("utf-8-sig"), True), (text.encode("utf-16"), False)):
        assert list(read(octets, json=as_json).objects) == [(Kind.NAMESPACES, "", "büro")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("kind: Service\nmetadata:\n  name: [web\n", "line 4: not YAML: "),
        ("kind: Service\n\tmetadata: x\n", "line 2: not YAML: "),
        ("- just\n- a list\n", "line 1: expected an object with kind and metadata, got a list"),
        ("metadata: {name: x}\n", "line 1: an object without kind"),
        ("kind: List\nitems:\n- kind: Service\n  metadata: {}\n", "line 4: Service /: metadata.name: is missing"),
        ("kind: Service\nspec: {}\n", "line 1: Service /: metadata: is missing"),
        ("kind: List\nitems: 7\n", "line 2: List: items: expected a list, got a number"),
        (
            "kind: Service\nmetadata:\n  name: 7\n",
            "line 3: Service /: metadata.name: expected text, got 7; put quotes around it",
        ),
        ("kind: Service\nmetadata:\n  name: ''\n", "line 3: Service /: metadata.name: has no name"),
        ("kind: Service\nmetadata: {name: web}\nspec: 7\n", "line 3: Service /web: spec: expected a map, got 7"),
        (SLICE + "endpoints: 7\n", "line 3: EndpointSlice /web: endpoints: expected a list, got 7"),
        ("kind: Pod\nmetadata: 7\n", "line 2: Pod /: metadata: expected a map, got 7"),
        ("name: shop\nversion: 1.0.0\n", "line 1: this is a Chart.yaml of Helm"),
        (
            "kind: Service\nmetadata:\n  name: {{ .Values.name }}\n",
            "line 3: this is a template (`{{`), as in Helm: expected objects, which `helm template CHART` prints",
        ),
        ("{{- if .Values.web }}\nkind: Service\n{{- end }}\n", "line 1: this is a template"),
        (".:53 {\n    errors\n    forward . /etc/resolv.conf\n}\n", "line 1: this is a Corefile"),
        ("$ORIGIN example.org.\n@ IN SOA ns hostmaster 1 2 3 4 5\n", "line 1: this is a DNS zone file"),
    ],
)
def test_problems_name_line_and_field(text: str, problem: str) -> None:
    content = read(text.encode())
    (said,) = content.findings.problems
    assert said.startswith(problem)
    assert not content.objects


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (
            SERVICE + "spec: {clusterIP: None, ports: [port: 1,\nport: x]}",
            "line 4: Service shop/web: spec.ports[1].port: expected a number from 1 to 65535, got `x`",
        ),
        (
            "kind: Service\nmetadata: {name: web}\nspec:\n  clusterIP: None\n  ports:\n  - {port: 99999}\n",
            "line 6: Service default/web: spec.ports[0].port: expected a number from 1 to 65535, got 99999",
        ),
        (
            "kind: Service\nmetadata: {name: web}\nspec:\n  clusterIP: None\n  ports: [{port: 80, protocol: TPC}]\n",
            "line 5: Service default/web: spec.ports[0].protocol: expected TCP, UDP or SCTP, got `TPC`",
        ),
        (
            "kind: Service\nmetadata: {name: web}\nspec:\n  clusterIP: None\n  ports: [{port: 0}]\n",
            "line 5: Service default/web: spec.ports[0].port: expected a number from 1 to 65535, got 0",
        ),
        *(
            (
                f"kind: Service\nmetadata: {{name: web}}\nspec:\n  type: ExternalName\n  externalName: '{target}'\n",
                f"line 5: Service default/web: spec.externalName: `{target[:60]}` is not a DNS name",
            )
            for target in ("www example org", "a..b", ".", ".".join(["a" * 60] * 6), "a" * 64, "x\ty")
        ),
        (
            "kind: Service\nmetadata: {name: web}\nspec:\n  clusterIP: 10.0.0.256\n",
            "line 4: Service default/web: spec.clusterIP: `10.0.0.256` is not an IP address",
        ),
        (
            "kind: Service\nmetadata: {name: web}\nspec:\n  clusterIPs:\n  - 10.0.0.1\n  - fd00:::1\n",
            "line 6: Service default/web: spec.clusterIPs[1]: `fd00:::1` is not an IP address",
        ),
        (
            "kind: Service\nmetadata: {name: web}\nspec: {type: ExternalName}\n",
            "line 3: Service default/web: spec.externalName: is missing",
        ),
        (
            "kind: Service\nmetadata: {name: web}\nspec: {type: ExternalName, externalName: 10.0.0.1}\n",
            "line 3: Service default/web: spec.externalName: `10.0.0.1` is an address: expected a DNS name",
        ),
        (
            "kind: Service\nmetadata: {name: web}\nspec: {type: Clusterip, clusterIP: 10.0.0.1}\n",
            "line 3: Service default/web: spec.type: expected ClusterIP, NodePort, LoadBalancer or ExternalName, got",
        ),
        (
            SLICE + "addressType: IPv4\nendpoints:\n- addresses: [10.1.1.1]\n- addresses: [fd00::1]\n",
            "line 6: EndpointSlice default/web: endpoints[1].addresses[0]: `fd00::1` is not a valid IPv4 address",
        ),
        (
            SLICE + "addressType: FQDN\nendpoints:\n- addresses: ['a..b']\n",
            "line 5: EndpointSlice default/web: endpoints[0].addresses[0]: `a..b` is not a valid DNS name",
        ),
        (
            SLICE + "addressType: ipv4\nendpoints:\n- addresses: [10.1.1.1]\n",
            "line 3: EndpointSlice default/web: addressType: expected IPv4, IPv6 or FQDN, got `ipv4`",
        ),
        (SLICE, "line 1: EndpointSlice default/web: addressType: expected IPv4, IPv6 or FQDN, got nothing"),
        (
            SLICE + "addressType: IPv4\nports:\n- {port: 80}\n- {port: x}\n",
            "line 6: EndpointSlice default/web: ports[1].port: expected a number from 1 to 65535, got `x`",
        ),
        (
            SLICE + "addressType: IPv4\nendpoints:\n- addresses: [10.1.1.1]\n  conditions: {ready: 'no'}\n",
            "line 6: EndpointSlice default/web: endpoints[0].conditions.ready: expected true or false, got `no`",
        ),
        (
            "kind: EndpointSlice\nmetadata: {name: web}\naddressType: IPv4\n",
            "line 2: EndpointSlice default/web: metadata.labels: kubernetes.io/service-name is missing",
        ),
        (
            "kind: Namespace\nmetadata:\n  name: x\n  labels:\n    a: 1\n",
            "line 5: Namespace x: metadata.labels.a: expected text, got 1; put quotes around it",
        ),
        ("kind: Namespace\nmetadata: {name: a.b}\n", "line 2: Namespace a.b: metadata.name: `a.b` is not a label"),
        (
            "kind: Pod\nmetadata: {name: p}\nstatus: {podIPs: [{ip: 10.0.0.1}, {ip: x}]}\n",
            "line 3: Pod default/p: status.podIPs[1].ip: `x` is not an IP address",
        ),
        (
            "kind: Namespace\nmetadata:\n  name: x\n  name: shop\n",
            "line 4: the key name is written twice; the last one counts",
        ),
        (
            "kind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}}\n",
            "Service default/web has no clusterIP, and so no address: only the API server assigns one",
        ),
    ],
)
def test_what_cannot_be_read_is_left_out_and_said(text: str, warning: str) -> None:
    content = read(text.encode())
    assert content.findings.problems == []
    (said,) = content.findings.warnings
    assert said.startswith(warning)
    assert len(content.objects) == 1


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("apiVersion: v1\nkind: Endpoints\nmetadata: {name: web}\n", "line 1: v1 Endpoints are not read, only"),
        ("kind: Namespace\nmetadata: {name: x}\n---\nkind: Ingress\n", "line 4: an Ingress has no name"),
        ("apiVersion: v1\nkind: Config\nclusters: []\n", "line 1: a kubeconfig holds no objects"),
        ("kind: Kustomization\nresources: [a.yaml]\n", "line 1: a kustomization describes objects"),
        *(
            (
                f"kind: {written}\nmetadata: {{name: web}}\n",
                f"line 1: there is no kind `{written}`: did you mean {meant}?",
            )
            for written, meant in [
                ("service", "Service"),
                ("Servcie", "Service"),
                ("Services", "Service"),
                ("Endpointslice", "EndpointSlice"),
                ("EndPointSlices", "EndpointSlice"),
                ("Pods", "Pod"),
                ("NameSpace", "Namespace"),
                ("list", "List"),
            ]
        ),
    ],
)
def test_what_is_taken_for_objects_is_named(text: str, warning: str) -> None:
    (said,) = read(text.encode()).findings.warnings
    assert said.startswith(warning)


@pytest.mark.parametrize(
    "kind", ["ServiceAccount", "ServiceMonitor", "ServiceExport", "PodMonitor", "PodTemplate", "Secret", "Deployment"]
)
def test_a_kind_of_its_own_is_no_slip(kind: str) -> None:
    findings = read(f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: web}}\n".encode()).findings
    assert findings.warnings == []
    assert findings.notes[0].endswith(f": 1 {kind}")


def test_a_kustomization_may_leave_out_its_kind() -> None:
    content = read(b"resources:\n- a.yaml\n", name="kustomization.yaml")
    assert content.findings.warnings[0].startswith("line 1: a kustomization describes objects")
    assert not content.findings.problems


def test_a_service_of_another_group_is_none() -> None:
    text = b"apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: web}\n"
    content = read(text)
    assert not content.objects
    assert content.findings.notes[0].endswith(": 1 Service of serving.knative.dev")
    assert read(b"apiVersion: discovery.k8s.io/v1\n" + SLICE.encode()).objects


def test_what_is_left_of_an_object_is_served_and_counted() -> None:
    text = (
        "kind: Service\nmetadata: {name: web}\nspec:\n  clusterIPs: [x, 10.0.0.1]\n"
        "  ports: [{port: a}, {port: 80}, {port: -1}, {name: web, port: 443}]\n"
        "---\nkind: Service\nmetadata: {name: db}\nspec: []\n"
    )
    content = read(text.encode())
    (web,) = content.objects.values()
    assert isinstance(web, Service)
    assert [port.port for port in web.spec.ports or ()] == [80, 443]
    assert content.findings.bad_values == {Kind.SERVICES: 3}
    assert content.findings.bad_objects == {Kind.SERVICES: 1}
    assert [said.split(": ")[2] for said in content.findings.warnings] == [
        "spec.clusterIPs[0]",
        "spec.ports[0].port",
        "spec.ports[2].port",
    ]


def test_services_without_address_are_told_in_one_warning() -> None:
    documents = "---\n".join(f"kind: Service\nmetadata: {{name: s{number}}}\n" for number in range(7))
    (said,) = read(documents.encode()).findings.warnings
    assert said.startswith(
        "7 Services (default/s0, default/s1, default/s2, default/s3, default/s4, ...) have no clusterIP"
    )


def test_no_file_says_more_than_a_few_things() -> None:
    text = "".join(f"kind: Namespace\nmetadata: {{name: {number}}}\n---\n" for number in range(1000))
    problems = read(text.encode()).findings.problems
    assert len(problems) == TOLD + 1
    assert problems[-1] == f"and {1000 - TOLD} more things that are not served"


def test_an_object_of_nothing_but_mistakes_is_given_up() -> None:
    ports = ", ".join("{port: x}" for _ in range(10_000))
    content = read(f"kind: Service\nmetadata: {{name: web}}\nspec: {{ports: [{ports}]}}\n".encode())
    assert not content.objects
    assert content.findings.problems


def test_json_problems_have_lines() -> None:
    content = read(b'{\n "kind": "List",\n "items": [\n  {,}\n ]\n}', json=True)
    assert not content.findings.readable
    assert content.findings.problems[0].startswith("line 4: ")
    assert read(b'{"kind": "List", "items": [', json=True).findings.problems[0].startswith("line 1: ")
    assert not read(b'{"kind": "\xff"}', json=True).findings.readable
    assert read(b"[" * 100_000, json=True).findings.problems == ["line 1: nested too deeply"]


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 1_000_000,
        b'{"a":' * 500_000,
        b'{"kind": "List", "items": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"kind": "List", "items": [' + b"{}," * 200_000 + b"{}]}",
        b'{"kind": ' + b"9" * 1_000_000 + b"}",
        b'{"kind": 1e' + b"9" * 1_000_000 + b"}",
        b'{"kind": "' + b"\\u0041" * 200_000 + b'"}',
        b'{"kind": "List", "items": [' + b",".join(b'{"kind": "K%d"}' % n for n in range(20_000)) + b"]}",
        b'{"kind": "Service", "metadata": {"name": "' + b"x" * 200_000 + b'"}}',
        b'{"kind": "Service", "metadata": {"name": "x"}, "spec": {"type": "' + b"x" * 200_000 + b'"}}',
        b'{"kind": "' + b"x" * 200_000 + b'List", "items": 1}',
        b"{" + b",".join(b'"%d": 1' % number for number in range(100_000)) + b"}",
    ],
    ids=lambda text: text[:20].decode(),
)
def test_a_bomb_in_json_is_refused_at_once(text: bytes) -> None:
    """Anything that is nested, long or numerous takes little time, and the message about it is short."""
    begun = time.process_time()
    content = read(text, json=True)
    assert time.process_time() - begun < 5
    assert len(content.objects) <= 1
    assert sum(map(len, (*content.findings.problems, *content.findings.warnings, *content.findings.notes))) < 10_000


def test_the_last_of_duplicates_counts() -> None:
    one = "kind: Service\nmetadata: {name: web}\nspec: {clusterIP: 10.0.0.%d}\n"
    content = read(f"{one % 1}---\n{one % 2}".encode())
    assert content.findings.warnings == ["line 5: Service default/web is written twice; the last one counts"]
    (service,) = content.objects.values()
    assert isinstance(service, Service)
    assert service.spec.cluster_ip == "10.0.0.2"


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    [
        b"a" + b",a" * 30_000,
        b"a" + b", " * 30_000 + b"x",
        b"\n" * 30_000 + b"a {" + b"\n" * 30_000,
        b"a\t{" + b"\t" * 60_000,
    ],
    ids=["commas", "gaps", "lines", "tabs"],
)
def test_a_text_that_is_nearly_a_corefile_takes_no_longer_than_another(text: bytes) -> None:
    content = read(b"{\n" + text)
    assert not content.findings.readable
    assert not content.objects


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"kind: Service\n\tmetadata: x\n", "line 2: not YAML: found a tab, expected spaces"),
        (b"a:\n  b: 1\n\tc: 2\n", "line 3: not YAML: found a tab, expected spaces"),
        (b"a: @x\n", "line 1: not YAML: found @, with which no value begins; expected it in quotation marks"),
    ],
)
def test_a_character_that_yaml_does_not_take_is_named(text: bytes, said: str) -> None:
    assert read(text).findings.problems == [said]


@pytest.mark.parametrize(
    ("kind", "name", "namespace", "warned"),
    [
        ("Service", "My_Svc", "shop", 1),
        ("Service", "web", "Shop", 1),
        ("Service", "web-2", "shop-2", 0),
        ("EndpointSlice", "web.two-x1", "shop", 0),
        ("EndpointSlice", "web", "sh_op", 1),
    ],
)
def test_a_name_that_kubernetes_does_not_take_is_told_and_served(
    kind: str, name: str, namespace: str, warned: int
) -> None:
    spec = "spec: {clusterIP: 10.0.0.1}" if kind == "Service" else "addressType: IPv4\nendpoints: []"
    content = read(f"kind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\n{spec}\n".encode())
    assert sum("is not a name that Kubernetes accepts" in text for text in content.findings.warnings) == warned
    assert len(content.objects) == 1
