// Package echo is a backend to try a load balancer against: one port that
// answers HTTP and echoes raw TCP, slowly or wrongly if told to.
//
// In mode [Auto] the first bytes of a connection decide: an HTTP method and a
// space make it HTTP/1.1, anything else is echoed until the client closes its
// half. A connection that has sent only the beginning of a method, such as
// "GE", is given 250 ms to go on before it is taken for raw TCP.
//
// What HTTP answers, always with the header X-Backend:
//
//	/healthz             "ok"; 503 while all answers fail
//	/status/NNN          that status, 200 to 599
//	/bytes/N             N bytes; the one at offset i is i modulo 251
//	/sse?n=10&every=100ms  n server-sent events, one every so often
//	/headers             the request's headers, Host among them, as JSON
//	/slow?d=1s           the line below, after d
//	POST, PUT, PATCH     on any other path: the request's body, as it comes
//	anything else        one line: name, method, path
package echo
