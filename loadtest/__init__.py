"""A load tool for DNS servers: asks many questions at once and says how fast, how late and how well they were answered.

What it promises:

* every question is encoded before the first one is sent, so the figures are the server's and not the encoder's;
* every reply is matched by socket, ID and question; what does not match is counted and never timed;
* in closed loop (so many outstanding) latency runs from the send; in open loop (so many a second) it runs from the
  moment the question was due, so a stalled server, or this tool falling behind, shows in the percentiles and cannot
  hide by holding later questions back; the shortfall of the rate is reported;
* its own cost is in the report: processor time a query, replies its kernel dropped, how late its sends left.

One process, one thread, one loop (`run`): no task a query and no object a packet. It knows nothing of the server under
test but its address, and shares no code with it.

The way of a run through the modules: `cli` reads the options; `questions`, `inventory` and `mixes` give the questions;
`deck` holds them as bytes; `measure` sets up a `run`, which paces them over the clients of `udp` (with `mmsg` where the
kernel has it) or `tcp`, whose IDs are kept in `outstanding`, and whose odd replies are judged in `match`; `tally` and
`histogram` count; `report` prints, with the processor times of `cost`.
"""
