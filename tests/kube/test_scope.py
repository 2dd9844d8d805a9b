"""Settings become scopes, and scopes become paths and RBAC rules."""

import pytest

from dnsserver.kube.scope import Scope, rbac_rule, scopes_of
from dnsserver.zone.model import Kind


@pytest.mark.parametrize(
    ("scope", "path", "group"),
    [
        (Scope(Kind.NAMESPACES), "/api/v1/namespaces", ""),
        (Scope(Kind.SERVICES), "/api/v1/services", ""),
        (Scope(Kind.SERVICES, "shop"), "/api/v1/namespaces/shop/services", ""),
        (Scope(Kind.ENDPOINTSLICES), "/apis/discovery.k8s.io/v1/endpointslices", "discovery.k8s.io"),
        (
            Scope(Kind.ENDPOINTSLICES, "shop"),
            "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices",
            "discovery.k8s.io",
        ),
        (Scope(Kind.PODS, "shop"), "/api/v1/namespaces/shop/pods", ""),
    ],
)
def test_paths(scope: Scope, path: str, group: str) -> None:
    assert (scope.path, scope.group) == (path, group)


def test_scopes_of_settings() -> None:
    assert scopes_of(Kind.SERVICES) == (Scope(Kind.SERVICES),)
    assert scopes_of(Kind.SERVICES, namespaces=["a", "b"], labels="x=y", namespace_labels="z") == (
        Scope(Kind.SERVICES, "a", "x=y"),
        Scope(Kind.SERVICES, "b", "x=y"),
    )
    assert scopes_of(Kind.NAMESPACES, labels="x=y", namespace_labels="z") == (Scope(Kind.NAMESPACES, labels="z"),)
    assert scopes_of(Kind.NAMESPACES, namespaces=["a"]) == (Scope(Kind.NAMESPACES, fields="metadata.name=a"),)


def test_rules() -> None:
    rule = 'apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: ["list", "watch"]'
    assert rbac_rule(Scope(Kind.ENDPOINTSLICES)) == rule
