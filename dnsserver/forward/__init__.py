"""The outside: asks upstreams for names that this server does not know, and caches what they say.

Promises: every question has one outcome. Every failure is an outcome with a reason. Records of an upstream are used
only for names that are its own. `forwarder` is the entry: it returns what is known, joins an equal question, or asks
the upstreams. `answer_cache` keeps their answers. `outcome` is what all other packages see.
Must not know clients, what is answered here, or what a Kubernetes object is.
"""
