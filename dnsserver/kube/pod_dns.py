"""The DNS part of a pod's spec: policy, nameservers, search list, options, and names in its /etc/hosts."""

import msgspec


class PodDns(msgspec.Struct, frozen=True):
    """The fields of a pod that its resolv.conf and its /etc/hosts are made of."""

    namespace: str
    name: str = ""
    policy: str = "ClusterFirst"
    host_network: bool = False
    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()
    hostname: str = ""
    subdomain: str = ""
    address: str = ""

    def hosts(self, domain: str) -> tuple[tuple[str, str], ...]:
        """Return the names that its /etc/hosts has beside those of loopback, each with its address."""
        own: list[tuple[str, str]] = []
        if self.name and self.address and not self.host_network:
            hostname = (self.hostname or self.name)[:63]
            own.append((hostname, self.address))
            if self.subdomain:
                own.append((f"{hostname}.{self.subdomain}.{self.namespace}.svc.{domain}", self.address))
        return (*own, *self.aliases)


class _Option(msgspec.Struct):
    name: str = ""
    value: str | None = None


class _Config(msgspec.Struct):
    nameservers: list[str] | None = None
    searches: list[str] | None = None
    options: list[_Option] | None = None


class _Alias(msgspec.Struct):
    ip: str = ""
    hostnames: list[str] | None = None


class _Spec(msgspec.Struct, rename="camel"):
    dns_policy: str = ""
    host_network: bool = False
    dns_config: _Config | None = None
    host_aliases: list[_Alias] | None = None
    hostname: str = ""
    subdomain: str = ""


class _Status(msgspec.Struct):
    pod_ip: str = msgspec.field(name="podIP", default="")


class _Metadata(msgspec.Struct):
    name: str
    namespace: str = "default"


class _Pod(msgspec.Struct):
    metadata: _Metadata
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


def of_json(text: bytes | msgspec.Raw) -> PodDns:
    """Return what a Pod in JSON says. Raises msgspec.MsgspecError."""
    return _of(msgspec.json.decode(text, type=_Pod))


def of_parsed(parsed: object) -> PodDns:
    """Return what a Pod says that was read from YAML. Raises msgspec.MsgspecError."""
    return _of(msgspec.convert(parsed, _Pod))


def _of(pod: _Pod) -> PodDns:
    spec, config = pod.spec, pod.spec.dns_config or _Config()
    return PodDns(
        pod.metadata.namespace,
        pod.metadata.name,
        spec.dns_policy or "ClusterFirst",
        spec.host_network,
        tuple(config.nameservers or ()),
        tuple(config.searches or ()),
        tuple(
            option.name if option.value is None else f"{option.name}:{option.value}"
            for option in config.options or ()
            if option.name
        ),
        tuple((name, alias.ip) for alias in spec.host_aliases or () for name in alias.hostnames or ()),
        spec.hostname,
        spec.subdomain,
        pod.status.pod_ip,
    )
