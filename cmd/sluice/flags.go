package main

import (
	"strings"

	"sluice/pkg/balance"
	"sluice/pkg/config"
)

// define declares the flags in the order in which help shows them: what runs,
// where members come from, and then along the walk of a connection.
func (r *reader) define() {
	c, f := r.config, r.flags
	f.BoolVar(&c.Demo, "demo", c.Demo, "balance over three echo backends in the process: HTTP on 127.0.0.1:8080, TCP on 127.0.0.1:8081, unless --l7 and --l4 say otherwise; needs nothing else. SIGUSR1 kills one of them, and starts it again")
	list(f, &c.L4, r.parseL4, "l4", "ADDR=SERVICE[,key=value...]", "TCP listener for a service, such as :5432=postgres; repeatable. Connections beyond a limit are closed as they come")
	list(f, &c.L7, config.ParseL7, "l7", "ADDR[,key=value...]", "HTTP listener, such as :80; repeatable. Needs --route")
	list(f, &c.Routes, config.ParseRoute, "route", "[HOST]/PATH=SERVICE[,key=value...]", "HTTP route: the requests that lead to a service, by host (exact, then *.example.com, then any) and longest path; repeatable. /=web is the default route")
	list(f, &c.Backends, config.ParseBackend, "backend", "SERVICE=HOST:PORT[,weight=N,zone=Z]", "static member of a service; repeatable")
	list(f, &c.Services, config.ParseService, "service", "SERVICE[,key=value...]", "settings of one service; repeatable. Its members come from every source that is named")
	list(f, &c.Auths, config.ParseAuth, "auth", "NAME=FILE[,key=value...]", "file of users, as Apache's htpasswd writes it (bcrypt, apr1, SHA and others), that --l7 or --route asks clients for by auth=NAME; repeatable. It is read again when it changes")
	f.StringVar(&c.Strategy, "strategy", c.Strategy, "how a backend is chosen, for services that do not say: "+strings.Join(balance.Names(), ", ")+". All honour weights")
	f.StringVar(&c.Consul, "consul", c.Consul, "HTTP address of Consul, such as 127.0.0.1:8500; services without --backend are looked up there. Several, separated by commas, share the load and stand in for each other; --register goes to the first. CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, CONSUL_CACERT and the others work as for Consul's own tools")
	f.StringVar(&c.ConsulDatacenter, "consul-datacenter", c.ConsulDatacenter, "Consul datacenter in which services are looked up that do not say; empty means the agent's own")
	list(f, &c.Registers, config.ParseRegister, "register", "SERVICE[,key=value...]", "register this process as a service in Consul, whose agent is at --consul, once it is ready, and deregister it first thing on SIGTERM; repeatable")
	list(f, &c.DNSServers, config.ParseDNSServer, "dns-server", "IP[:PORT]", "DNS server for dns= of --service; repeatable, asked in order. None means those of /etc/resolv.conf")
	f.DurationVar(&c.DNSMinTTL, "dns-min-ttl", c.DNSMinTTL, "time for which a resolved name holds at least, whatever its records say")
	f.DurationVar(&c.DNSMaxTTL, "dns-max-ttl", c.DNSMaxTTL, "and at most")
	f.DurationVar(&c.DNSKeep, "dns-keep", c.DNSKeep, "time that answers must say that a name has no records before its members go, and for which members stay that doubtful answers leave out while their check passes; 0 means that each answer is believed")
	f.StringVar(&c.ConsulTags, "consul-tags", c.ConsulTags, "build routes and TCP listeners from the tags of instances in Consul that begin with this, in Fabio's form; Fabio's own is urlprefix-. Empty means none")
	decimalVar(f, &c.ConsulMaxConns, "consul-max-conns", c.ConsulMaxConns, "connections to each Consul agent at once, 16 at least: an agent allows 200 from one address, to all programs there together. While there are more services than connections, those with traffic have a query of their own, and the others share a few")
	f.DurationVar(&c.ConsulKeep, "consul-keep", c.ConsulKeep, "time that members stay in use when Consul loses all or most of a service at once, as after a restart without its data, while they pass sluice's own check; 0 means not at all")
	f.StringVar(&c.Zone, "zone", c.Zone, "availability zone that sluice runs in: backends of this zone are preferred as far as they can bear it, if a sluice runs in each. \"auto\" asks ECS's task metadata, or Consul's agent (node metadata sluice-zone, or the node's locality). Strategies that hash ignore zones. Empty means no preference")

	f.StringVar(&c.Admin, "admin", c.Admin, `address of the control plane (metrics, health, changes at run time, pprof), HOST:PORT or unix:PATH[,mode=0660][,group=NAME]; "off" turns it off. An address that is not loopback needs --admin-token or --admin-insecure`)
	f.StringVar((*string)(&c.AdminToken), "admin-token", string(c.AdminToken), "bearer token that callers of the control plane must present; better set as "+envPrefix+"ADMIN_TOKEN, which no process list shows")
	f.StringVar(&c.AdminTokenFile, "admin-token-file", c.AdminTokenFile, "file with that token in its first line, read again when it changes")
	f.StringVar((*string)(&c.AdminReadToken), "admin-read-token", string(c.AdminReadToken), "bearer token that looks and changes nothing; then everything needs one of the two")
	f.StringVar(&c.AdminReadTokenFile, "admin-read-token-file", c.AdminReadTokenFile, "file with that token")
	f.StringVar(&c.AdminTLSCert, "admin-tls-cert", c.AdminTLSCert, "certificate that the control plane shows, as tls-cert= of --l7; empty means no TLS")
	f.StringVar(&c.AdminTLSKey, "admin-tls-key", c.AdminTLSKey, "its key, unless it is in the same file")
	f.StringVar(&c.AdminClientCA, "admin-client-ca", c.AdminClientCA, "file with the authorities whose certificates clients of the control plane must show; their common name is who changed something")
	f.StringVar(&c.AdminClientCert, "admin-client-cert", c.AdminClientCert, "required (default) or optional, with --admin-client-ca")
	f.StringVar(&c.Fleet, "fleet", c.Fleet, "name under which several sluices keep what operators change at run time, in Consul's KV below sluice/NAME/: a change at one is one at all, and at those that start later. Consul's token then needs key:write there and session:write")
	f.StringVar(&c.State, "state", c.State, "file in which what operators change at run time is kept over a restart; without it and --fleet, in memory")
	f.Var(&c.Prices, "prices", "what /admin/cost reckons with: currency, vcpu-hour, gb-hour (of memory), gb-out (to clients), gb-zone (across zones), vcpus and memory-gb (of this task, else what ECS says), date")
	f.StringVar(&c.Copilot.Provider, "copilot", c.Copilot.Provider, "who answers questions at /admin/copilot and in the dashboard: openai (or any server that speaks its API, by --copilot-url), anthropic, or off. It is sent advice, events and figures, without secrets, clients' addresses and values of headers, and changes nothing")
	f.StringVar(&c.Copilot.Model, "copilot-model", c.Copilot.Model, "model that is asked, as the provider calls it; needed with --copilot")
	f.StringVar(&c.Copilot.URL, "copilot-url", c.Copilot.URL, "base URL of the API, such as http://127.0.0.1:11434/v1; empty means the provider's own")
	f.StringVar(&c.Copilot.KeyFile, "copilot-key-file", c.Copilot.KeyFile, "file with the provider's key in its first line, read for each question; empty means no key, as for servers of one's own")
	f.DurationVar(&c.Copilot.Timeout, "copilot-timeout", c.Copilot.Timeout, "time that an answer may take as a whole")
	decimalVar(f, &c.Copilot.DailyCap, "copilot-daily-cap", c.Copilot.DailyCap, "questions that may be asked a day, by UTC; a restart begins anew")
	f.BoolVar(&c.AdminInsecure, "admin-insecure", c.AdminInsecure, "allow a control plane that others can reach without a token")
	f.StringVar(&c.HealthAddr, "health-addr", c.HealthAddr, "address that answers only /healthz and /readyz, without a token, for a load balancer's probes; empty means none")

	f.DurationVar(&c.HealthInterval, "health-interval", c.HealthInterval, "time between two checks of a backend")
	f.DurationVar(&c.HealthFastInterval, "health-fast-interval", c.HealthFastInterval, "time between checks while results contradict the backend's state, and after a failed connect")
	f.DurationVar(&c.HealthDownInterval, "health-down-interval", c.HealthDownInterval, "time between checks of a backend that is down")
	f.DurationVar(&c.HealthTimeout, "health-timeout", c.HealthTimeout, "time that one check may take")
	decimalVar(f, &c.HealthRise, "health-rise", c.HealthRise, "checks in a row that must pass before a backend that is down is used again")
	decimalVar(f, &c.HealthFall, "health-fall", c.HealthFall, "checks in a row that must fail before a backend that is up is no longer used")
	percentVar(f, &c.MaxEjection, "max-ejection", c.MaxEjection, "how many of a service's backends, in percent, may be out at a time because live traffic failed on them 5 times in a row; one may always be, unless it is the last. 0 means none")
	f.DurationVar(&c.EjectionTime, "ejection-time", c.EjectionTime, "time for which such a backend is out the first time; twice that the second time, and so on, up to 5m. Checks that pass end it sooner, if they test what failed")
	percentVar(f, &c.PanicThreshold, "panic-threshold", c.PanicThreshold, "part of a service's backends, in percent, below which all of them are used, good or bad, but those that the registry takes out; 0 means never")
	f.DurationVar(&c.SlowStart, "slow-start", c.SlowStart, "time in which a backend that comes back, or joins others, goes from a tenth of its share of new connections to all of it; 0 means that it gets all at once")

	f.StringVar(&c.L4Driver, "l4-driver", c.L4Driver, "what moves the bytes of TCP connections: epoll (event loops, Linux), copy (two goroutines a connection) or auto, epoll where there is one")
	f.DurationVar(&c.L4ConnectTimeout, "l4-connect-timeout", c.L4ConnectTimeout, "time that one attempt to connect to a backend may take; another backend is tried after it")
	f.DurationVar(&c.L4ConnectDeadline, "l4-connect-deadline", c.L4ConnectDeadline, "time that all attempts of one connection may take together")
	f.DurationVar(&c.L4HedgeAfter, "l4-hedge-after", c.L4HedgeAfter, "time that a backend may take to answer a connect before a second one is tried beside it; the first to answer wins. 0 means never")
	f.DurationVar(&c.L4IdleTimeout, "l4-idle-timeout", c.L4IdleTimeout, "end a TCP connection after so long without a byte in either direction; 0 means never. A load balancer in front has a limit of its own, such as 350s for an NLB")

	f.DurationVar(&c.L4UserTimeout, "l4-user-timeout", c.L4UserTimeout, "end a TCP connection whose peer acknowledged nothing, or kept its window shut, for so long (TCP_USER_TIMEOUT); 0 means the system's limits")
	f.DurationVar(&c.L4FINTimeout, "l4-fin-timeout", c.L4FINTimeout, "the same once one side has closed its direction; 0 means as --l4-idle-timeout")
	percentVar(f, &c.RetryBudget, "retry-budget", c.RetryBudget, "retries and hedged connects that a service may make, in percent of first attempts; 10 a second are always allowed")

	f.StringVar(&c.L7Driver, "l7-driver", c.L7Driver, "what serves HTTP connections: loop (event loops), fasthttp (fasthttp's server, a goroutine for each request) or auto, loop on Linux and fasthttp elsewhere")
	f.DurationVar(&c.L7ConnectTimeout, "l7-connect-timeout", c.L7ConnectTimeout, "time that one attempt to connect to a backend may take; another backend is tried after it")
	f.DurationVar(&c.L7HeadTimeout, "l7-head-timeout", c.L7HeadTimeout, "time in which the whole head of a request must arrive, else 408")
	f.DurationVar(&c.L7BodyTimeout, "l7-body-timeout", c.L7BodyTimeout, "time without progress after which a body that is under way, either way, is given up")
	f.DurationVar(&c.L7ResponseTimeout, "l7-response-timeout", c.L7ResponseTimeout, "time from the end of a request to the head of its response, else 504")
	f.DurationVar(&c.L7IdleTimeout, "l7-idle-timeout", c.L7IdleTimeout, "time that a client's connection may wait for its next request")
	f.DurationVar(&c.L7BackendIdleTimeout, "l7-backend-idle-timeout", c.L7BackendIdleTimeout, "time that a connection to a backend is kept without a request, or less if the backend says so (Keep-Alive: timeout=); 0 means that none is kept. It should be below the backends' own limit")
	f.DurationVar(&c.L7TotalTimeout, "l7-total-timeout", c.L7TotalTimeout, "time that a request and its response may take altogether, else 408 or 504, or the response breaks off; upgraded connections are none. 0 means no limit")
	decimalVar(f, &c.L7MinBodyRate, "l7-min-body-rate", c.L7MinBodyRate, "bytes a second that a client must send or take of a body, measured over 20s in which it alone is waited for; 0 means any number")
	f.DurationVar(&c.L7UpgradeIdleTimeout, "l7-upgrade-idle-timeout", c.L7UpgradeIdleTimeout, "time without a byte, either way, after which an upgraded connection (WebSocket) is reset; 0 means never")
	f.DurationVar(&c.L7UpgradeFINTimeout, "l7-upgrade-fin-timeout", c.L7UpgradeFINTimeout, "the same once one side has closed its direction; 0 means as --l7-upgrade-idle-timeout")
	f.DurationVar(&c.L7LingerTimeout, "l7-linger-timeout", c.L7LingerTimeout, "time without a byte for which a client that goes on sending after an early answer, such as 413, is listened to, lest it loses that answer")
	f.DurationVar(&c.L7LingerTime, "l7-linger-time", c.L7LingerTime, "and altogether")
	f.DurationVar(&c.L7FINTimeout, "l7-fin-timeout", c.L7FINTimeout, "time without a byte of the response after which a client that has closed its direction is taken for gone, and its request cancelled; 0 means never")
	list(f, &c.TrustedProxies, config.ParseCIDR, "trusted-proxy", "CIDR", "network of proxies in front whose X-Forwarded-* headers are believed, such as 10.0.0.0/8; repeatable. From elsewhere they are replaced")

	f.DurationVar(&c.HandshakeTimeout, "handshake-timeout", c.HandshakeTimeout, "time for what comes before a connection can be served: the PROXY header, the TLS handshake, or its first message where sni= asks for it")
	f.DurationVar(&c.BackendDrainTimeout, "backend-drain-timeout", c.BackendDrainTimeout, "time that TCP connections, upgraded ones and HTTP responses that go on (server-sent events) live on after their backend was deregistered or put into maintenance; then they are closed, spread over a tenth of that; 0 means for ever")

	f.StringVar((*string)(&c.StickySecret), "sticky-secret", string(c.StickySecret), "secret of which the values of sticky cookies are made, the same for all sluices in front of a service; better set as "+envPrefix+"STICKY_SECRET. Without one, whoever knows a backend's ID can tell its cookie")

	f.DurationVar(&c.DrainDelay, "drain-delay", c.DrainDelay, "on SIGTERM, time during which /readyz says no but connections are still accepted, so that those in front can turn away")
	f.DurationVar(&c.DrainTimeout, "drain-timeout", c.DrainTimeout, "time that open connections then have to finish. With --drain-delay it must stay below what the supervisor grants, 30s on ECS")
	f.DurationVar(&c.HandoverTimeout, "handover-timeout", c.HandoverTimeout, "on SIGUSR2, once a new process of the same program and settings has taken the listeners over, time that the connections of the old one have to finish")

	f.StringVar(&c.LogFormat, "log-format", c.LogFormat, "json or text, on stderr")
	f.StringVar(&c.LogLevel, "log-level", c.LogLevel, "debug, info, warn or error")
	f.BoolVar(&c.AccessLog, "access-log", c.AccessLog, "log every HTTP request and every TCP connection when it has ended. Nobody waits for it: what the output does not take in time is dropped and counted")
	f.StringVar(&c.AccessLogFile, "access-log-file", c.AccessLogFile, "file that the access log is appended to, instead of stderr; - means standard output. On SIGUSR1 and SIGHUP it is opened again, so that it can be renamed first. It turns the access log on")
	f.StringVar((*string)(&c.AccessLogSyslog), "access-log-syslog", string(c.AccessLogSyslog), "syslog server that gets the access log (RFC 5424), beside the file if there is one: udp://HOST[:514], tcp://HOST[:601] (RFC 6587, counted octets) or unix:/dev/log, and then [,facility=local0][,tag=sluice]. It turns the access log on")
	f.StringVar(&c.AccessLogFormat, "access-log-format", c.AccessLogFormat, "form of the access log's lines: "+strings.Join(config.AccessLogFormats(), ", ")+"; common and combined are those of Apache and nginx. Empty means as --log-format")
	f.StringVar((*string)(&c.AccessLogFields), "access-log-fields", string(c.AccessLogFields), "with --access-log, what the lines of requests have too, separated by commas: query, user, user-agent, referer, and request:NAME or response:NAME for any other header")
	decimalVar(f, &c.AccessLogSample, "access-log-sample", c.AccessLogSample, "with --access-log, log one in so many, and all that failed")

	f.StringVar(&c.OTLP, "otlp", c.OTLP, "OpenTelemetry collector that gets spans of HTTP requests and of what was asked of backends for them (OTLP, protobuf over HTTP), such as http://127.0.0.1:4318. OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES work as for OpenTelemetry's own tools. Empty means none")
	f.Var(&percent{&c.OTLPSample}, "otlp-sample", "with --otlp, how many of the requests without a traceparent are sampled, in percent; of the others the traceparent says it. trace-sample= of --l7 wins")

	f.StringVar((*string)(&c.MetricsDump), "metrics-dump", string(c.MetricsDump), "folder for a file of all metrics now and then, to be plotted later: DIR[,interval=10s][,keep=1000][,max-size=256m]; the oldest files go once there are more of them, or more bytes. Empty means none")

	f.StringVar(&r.file, "config", "", "YAML or JSON file with any of these settings, keys named like the flags. The environment wins over it, and the command line over both")
	f.BoolVar(&r.watch, "watch-config", false, "read that file, and the environment, again when the file has changed, as SIGHUP does: services, routes, listeners, members, limits and certificates become as it says, and what it does not change is not touched. A file that is wrong changes nothing")
	f.BoolVar(&r.dryRun, "dry-run", false, "check the configuration, say whether it is good, and exit")
	f.StringVar(&r.target, "target", "", "with --dry-run: ecs says, too, what would drop connections when this runs as a task there: waits, addresses, and what --task-definition says")
	f.StringVar(&r.task, "task-definition", "", "with --target=ecs: JSON file of the task definition, as it is registered or described. What it gives the container named sluice as command and environment comes before that of the command line")
	f.BoolVar(&r.version, "version", false, "print the version and exit")
	f.BoolVarP(&r.help, "help", "h", false, "print this help and exit")
}
