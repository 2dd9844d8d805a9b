"""The Kubernetes API, or files with its objects, as a stream of zone events.

Promises: every object of a kind that the API has is Put, and every object that is gone is Removed. A full list is
between ListStarted and ListDone. Nothing older ever follows something newer. Credentials are read by the `kubernetes`
package in a process of its own. HTTP is spoken through httpcore2. Work is done in steps, and between them other tasks
run.
Must not know answers, sockets of clients, or what a zone does with an event.

The way of an event: `api.Client.watch` reads a JSON line, `reflector.Reflector` turns it into an event and passes it to
`apply`. `objects.ObjectFiles` does the same for files. `credentials` says how to reach the API, `loader` is the process
that asks the `kubernetes` package, and `decode` is the border at which an object that makes no sense stops.
"""
