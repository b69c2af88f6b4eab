package main

// tcpLimitKeys are those of --l4 about time and retries.
func tcpLimitKeys() []key {
	return []key{
		{"connect-timeout=TIME, idle-timeout=TIME, fin-timeout=TIME", "instead of --l4-connect-timeout, --l4-idle-timeout, --l4-fin-timeout"},
		{"retries=N", "how many other backends are tried, 0 to 2; 0 also means no hedged connect"},
	}
}

// headLimitKeys are those of --l7 about heads, time and retries.
func headLimitKeys() []key {
	return []key{
		{"max-head=SIZE, max-fields=N, max-target=SIZE", "of the head of a request (default 32k), of its header lines (200), of its target (16k)"},
		{"head-timeout=TIME, idle-timeout=TIME, fin-timeout=TIME", "instead of --l7-head-timeout, --l7-idle-timeout, --l7-fin-timeout"},
		{"connect-timeout=TIME, response-timeout=TIME, body-timeout=TIME", "instead of --l7-connect-timeout, --l7-response-timeout, --l7-body-timeout"},
		{"retries=N", "attempts after the first one of a request, 0 to 2"},
		{"retry-on=STATUSES", "statuses of gRPC with which a call is made again if a backend says nothing else, with + between them: cancelled, deadline-exceeded, internal, resource-exhausted, unavailable (default none)"},
		{"total-timeout=TIME, min-body-rate=SIZE, upgrade-idle-timeout=TIME, upgrade-fin-timeout=TIME", "instead of --l7-total-timeout, --l7-min-body-rate, --l7-upgrade-idle-timeout, --l7-upgrade-fin-timeout"},
	}
}

// routeLimitKeys are those of --route about time and retries.
func routeLimitKeys() []key {
	return []key{{"connect-timeout=TIME, response-timeout=TIME, body-timeout=TIME, retries=N", "instead of those of its service and of the listener"}, {"total-timeout=TIME, upgrade-idle-timeout=TIME, upgrade-fin-timeout=TIME, min-body-rate=SIZE, retry-on=STATUSES", "the same"}, {"early-hints=true|false", "the same"}}
}

// moreHeaderKeys are those of --service and --route about headers.
func moreHeaderKeys(when string) []key {
	return []key{{"request-header=EDIT, response-header=EDIT", "made after those of " + when}}
}

// headerKeys are those of --l7 about headers.
func headerKeys() []key {
	return []key{
		{"request-header=EDIT, response-header=EDIT", "what is changed of the headers that backends, and that clients get: set:NAME: VALUE, add:NAME: VALUE or remove:NAME, with variables such as ${client}; repeatable"},
	}
}

// cookieKeys are those of --service about the cookie of sticky=cookie.
func cookieKeys() []key {
	return []key{
		{"cookie-path=PATH, cookie-domain=DOMAIN", "of the cookie of sticky=cookie (default /, and the host alone)"},
		{"cookie-same-site=lax|strict|none|off", "of the same (default lax); none makes it Secure, and off says nothing"},
		{"cookie-secure=auto|true|false", "whether browsers send it by HTTPS alone (default auto: if it was set so)"},
		{"cookie-http-only=false", "scripts may read it"},
		{"cookie-max-age=TIME", "how long browsers keep it (default until they are closed)"},
	}
}

// serviceLimitKeys are those of --service about time and retries.
func serviceLimitKeys() []key {
	return []key{
		{"connect-timeout=TIME, retries=N", "instead of those of the listener and of the flags"},
		{"upgrade-idle-timeout=TIME, upgrade-fin-timeout=TIME, total-timeout=TIME, min-body-rate=SIZE, retry-on=STATUSES", "the same, for HTTP requests"},
		{"response-timeout=TIME, body-timeout=TIME, early-hints=true|false", "the same, for HTTP requests"},
		{"idle-timeout=TIME, fin-timeout=TIME", "the same, for TCP connections"},
	}
}
