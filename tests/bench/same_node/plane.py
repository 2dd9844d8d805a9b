"""A control plane for an hour: etcd, an API server, and the controllers of DaemonSets and EndpointSlices.

The programs are those on PATH. Keys and tokens are made anew each time. Who may do what is decided by RBAC, so that the
server under test has the rights that its manifests give it and no others.
"""

import base64
import http.client
import json
import secrets
import subprocess
from pathlib import Path
from typing import Any

import trustme

from tests.bench.apiclient import ApiClient
from tests.bench.balancer import run
from tests.bench.processes import wait_until
from tests.bench.same_node.place import Place

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-proxy", "kubectl")
SYSTEM = "/api/v1/namespaces/kube-system"
KUBERNETES = "10.96.0.1"  # the Service `kubernetes`, which the API server makes itself
_ADDRESS, _PORT = "10.240.0.1", 6443
_ETCD, _PEERS = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
_SERVICES = "10.96.0.0/16"
_CONTROLLERS = "daemonset-controller,endpointslice-controller"
_ACCOUNT = Path("/run/secrets/kubernetes.io/serviceaccount")  # where a pod looks: /var/run is /run
_READY_WITHIN = 180.0


class Plane:
    """The control plane, from when its API server is ready."""

    def __init__(self, place: Place) -> None:
        self._place = place
        run("ip", "address", "add", f"{_ADDRESS}/32", "dev", "lo")
        self._authority = trustme.CA()
        self.kubeconfig = self._admin()
        self.client = ApiClient(self.kubeconfig)
        self._start_etcd()
        self._start_api()
        flags = [f"--kubeconfig={self.kubeconfig}", f"--controllers={_CONTROLLERS}", "--leader-elect=false"]
        place.start("controllers", ["kube-controller-manager", *flags])

    def apply(self, things: list[dict[str, Any]]) -> None:
        """Apply objects with `kubectl apply --server-side --force-conflicts`. Raises RuntimeError."""
        command = ["kubectl", "--kubeconfig", str(self.kubeconfig), "apply", "--server-side", "--force-conflicts"]
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": things})
        done = subprocess.run(
            [*command, "-f", "-"],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            env=self._place.environment,
        )
        if done.returncode:
            raise RuntimeError(f"kubectl apply: {done.stderr}")

    def let_in(self, account: str) -> None:
        """Give the pods of a ServiceAccount what a kubelet mounts: a token, and the authority of the API server."""
        path = f"{SYSTEM}/serviceaccounts/{account}/token"
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 7200}}
        granted = self.client.once("POST", path, asked)
        _ACCOUNT.mkdir(parents=True)
        (_ACCOUNT / "token").write_text(granted["status"]["token"])
        (_ACCOUNT / "namespace").write_text("kube-system")
        self._authority.cert_pem.write_to_path(str(_ACCOUNT / "ca.crt"))

    def _admin(self) -> Path:
        """Make the tokens, and the kubeconfig of somebody who may do everything."""
        token = secrets.token_hex(16)
        (self._place.folder / "tokens").write_text(f'{token},admin,admin,"system:masters"\n')
        authority = base64.b64encode(self._authority.cert_pem.bytes()).decode()
        cluster = {"server": f"https://{_ADDRESS}:{_PORT}", "certificate-authority-data": authority}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": token}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path = self._place.folder / "kubeconfig"
        path.write_text(json.dumps(config))
        return path

    def _start_etcd(self) -> None:
        flags = [f"--data-dir={self._place.folder / 'etcd'}", "--unsafe-no-fsync", "--log-level=warn"]
        flags += [f"--listen-client-urls={_ETCD}", f"--advertise-client-urls={_ETCD}", f"--listen-peer-urls={_PEERS}"]
        self._place.start("etcd", ["etcd", *flags])

    def _start_api(self) -> None:
        folder = self._place.folder
        served, accounts = self._authority.issue_cert(_ADDRESS, KUBERNETES), self._authority.issue_cert("accounts")
        served.private_key_pem.write_to_path(str(folder / "api.key"))
        for part in served.cert_chain_pems:
            part.write_to_path(str(folder / "api.crt"), append=True)
        accounts.private_key_pem.write_to_path(str(folder / "accounts.key"))
        flags = [f"--etcd-servers={_ETCD}", f"--advertise-address={_ADDRESS}", f"--secure-port={_PORT}"]
        flags += [f"--tls-cert-file={folder / 'api.crt'}", f"--tls-private-key-file={folder / 'api.key'}"]
        flags += [f"--cert-dir={folder}", f"--token-auth-file={folder / 'tokens'}", "--authorization-mode=RBAC"]
        flags += [f"--service-account-signing-key-file={folder / 'accounts.key'}"]
        flags += [f"--service-account-key-file={folder / 'accounts.key'}"]
        flags += ["--service-account-issuer=https://kubernetes.default.svc", f"--service-cluster-ip-range={_SERVICES}"]
        process = self._place.start("api", ["kube-apiserver", *flags])
        wait_until(lambda: self._is_ready() or process.poll() is not None, "a ready API server", _READY_WITHIN)
        if process.poll() is not None:
            raise RuntimeError(f"kube-apiserver ended with {process.returncode}")

    def _is_ready(self) -> bool:
        connection = self.client.connect()
        try:
            return self.client.ask(connection, "GET", "/readyz") == "ok"
        except (OSError, RuntimeError, http.client.HTTPException):
            return False
        finally:
            connection.close()
