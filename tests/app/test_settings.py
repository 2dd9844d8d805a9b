"""The configuration in the form that the parts need: each part knows every word that its settings allow."""

from typing import get_args

import msgspec
import pytest

from dnsserver.app.settings import routes
from dnsserver.config import Config, Upstream, model
from dnsserver.forward.settings import Policy, Transport


@pytest.mark.parametrize("policy", sorted({*get_args(model.Policy), *Policy}))
def test_every_policy_is_a_word_of_the_setting_and_the_forwarders(policy: str) -> None:
    forwarding = msgspec.convert({"policy": policy}, model.Forwarding)
    assert routes(Config(forwarding=forwarding))[0].policy is Policy(policy)


@pytest.mark.parametrize("transport", Transport)
def test_every_transport_is_a_scheme_of_an_upstream(transport: Transport) -> None:
    name = "#dns.example" if transport is Transport.TLS else ""
    upstream = Upstream.parse(f"{transport}://192.0.2.1{name}")
    assert routes(Config(upstreams=(upstream,)))[0].upstreams[0].transport is transport
