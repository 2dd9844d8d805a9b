"""The page on admin HTTP, and the JSON that it is made of: what a person wants to see of a running server.

Promises: what is shown was true within the last seconds; nothing is asked of the world; one request holds the event
loop for few milliseconds, whatever the size of the cluster. Must not know who counts what, nor who answers a question.
"""
