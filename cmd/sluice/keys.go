package main

import "slices"

// key is what --help says of one key of a repeatable flag. A form names one
// key or several, as they are typed.
type key struct{ form, usage string }

// keysOf returns the keys of a flag, in the order in which help shows them.
func keysOf(flag string) []key {
	switch flag {
	case "l4":
		return slices.Concat([]key{
			{"sni=NAME", "the name that TLS clients ask for, exactly or as *.example.com, so that several --l4 share an address, one of them without sni for all others"},
			{"sni-wait=TIME", "how long a client may say nothing before it is led to the one without sni, as for servers that speak first (default 500ms); 0 as long as --handshake-timeout"},
			{"alpn=PROTOCOL,…|none", "protocols that are agreed on with TLS clients, such as h2,http/1.1, in order of preference, with tls-cert (default the only one that a client offers, or else http/1.1)"},
		}, listenerKeys(), tcpLimitKeys())
	case "l7":
		return slices.Concat(listenerKeys(), httpKeys(), headerKeys(), []key{{"auth=NAME", "clients must be users of the file that --auth NAME=FILE names, else they get 401; backends get the user in X-Forwarded-User"}}, headLimitKeys())
	case "route":
		return slices.Concat(routeKeys(), []key{{"auth=NAME|off", "instead of the listener's"}}, moreHeaderKeys("--l7 and --service"), routeLimitKeys())
	case "backend":
		return []key{
			{"weight=N", "share relative to others, 0 to 65535; 0 means no new connections (default 1)"},
			{"zone=Z", "availability zone that it is in"},
			{"priority=N", "its tier, 0 to 65535: those of a later one are used only while none of an earlier one can serve (default 0)"},
		}
	case "service":
		return slices.Concat(memberKeys(), backendKeys(), requestKeys(), cookieKeys(), moreHeaderKeys("--l7"), serviceLimitKeys())
	case "auth":
		return []key{
			{"realm=TEXT", "that clients are shown (default the name)"},
			{"forward=true", "backends get the credentials too, not just the user's name"},
		}
	case "register":
		return []key{
			{"addr=HOST", "where clients find it (default the listener's own address, or this machine's as the agent sees it)"},
			{"port=N", "its port (default that of the only listener)"},
			{"id=ID", "of the instance (default made of service, host name and port)"},
			{"tag=T", "of the instance; repeatable"},
			{"check=ttl|http", "ttl: it tells Consul that it is ready (the default); http: Consul asks --health-addr"},
		}
	}
	return nil
}

// listenerKeys are those of --l4 and --l7.
func listenerKeys() []key {
	return []key{
		{"tls-cert=PATH, tls-key=PATH", "PEM files, or a directory of them, with which TLS ends here"},
		{"client-ca=PATH", "a PEM file with the authorities whose certificates TLS clients must show; HTTP backends are told of them in X-SSL-Client-* and X-Forwarded-Client-Cert"},
		{"client-cert=required|optional", "whether clients without one are served (default required)"},
		{"proxy-in=v1|v2|v1v2", "the versions of the PROXY protocol with which every connection must begin"},
		{"proxy-from=CIDR", "network whose connections alone do so; repeatable"},
		{"max-conns=N", "connections open at once (by default as many as the open files limit allows all listeners together)"},
		{"max-conns-per-client=N", "the same for one client address"},
		{"max-rate-per-client=N", "new connections a second for one client address"},
		{"fleet=true", "the two for clients, and rate, are for all sluices of --fleet together: each takes its part by how many are ready"},
	}
}

// httpKeys are those of --l7 alone.
func httpKeys() []key {
	return []key{
		{"rate=R", "requests of one client, such as 100 a second or 30/m, beyond which it gets 429"},
		{"rate-burst=N", "how many of them at once (default a second's worth)"},
		{"rate-key=client|header:NAME", "what tells clients apart (default client, their address)"},
		{"max-body=SIZE", "size of a request's body, such as 10m, beyond which it gets 413"},
		{"path=normalized|raw", "the form of a path that backends get; by default raw, and normalized where a policy hangs on the route"},
		{"encoded-slash=check|keep|decode|reject", "%2F in a path; check refuses what another reading would make another route's"},
		{"backslash=check|keep|decode|reject", "the same for \\ and %5C"},
		{"semicolon=check|keep|reject", "the same for ; and %3B"},
		{"nul=reject|keep", "%00 in a path"},
		{"https-redirect=true|PORT", "clients that do not use HTTPS are sent there"},
		{"hsts=TIME", "for how long those that do are told to, such as 8760h"},
		{"forwarded=true", "say Forwarded (RFC 7239) to backends, beside X-Forwarded-*"},
		{"early-hints=false", "103 and other interim responses of backends are kept from clients; from those of HTTP/1.0 they always are"},
		{"h2=false", "do not speak HTTP/2 with TLS clients, as is done with those that offer it"},
		{"h2c=true", "speak HTTP/2 with clients that do not use TLS, too, if they begin with it"},
		{"h2-max-streams=N", "requests that a client may have under way on one connection of HTTP/2 (default 128)"},
		{"trace-sample=PERCENT", "of the requests without a traceparent, how many begin a trace that is sampled (default: none is begun)"},
	}
}

