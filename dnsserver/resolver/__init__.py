"""Which source answers a question, and what is kept: rules, the chain of sources, search lists, finished replies.

Promises: a reply from the reply cache is what the server would answer now. `chain` asks the sources, and `search`
completes pods' search lists. `rules` come before all sources, if there are any. `reply_cache` keeps finished replies
and the keys on which they depend; `altered` says which of them a change of the configuration affects. Answers from
outside come from `forward`.
Must not know clients, sockets, or what a Kubernetes object is.
"""
