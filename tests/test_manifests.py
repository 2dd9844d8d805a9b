"""Each overlay of manifests/, rendered: the API would take it, its parts fit, and it may do only what it must.

The example that a user copies is one of them; test_components.py has what may be added to them.
"""

import json
import re
import textwrap
from pathlib import Path

import pytest

from dnsserver.app.node_guardian import READY
from dnsserver.cli import cli
from dnsserver.config import Address, Config, Override, ServiceName, load
from tests.deployment import (
    MANIFESTS,
    OWNED,
    ROOT,
    Manifest,
    asked_for,
    built,
    complaint,
    container,
    led_to,
    of_kind,
    owned,
    pod,
    pod_labels,
    rendered,
    rights,
    title,
    workload,
)

OVERLAYS = ["base", "shadow", "replace", "same-node", "node-local", "example"]
UNPRIVILEGED = {"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> list[Manifest]:
    return rendered(request.param)


def test_the_api_would_take_each_object(overlay: list[Manifest]) -> None:
    assert [text for text in map(complaint, overlay) if text] == []


def test_everything_is_named_once_and_in_one_namespace(overlay: list[Manifest]) -> None:
    names = [title(manifest) for manifest in overlay]
    assert len(set(names)) == len(names)
    placed = {
        manifest["metadata"].get("namespace") for manifest in overlay if not manifest["kind"].startswith("Cluster")
    }
    assert placed == {"kube-system"}


def test_it_may_do_what_the_program_asks_for_and_nothing_else(overlay: list[Manifest]) -> None:
    (role,) = of_kind(overlay, "ClusterRole")
    assert rights(role) == asked_for(Config())
    assert of_kind(overlay, "Role") == []


def test_the_role_is_bound_to_the_account_that_the_pod_runs_as(overlay: list[Manifest]) -> None:
    (account,) = of_kind(overlay, "ServiceAccount")
    (role,) = of_kind(overlay, "ClusterRole")
    (binding,) = of_kind(overlay, "ClusterRoleBinding")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert [(s["name"], s["namespace"]) for s in binding["subjects"]] == [(account["metadata"]["name"], "kube-system")]
    assert pod(overlay)["serviceAccountName"] == account["metadata"]["name"]
    assert pod(overlay)["automountServiceAccountToken"] is True


def test_every_selector_finds_the_pods(overlay: list[Manifest]) -> None:
    selectors = [workload(overlay)["spec"]["selector"]["matchLabels"]]
    selectors += [budget["spec"]["selector"]["matchLabels"] for budget in of_kind(overlay, "PodDisruptionBudget")]
    selectors += [service["spec"]["selector"] for service in of_kind(overlay, "Service")]
    selectors += [
        spread["labelSelector"]["matchLabels"] for spread in pod(overlay).get("topologySpreadConstraints", [])
    ]
    for selector in selectors:
        assert selector
        assert selector.items() <= pod_labels(overlay).items()


def test_no_overlay_selects_the_pods_of_another() -> None:
    for one in OWNED:
        selector = workload(rendered(one))["spec"]["selector"]["matchLabels"]
        found = [other for other in ["base", *OWNED] if selector.items() <= pod_labels(rendered(other)).items()]
        # Both are the cluster's DNS server, behind one Service, and one of them is there at a time.
        assert found == (["replace", "same-node"] if one in {"replace", "same-node"} else [one])


def test_probes_and_services_reach_ports_that_exist(overlay: list[Manifest]) -> None:
    if pod(overlay).get("hostNetwork"):
        pytest.skip("without ports: see the test of its own")
    ports = {(port["containerPort"], port["protocol"]) for port in container(overlay)["ports"]}
    names = {port["name"] for port in container(overlay)["ports"]}
    probes = [container(overlay)[probe]["httpGet"] for probe in ("readinessProbe", "livenessProbe")]
    assert [(probe["path"], probe["port"]) for probe in probes] == [("/readyz", "admin"), ("/healthz", "admin")]
    assert "admin" in names
    for service in of_kind(overlay, "Service"):
        served = {(port["name"], port["port"], port["protocol"]) for port in service["spec"]["ports"]}
        assert served == {("dns", 53, "UDP"), ("dns-tcp", 53, "TCP"), ("metrics", 9153, "TCP")}
        assert {(port["targetPort"], port["protocol"]) for port in service["spec"]["ports"]} == ports


def test_the_flags_listen_where_the_ports_are(overlay: list[Manifest]) -> None:
    arguments = container(overlay)["args"]
    ports = {port["name"]: port["containerPort"] for port in container(overlay).get("ports", [])}
    ports = ports or {"dns": 53, "dns-tcp": 53, "admin": 9253}
    assert arguments[0] == "serve"
    listening = {int(a.rpartition(":")[2]) for a in arguments if a.startswith("--listen=")}
    admin = {int(a.rpartition(":")[2]) for a in arguments if a.startswith("--admin=")}
    assert listening == {ports["dns"]} == {ports["dns-tcp"]} == {53}
    assert admin == {ports["admin"]}


def test_port_53_is_bound_by_the_sysctl_of_the_pod_or_by_the_capability_on_the_node(overlay: list[Manifest]) -> None:
    context = {**pod(overlay)["securityContext"], **container(overlay)["securityContext"]}
    on_node = pod(overlay).get("hostNetwork", False)
    assert context.get("sysctls", []) == ([] if on_node else [UNPRIVILEGED])  # Kubernetes takes no net.* for the node
    assert context["capabilities"] == {"drop": ["ALL"], **({"add": ["NET_BIND_SERVICE"]} if on_node else {})}
    assert context["runAsNonRoot"] is not on_node  # a capability in `add` reaches root only
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def mounts_by_volume(overlay: list[Manifest]) -> dict[str, tuple[Manifest, str]]:
    """Each volume with the path it is mounted at."""
    paths = {mount["name"]: mount["mountPath"] for mount in container(overlay)["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod(overlay)["volumes"]}
    assert (
        paths.keys() == volumes.keys() == {"config", "state"} | ({"run"} if pod(overlay).get("hostNetwork") else set())
    )
    return {name: (volumes[name], paths[name]) for name in paths}


def test_the_config_map_is_mounted_as_a_folder_where_the_flag_looks(overlay: list[Manifest]) -> None:
    (config,) = of_kind(overlay, "ConfigMap")
    volume, path = mounts_by_volume(overlay)["config"]
    assert "dnsserver.toml" in config["data"]
    assert volume["configMap"] == {"name": config["metadata"]["name"]}  # all of its files
    assert f"--config={path}/dnsserver.toml" in container(overlay)["args"]
    # What is mounted by subPath, and a name that changes with what it holds, would never reload.
    assert not any("subPath" in mount for mount in container(overlay)["volumeMounts"])
    assert config["metadata"]["name"] in {"dnsserver", "dnsserver-shadow", "dnsserver-node"}


@pytest.mark.parametrize("name", OWNED)
def test_the_config_map_is_the_file(name: str) -> None:
    (config,) = of_kind(rendered(name), "ConfigMap")
    assert config["data"] == {"dnsserver.toml": (ROOT / "zones/dnsserver.toml").read_text()}


@pytest.mark.parametrize(
    ("name", "service"),
    [
        ("shadow", "dnsserver-shadow"),
        ("replace", "kube-dns"),
        ("same-node", "kube-dns"),
        ("node-local", "kube-dns"),
        ("example", "dnsserver-shadow"),
    ],
)
def test_the_configuration_is_valid_and_names_the_service_that_leads_here(
    name: str, service: str, tmp_path: Path
) -> None:
    (config,) = of_kind(rendered(name), "ConfigMap")
    for file, text in config["data"].items():
        (tmp_path / file).write_text(text)
    flags = dict(argument[2:].split("=") for argument in container(rendered(name))["args"] if "=" in argument)
    overrides = {"service": Override("--service", flags["service"])} if "service" in flags else {}
    assert load(tmp_path / "dnsserver.toml", overrides).service == ServiceName("kube-system", service)
    assert [each["metadata"]["name"] for each in of_kind(rendered(name), "Service")] in ([service], [])


def test_the_state_has_a_place_that_the_user_may_write(overlay: list[Manifest]) -> None:
    volume, path = mounts_by_volume(overlay)["state"]
    if pod(overlay).get("hostNetwork"):  # root, who makes the folder; the next pod finds it
        assert volume["hostPath"] == {"path": "/var/lib/dnsserver", "type": "DirectoryOrCreate"}
        assert container(overlay)["securityContext"]["runAsUser"] == 0
    else:
        assert volume["emptyDir"].keys() == {"sizeLimit"}
    assert pod(overlay)["securityContext"]["fsGroup"] == pod(overlay)["securityContext"]["runAsGroup"]
    assert f"--state={path}" in container(overlay)["args"]


def test_a_pod_that_ends_has_time_to_drain(overlay: list[Manifest]) -> None:
    assert pod(overlay)["terminationGracePeriodSeconds"] > load(ROOT / "zones/dnsserver.toml").drain + 5


def test_memory_is_limited_and_processor_time_is_not(overlay: list[Manifest]) -> None:
    for each in [*pod(overlay)["containers"], *pod(overlay).get("initContainers", [])]:
        assert each["resources"]["limits"].keys() == {"memory"}
        assert each["resources"]["requests"].keys() == {"cpu", "memory"}


def test_upstreams_are_those_of_the_node(overlay: list[Manifest]) -> None:
    assert pod(overlay)["dnsPolicy"] == "Default"
    assert pod(overlay)["priorityClassName"].startswith("system-")


@pytest.mark.parametrize("name", ["shadow", "replace"])
def test_an_update_never_leaves_fewer_to_answer(name: str) -> None:
    deployment = workload(rendered(name))
    assert deployment["spec"]["replicas"] >= 2
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    (budget,) = of_kind(rendered(name), "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1
    spread = {s["topologyKey"]: s["whenUnsatisfiable"] for s in pod(rendered(name))["topologySpreadConstraints"]}
    assert spread["kubernetes.io/hostname"] == "DoNotSchedule"


def test_the_shadow_touches_nothing_that_runs() -> None:
    (service,) = of_kind(rendered("shadow"), "Service")
    assert service["metadata"]["name"] == "dnsserver-shadow"
    assert "clusterIP" not in service["spec"]
    assert "k8s-app" not in pod_labels(rendered("shadow"))
    assert not {title(m) for m in rendered("shadow")} & {title(m) for m in rendered("replace")}


def test_replace_takes_the_name_the_address_and_the_label() -> None:
    (service,) = of_kind(rendered("replace"), "Service")
    assert service["metadata"]["name"] == "kube-dns"
    assert service["spec"]["clusterIP"] == "10.96.0.10"
    assert "ipFamilyPolicy" not in service["spec"]  # whatever the present one has
    assert pod_labels(rendered("replace"))["k8s-app"] == "kube-dns"
    # `kubeadm upgrade` wants one Deployment with the label, and README.md tells the Service apart by it.
    labelled = [title(m) for m in rendered("replace") if "k8s-app" in m["metadata"]["labels"]]
    assert labelled == ["Service/kube-dns"]
    # What stays of the old selector when `kubectl apply` merges is in the new one, and the old pods do not fit it.
    old = {"k8s-app": "kube-dns"}
    merged = {**old, **service["spec"]["selector"]}
    assert merged == service["spec"]["selector"]
    assert merged.items() > old.items()


def test_on_every_node_pods_ask_the_pod_of_their_own_node() -> None:
    """Only the kind, what it needs of a node, and the Service differ from the overlay that replaces the present DNS."""
    overlay, replace = rendered("same-node"), rendered("replace")
    assert workload(overlay)["kind"] == "DaemonSet"
    (service,) = of_kind(overlay, "Service")
    (plain,) = of_kind(replace, "Service")
    assert service == {**plain, "spec": {**plain["spec"], "trafficDistribution": "PreferSameNode"}}
    assert of_kind(overlay, "PodDisruptionBudget") == []
    assert workload(overlay)["spec"]["updateStrategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    differing = {"priorityClassName", "tolerations", "topologySpreadConstraints", "containers"}
    same = pod(replace).keys() - differing
    assert {key: pod(overlay)[key] for key in same} == {key: pod(replace)[key] for key in same}
    assert pod(overlay).keys() - same == differing - {"topologySpreadConstraints"}
    assert "hostNetwork" not in pod(overlay)
    assert not any(
        "hostPort" in port for port in container(overlay)["ports"]
    )  # two pods share the node while it updates
    resources = {**container(replace)["resources"], "requests": {"cpu": "25m", "memory": "64Mi"}}
    sooner = {**container(replace)["readinessProbe"], "timeoutSeconds": 1}  # as other nodes answer for it
    assert container(overlay) == {**container(replace), "resources": resources, "readinessProbe": sooner}


def test_the_node_local_server_is_on_the_network_of_the_node() -> None:
    overlay = rendered("node-local")
    assert workload(overlay)["kind"] == "DaemonSet"
    assert pod(overlay)["hostNetwork"] is True
    assert of_kind(overlay, "Service") == of_kind(overlay, "PodDisruptionBudget") == []
    server = container(overlay)
    listening = [argument.partition("=")[2] for argument in server["args"] if argument.startswith("--listen=")]
    assert listening == ["169.254.20.10:53", "10.96.0.10:53"]
    assert [service["spec"]["clusterIP"] for service in of_kind(rendered("replace"), "Service")] == ["10.96.0.10"]
    # Probes without a host go to the pod's address, which on this network is the node's.
    assert "--admin=$(HOST_IP):9253" in server["args"]
    assert server["env"] == [{"name": "HOST_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}]
    for probe in ("readinessProbe", "livenessProbe"):
        assert (server[probe]["httpGet"]["port"], "host" in server[probe]["httpGet"]) == (9253, False)
    assert server["livenessProbe"]["terminationGracePeriodSeconds"] == 5


def test_an_update_of_a_node_has_both_pods_beside_each_other() -> None:
    overlay = rendered("node-local")
    assert workload(overlay)["spec"]["updateStrategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    # On the node's network each port would be a host port, and the scheduler leaves no second pod where they are taken.
    assert not any("ports" in each for each in pod(overlay)["containers"])
    flags = dict(argument[2:].split("=") for argument in container(overlay)["args"] if "=" in argument)
    _, state = mounts_by_volume(overlay)["state"]
    _, run = mounts_by_volume(overlay)["run"]
    assert Path(flags["takeover"]).parent == Path(state)
    assert flags["guardian"] == run
    assert container(overlay)["startupProbe"]["exec"]["command"] == ["test", "-e", f"{run}/{READY}"]
    requests = [each["resources"]["requests"] for each in pod(overlay)["containers"]]
    assert sum(int(each["cpu"].removesuffix("m")) for each in requests) == 25
    assert sum(int(each["memory"].removesuffix("Mi")) for each in requests) == 64


def test_the_guardian_of_the_node_is_of_the_same_image_and_guards_where_the_server_listens() -> None:
    overlay = rendered("node-local")
    server, guardian = container(overlay), container(overlay, "guardian")
    assert (guardian["image"], guardian["imagePullPolicy"]) == (server["image"], server["imagePullPolicy"])
    command, *arguments = guardian["args"]
    given = cli.commands[command].make_context(command, list(arguments)).params
    assert [f"--listen={address}:53" for address in (*given["own"], *given["cluster"])] == [
        argument for argument in server["args"] if argument.startswith("--listen=")
    ]
    assert given["metrics"] == "$(HOST_IP):9353"
    context = guardian["securityContext"]
    assert context["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}
    assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)


# --- What README.md says ----------------------------------------------------------------------------------------------


def test_the_example_sets_what_a_user_owns() -> None:
    example, plain = rendered("example"), rendered("shadow")
    assert {title(m) for m in example} == {title(m) for m in plain}
    assert container(example)["image"] != container(plain)["image"]
    assert workload(example)["spec"]["replicas"] != workload(plain)["spec"]["replicas"]
    assert of_kind(example, "ConfigMap")[0]["data"] != of_kind(plain, "ConfigMap")[0]["data"]


def test_what_the_example_has_commented_out_works_too() -> None:
    text = (MANIFESTS / "example/kustomization.yaml").read_text().replace("../shadow ", "../replace ")
    text = re.sub(r"^#(?=patches:|  - |    )", "", text, flags=re.MULTILINE)
    with owned() as folder:
        text = re.sub(r"^(  - )\.\.(?=/)", rf"\1{led_to('.', folder)}", text, flags=re.MULTILINE)
        (folder / "kustomization.yaml").write_text(text)
        for file in (MANIFESTS / "example").glob("*.toml"):
            (folder / file.name).write_text(file.read_text())
        example = built(folder)
    (service,) = of_kind(example, "Service")
    assert service["spec"]["clusterIP"] == "10.43.0.10"
    assert {"PodMonitor", "NetworkPolicy"} <= {manifest["kind"] for manifest in example}


@pytest.mark.parametrize("name", OWNED)
def test_one_image_is_all_there_is(name: str) -> None:
    with owned() as folder:
        images = [{"name": "dnsserver", "newName": "registry.example/dnsserver", "newTag": "1"}]
        own = {"resources": [led_to(name, folder)], "images": images}
        (folder / "kustomization.yaml").write_text(json.dumps(own))
        whole = pod(built(folder))
    containers = whole["containers"] + whole.get("initContainers", [])
    assert {each["image"] for each in containers} == {"registry.example/dnsserver:1"}


def told_patches() -> list[str]:
    """Each list of patches that README.md tells, as YAML."""
    text = (MANIFESTS / "README.md").read_text()
    return [textwrap.dedent(block) for block in re.findall(r"^(    patches:\n(?:     .*\n)+)", text, re.MULTILINE)]


@pytest.mark.parametrize("patches", told_patches())
def test_the_node_s_addresses_may_be_others_as_the_readme_says(patches: str) -> None:
    with owned() as folder:
        (folder / "kustomization.yaml").write_text(f"resources: [{led_to('node-local', folder)}]\n{patches}")
        overlay = built(folder)
    host = "fd00:7::1" if "fd00" in patches else "10.0.0.7"
    server, guardian = ([text.replace("$(HOST_IP)", host) for text in container(overlay, name)["args"]]
                        for name in ("dnsserver", "guardian"))  # fmt: skip
    plain = [each["name"] for each in pod(rendered("node-local"))["containers"]]
    assert [each["name"] for each in pod(overlay)["containers"]] == plain
    given = cli.commands[guardian[0]].make_context(guardian[0], guardian[1:]).params
    listening = [Address.parse(text.partition("=")[2]) for text in server if text.startswith("--listen=")]
    assert [Address(str(each), 53) for each in (*given["own"], *given["cluster"])] == listening
    (admin,) = [Address.parse(text.partition("=")[2]) for text in server if text.startswith("--admin=")]
    assert (admin, Address.parse(given["metrics"])) == (Address(host, 9253), Address(host, 9353))
    assert container(overlay, "guardian")["args"] != container(rendered("node-local"), "guardian")["args"]


def test_going_back_takes_all_but_the_service_of_the_cluster() -> None:
    (told,) = re.findall(r"kubectl delete -k manifests/replace -l '([^']*)'", (MANIFESTS / "README.md").read_text())
    key, value = told.split("!=")
    left = [title(m) for m in rendered("replace") if m["metadata"].get("labels", {}).get(key) == value]
    assert left == ["Service/kube-dns"]


def test_kubectl_is_told_to_apply_on_the_server_side() -> None:
    texts = [path.read_text() for path in MANIFESTS.rglob("*") if path.is_file()]
    told = [line for text in texts for line in re.findall(r"kubectl apply .*-k .*", text)]
    assert {overlay for line in told for overlay in re.findall(r"-k manifests/([\w-]+)", line)} == {*OWNED, "example"}
    assert [line for line in told if "--server-side" not in line] == []
