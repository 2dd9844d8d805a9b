"""Questions to answers: the chain of sources, the caches, and the upstreams for what nobody here knows.

Promises: every question has one outcome, and every failure is an outcome with a reason; a reply that the reply cache
gives is what the server would answer now; an upstream's records are believed only as far as it may speak. `chain` asks
the sources and `search` completes pods' search lists; `reply_cache` holds finished replies and what they depend on;
`forward` asks upstreams through `exchange` and the transports, `cache` keeps what they said.
Must not know clients, sockets of clients, or what a Kubernetes object is.
"""