// routeKeys are those of --route.
func routeKeys() []key {
	return []key{
		{"method=M, header=NAME[:VALUE]", "what a request must have too; both repeatable"},
		{"allow=CIDR, deny=CIDR", "networks of clients; both repeatable"},
		{"strip=PATH", "prefix taken off the path before forwarding"},
		{"prepend=PATH", "put in front of the path then"},
		{"forward-path=normalized|raw", "as path= of --l7, for this route"},
		{"rewrite-host=NAME|dst", "the Host that backends see; dst is their own address"},
		{"canary=SERVICE:PERCENT", "another service for a part of the clients, always the same ones"},
		{"mirror=SERVICE[:PERCENT]", "another service that gets a copy of so many of the requests (default all); nobody waits for its answers"},
		{"mirror-body=SIZE", "of such a request at most (default 64k, up to 1m); larger ones are not copied"},
		{"redirect=CODE:URL", "with $path and $host for the request's, for a route without a service: /old=,redirect=308:https://example.com$path"},
	}
}

// memberKeys are those of --service that say where its members come from and
// how they are chosen and checked.
func memberKeys() []key {
	return []key{
		{"strategy=S", "instead of --strategy"},
		{"hash-balance=PERCENT|off", "how much of its part of what is under way a backend may have, beyond which a strategy that hashes passes over it (default 125)"},
		{"consul=NAME, dc=DC, tag=T", "its name in Consul if that differs; its datacenter there; only instances with this tag"},
		{"port=NAME", "the name, or the number, of the port of its instances in Consul, if they have several (default their default one)"},
		{"dns=HOST:PORT|_SERVICE._PROTO.NAME", "a name that is resolved, or its SRV records"},
		{"failover=NAME,…", "services, or Consul datacenters, whose members are used, in this order, while none of its own can serve"},
		{"file=PATH", "a file with a list of members, which is followed"},
		{"check=tcp|http:/PATH|grpc[:SERVICE]|none", "how members are checked (default what sluice-check in an instance's metadata says, or tcp), with options behind it, as in 'tcp send=\"PING\\r\\n\" expect=+PONG', or as keys:"},
		{"check-port=N", "of the same host, where the check goes"},
		{"check-host=NAME, check-header=NAME:VALUE, check-method=M", "of the request of an http check; headers are repeatable"},
		{"check-status=LIST, check-body=TEXT", "what it expects: 200-399 (the default), 2xx, 200|404; and what the body must contain"},
		{"check-send=TEXT, check-expect=TEXT", "what a tcp check says and expects, in this order; both repeatable"},
		{"max-ejection=PERCENT, panic-threshold=PERCENT, slow-start=TIME, ejection-time=TIME, retry-budget=PERCENT", "as the flags"},
	}
}

// backendKeys are those of --service about the connections to its backends.
func backendKeys() []key {
	return []key{
		{"max-conns=N", "TCP connections or HTTP requests at once for each backend; bounds the idle connections of HTTP as well"},
		{"queue=N", "how many more may wait for one of them (default 1024)"},
		{"queue-timeout=TIME", "for how long (default 5s)"},
		{"proxy-out=v1|v2", "the PROXY header that TCP backends get"},
		{"protocol=http|https|h2|h2c|grpc|grpcs", "what is spoken with HTTP backends: HTTP/1.1, or HTTP/2, which gRPC is, with TLS (https, h2, grpcs) or without; members may say so themselves (default http, or https with tls=)"},
		{"tls=verify|skip-verify", "speak TLS with backends (default verify with a protocol= of TLS)"},
		{"tls-ca=PATH", "a PEM file with the authorities to believe (default the system's)"},
		{"tls-server-name=NAME", "the name that backends must prove (default the host of their address)"},
		{"close-on-unhealthy=true", "close TCP and upgraded connections to a backend, and break off its responses that go on, when its checks have failed, or it has lost the tag that makes it one"},
		{"backend-drain-timeout=TIME", "as the flag"},
	}
}

// requestKeys are those of --service about HTTP requests.
func requestKeys() []key {
	return []key{
		{"sticky=cookie[:NAME]|client|header:NAME", "what keeps the requests of a client on one backend; the latter two with a strategy that hashes (default consistent_hash then)"},
		{"max-requests=N", "requests in flight, beyond which they get 503"},
		{"rate=R, rate-burst=N, rate-key=client|header:NAME", "as for --l7, for the requests of one client for this service, whatever the listener"},
		{"fleet=true", "rate and max-requests are for all sluices of --fleet together: each takes its part by how many are ready"},
		{"concurrency=adaptive", "a limit that follows what the service can take, up to max-requests"},
		{"reuse=never|safe|always", "which requests may use an idle connection to a backend: none, those after the first one of a client's connection, all (the default)"},
		{"backend-idle-timeout=TIME", "instead of --l7-backend-idle-timeout"},
		{"breaker=PERCENT[:TIME]", "of the requests to a backend within 10s, how many must fail for a circuit breaker to keep others from it, and for how long at first (default 5s)"},
	}
}
