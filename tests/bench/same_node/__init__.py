"""Pods that ask the DNS server of their own node, by `manifests/same-node`; `__main__` says what is measured.

`place` keeps all that runs together, `plane` is the control plane, `nodes` are the nodes, `kubelet` and `pod` are in
the place of kubelet and container runtime, `servers` are what is deployed, `scenes` is what happens to it.
"""
