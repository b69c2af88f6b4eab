// Package control is what an operator changed at run time, and where it is
// kept.
//
// An [Overlay] is a pure value: the set of all [Change]s in force, each of one
// [Target] and one [What], with who made it, why, and until when. It lies over
// what the configuration and tags say; [Overlay.Over] makes of a configuration
// the one that is to run, and [Overlay.Word] says what the operator wants of a
// single backend, which no configuration can express. Nothing here touches
// what runs: whoever follows a [Book] does.
//
// A [Book] takes orders: it validates them, judges them against what runs
// ([Running]), writes the next overlay to its [Store] if nobody else has
// written one meanwhile, and tells of it in its [Journal]. Stores are memory
// ([NewMemory]), a file ([OpenFile]) and, in the package below, Consul's KV.
//
// Versions of an overlay count up by one with each write, within a lineage,
// which is a random name that the first write after nothing gets. So a store
// that was rolled back shows a lower version of the same lineage, and one that
// was wiped and begun anew another lineage.
//
//	what             of        value
//	strategy         service   a strategy's name
//	panic_threshold  service   percent, 0 to 100
//	max_ejection     service   percent, 0 to 100
//	ejection_time    service   duration above 0
//	slow_start       service   duration, at most 1h
//	retry_budget     service   percent, 0 to 100
//	breaker          service   PERCENT, PERCENT:DURATION or off
//	max_requests     service   number; 0 for no limit
//	rate             service   requests a second of each client, such as 100 or 30/m, or off
//	rate_burst       service   number of them at once; 0 for a second's worth
//	rate_key         service   client or header:NAME
//	fleet            service   true or false: whether rate and max_requests are for all sluices together
//	concurrency      service   fixed or adaptive
//	max_conns        service   number, for each backend; 0 for no limit
//	queue            service   number
//	queue_timeout    service   duration
//	canary           service   TARGET:PERCENT; TARGET is a service, a backend's HOST:PORT or tag=NAME
//	maintenance      service   the text of the 503 that all of it answers
//	drain            backend   nothing, or the duration after which established connections are closed
//	weight           backend   a number, 0 to 65535, or a factor of what its source says, such as 0.5x or 50%
//	force            backend   up or down, whatever health says
//	eject            backend   nothing; its time to live is for how long
//	add              backend   nothing, or weight=N,zone=Z,priority=N
//	remove           backend   nothing
//	readmit          backend   nothing; done once
//	reset            backend   breaker, ewma, warmup or all; done once
//	set              route     what --route takes; adds the route or changes it
//	remove           route     nothing
//	set              listener  l4 or l7, a space, and what that flag takes
//	remove           listener  nothing
//	log_level        process   debug, info, warn or error
//	access_log       process   true or false
//	access_log_sample process  number above 0
package control
