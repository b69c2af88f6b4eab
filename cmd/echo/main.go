// Command echo is a backend to try a load balancer against: it answers HTTP
// and echoes TCP on one port. See sluice/pkg/echo for what it answers.
package main

import (
	"context"
	"os"
)

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }
