"""What to list and watch: which kind, in which namespaces, chosen by which labels."""

from collections.abc import Sequence

import msgspec

from dnsserver.zone.model import Kind

_GROUPS = {
    Kind.NAMESPACES: ("/api/v1", ""),
    Kind.SERVICES: ("/api/v1", ""),
    Kind.ENDPOINTSLICES: ("/apis/discovery.k8s.io/v1", "discovery.k8s.io"),
    Kind.PODS: ("/api/v1", ""),
}


_NAME = "metadata.name="


class Scope(msgspec.Struct, frozen=True):
    """Which objects one list and one watch are about: a kind, in one namespace or in all, cut down by selectors."""

    kind: Kind
    namespace: str = ""
    labels: str = ""
    fields: str = ""

    @property
    def path(self) -> str:
        """Return the path of the URL."""
        root, _ = _GROUPS[self.kind]
        return f"{root}/namespaces/{self.namespace}/{self.kind}" if self.namespace else f"{root}/{self.kind}"

    @property
    def about(self) -> str:
        """Return the one namespace that it is about, or of which it has all objects; empty for all namespaces."""
        return self.fields.removeprefix(_NAME) if self.fields.startswith(_NAME) else self.namespace

    @property
    def group(self) -> str:
        """Return the API group as RBAC rules name it."""
        return _GROUPS[self.kind][1]


def scopes_of(
    kind: Kind, *, namespaces: Sequence[str] = (), labels: str = "", namespace_labels: str = ""
) -> tuple[Scope, ...]:
    """Return what to list and watch of a kind, for the settings that CoreDNS gives these names.

    Named namespaces are watched one by one, so that a Role in each of them is enough. Pods that have ended are left out
    by the server.
    """
    if kind is Kind.NAMESPACES:
        if namespaces:
            return tuple(Scope(kind, labels=namespace_labels, fields=f"{_NAME}{namespace}") for namespace in namespaces)
        return (Scope(kind, labels=namespace_labels),)
    fields = "status.phase!=Succeeded,status.phase!=Failed" if kind is Kind.PODS else ""
    return tuple(Scope(kind, namespace, labels, fields) for namespace in namespaces or ("",))


def rbac_rule(scope: Scope) -> str:
    """Return the rule that a Role or ClusterRole lacks, as it stands in YAML."""
    return f'apiGroups: ["{scope.group}"], resources: ["{scope.kind}"], verbs: ["list", "watch"]'
