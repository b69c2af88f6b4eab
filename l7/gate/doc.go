// Package gate decides what becomes of an HTTP request, and keeps its books:
// who asks, which service and which backend serve it, whether it is tried again,
// what its heads read like on the other side, how it is recorded. It opens no
// socket, starts no goroutine and reads no clock: a driver moves the bytes, tells
// what happens and when, and does as is decided. Drivers in event loops and
// drivers that are straight-line code in a goroutine use the same calls.
//
// A [Gate] is a listener's, a [Client] a connection's, a [Ticket] a request's.
//
// # What a driver calls
//
// Of a connection, once: [Gate.Client]. Of a request, in this order; each step that
// decides says what is next ([Decision]):
//
//	Begin                              the head has come, or cannot come any more
//	Req.Parse (or Req.Check)           a Fault:     Malformed -> Answer
//	Judge                              route, limits, origin: Forward or Answer
//	Authorise                          Await:       Verify(done), then Verified
//	  ContinueBody                     the client waits for a 100 Continue
//	  Arrived                          when all of the request is there; Judge does
//	                                   so for a request without a body
//	  BodyTooLarge                     of a body whose length was not known
//	Admit                              Forward, or Answer if the service is full
//	  Copy                             with what there is of the body, if Copying
//	Pick                               <--------------------------------------+
//	  Await:   Await; then Woken, and Pick again, or LeaveQueue and           |
//	           Overdue(NoSlot) when QueueTime is over                         |
//	  Answer:  nobody is there                                                |
//	  Forward: Backend's slot is held; connect to it within Limits, or use an |
//	           idle connection if MayReuse (look at it first unless           |
//	           Repeatable): Connected, or Reused                              |
//	           ConnectFailed: Retry ------------------------------------------+
//	Sent, AppendRequest, WroteHead     the head goes out                      |
//	  RequestBody, WroteBody, CountIn, Copy, Uploaded                         |
//	Saw                                a byte of the response has come        |
//	AttemptFailed                      no response: Retry --------------------+
//	Resp.Parse                         the response's head
//	  PassesInterim                    of a 1xx, which then is http1.AppendInterim's
//	  MaySwitch, AppendSwitch          of a 101; after it bytes go both ways
//	Respond, AppendResponse, ResponseBody, CountOut
//	  Fail(TruncatedResponse, ...)     if it breaks off: the client is cut off
//	Closes                             what becomes of the client's connection
//	  Resp.Close, Bodiless             and of the backend's
//	End                                the record; the Ticket is another's then
//
// Answer means [Ticket.AppendAnswer], unless the client has got a byte of another
// response or is gone: then its connection is to end. Whatever happens, End is
// called once, and gives back what the others have taken, the backend's slot among
// it; before it calls, the driver has let go of the connection to the backend, or
// put it where the next request finds it. Before Retry leads to Pick the connection
// is gone as well: the slot is given back in the call that decides, so that a
// driver closes the connection before ConnectFailed and AttemptFailed.
// [Ticket.Fail] and [Ticket.Overdue] end a request at any time for what a driver
// alone knows: a client that went away, a body that stalls, a time that is over.
// [Ticket.Count] shows the metrics what CountIn and CountOut were told, now and
// then while a body moves. [Ticket.Rescue] is for requests that wait when health
// finds their backend down.
//
// The example drives a request without any socket.
//
// # The walk
//
// One file a step, in the order in which a request meets them:
//
//  1. config.go, gate.go, service.go, fronts.go: a listener, and the services that
//     its routes lead to.
//  2. client.go, clientcert.go: what a connection says of its client.
//  3. ticket.go, now.go: a request, and when it is.
//  4. identify.go: who asks, and under which ID and trace (origin.go, forwarded.go,
//     hop.go, request_id.go, trace.go).
//  5. judge.go: the one form of the path (form.go) and the route by host, path,
//     method and headers (router.go, route.go), which may redirect (redirect.go) or
//     refuse; the rate of the client; the route's service or its canary
//     (canary.go), whose limits count (waits.go); a request that was here before
//     (mark.go).
//  6. auth.go: who it is by its credentials, which are verified elsewhere if that
//     takes long.
//  7. admission.go: whether the service has room for one more in flight
//     (policy.go); mirror.go: a copy of it to a second service.
//  8. pick.go: the client's cookie (sticky.go, cookie.go) or the strategy picks a
//     backend whose circuit breaker (breaker.go) allows it, and takes its slot, for
//     which it may have to wait (queue.go). reuse.go says who may use which
//     connection, and for how long.
//  9. request_head.go: the head that the backend gets, as an operator has edited it
//     (edit.go).
//  10. attempt.go: what comes of an attempt; retry.go alone decides what may be
//     tried again.
//  11. respond.go: the head that the client gets, toggle.go which interim ones;
//     answer.go: sluice's own responses; pace.go: clients that are too slow.
//  12. record.go: the one place where counters move (metrics.go), exactly once per
//     request, with at most one [Reason] (reason.go). What the access log has by
//     choice is in note.go, and what a tracer is told in span.go; recent.go remembers
//     the last requests, for who asks what became of one.
//
// # Rules of a driver
//
//   - No byte of a response is followed by another attempt, and a truncated message
//     never becomes a complete one.
//   - A connection to a backend is used again only if the message before ended
//     exactly where it said and nothing was left over. After a response that is
//     [Ticket.Bodiless] it rests for a while.
//   - A connection on which somebody has authenticated (Req.Binds, Resp.Binds)
//     serves the client's connection that it was used on, and nobody else:
//     [Ticket.PickBound].
//   - What Req and Resp alias stays as it is while they are used.
package gate
