"""The outside: what upstreams say of names that nobody here knows, and what they said.

Promises: every question has one outcome, and every failure is an outcome with a reason; an upstream's records are
believed only as far as it may speak. `forwarder` is the door: it gives what is known, joins who asks the same, or has
the upstreams asked; `answer_cache` keeps what they said; `outcome` is what everybody else sees of all this.
Must not know clients, what is answered here, or what a Kubernetes object is.
"""
