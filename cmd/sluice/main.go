// Sluice is a load balancer for services registered in Consul. It balances
// TCP and routes HTTP; see README.md.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

// version is set by the linker; see the Makefile.
var version = "dev"

func main() {
	// What these two do otherwise is to end the process with the next line of
	// the log: its reader is gone, or its file is as large as it may be.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGXFSZ)
	stop, reload, upgrade := make(chan os.Signal, 2), make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(reload, syscall.SIGHUP)
	signal.Notify(upgrade, syscall.SIGUSR2)
	reopen := make(chan os.Signal, 1)
	signal.Notify(reopen, syscall.SIGUSR1)
	os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr, signals{stop, reload, upgrade, reopen}))
}
