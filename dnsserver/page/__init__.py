"""The page on admin HTTP, and the JSON from which it is made: what a person wants to see of a running server.

Promises: what is shown was true within the last seconds. Nothing is asked outside. One request holds the event loop for
a few milliseconds, whatever the size of the cluster. Must not know who counts what, nor who answers a question.
"""
