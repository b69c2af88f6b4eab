package main

import (
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/spf13/pflag"

	"sluice/pkg/echo"
)

// parseFlags returns the address to listen on and what to do there. It
// returns pflag.ErrHelp after printing the help to stdout, and otherwise all
// problems at once.
func parseFlags(args []string, stdout io.Writer) (addr string, cfg echo.Config, reg registration, err error) {
	var mode string
	fs := pflag.NewFlagSet("echo", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.SetOutput(stdout)
	fs.Usage = func() {
		fmt.Fprintf(stdout, "echo answers HTTP and echoes TCP on one port, to try a load balancer against.\n\nFlags:\n%s", fs.FlagUsages())
	}
	fs.StringVar(&addr, "listen", "127.0.0.1:9000", "`address` to listen on, host:port; port 0 lets the kernel choose, and the log says which")
	fs.StringVar(&mode, "mode", string(echo.Auto), "`protocol`: tcp echoes, http answers requests, auto decides by the first bytes of each connection")
	fs.StringVar(&cfg.Name, "name", "", "`name` to answer with, also in the header X-Backend; by default the bound address")
	fs.DurationVar(&cfg.Latency, "latency", 0, "delay of each HTTP answer and of the first byte echoed on a TCP connection")
	fs.Float64Var(&cfg.Fail, "fail", 0, "`share`, 0 to 1, of HTTP requests answered with 503 and of TCP connections reset")
	fs.StringVar(&reg.consul, "consul", "", "`address` of a Consul agent, host:port, to register at until the end; none if it is empty")
	fs.StringVar(&reg.service, "service", "echo", "`name` of the service to register as")
	fs.StringVar(&reg.address, "advertise", "", "`address` that clients are told there, host:port; by default the bound one")
	if err := fs.Parse(args); err != nil {
		return "", cfg, reg, err
	}
	cfg.Mode = echo.Mode(mode)

	var errs []error
	if fs.NArg() > 0 {
		errs = append(errs, fmt.Errorf("cannot use argument %q: everything is a flag, is a -- missing before it?", fs.Arg(0)))
	}
	if _, _, err := net.SplitHostPort(addr); err != nil {
		errs = append(errs, fmt.Errorf("cannot use --listen %q: %w", addr, err))
	}
	if cfg.Latency < 0 {
		errs = append(errs, fmt.Errorf("cannot use --latency %s: it is negative", cfg.Latency))
	}
	if !(cfg.Fail >= 0 && cfg.Fail <= 1) {
		errs = append(errs, fmt.Errorf("cannot use --fail %v: it is a share from 0 to 1", cfg.Fail))
	}
	switch cfg.Mode {
	case echo.Auto, echo.TCP, echo.HTTP:
	default:
		errs = append(errs, fmt.Errorf("cannot use --mode %q: it is auto, tcp or http", mode))
	}
	for _, a := range []string{reg.consul, reg.address} {
		if _, _, err := net.SplitHostPort(a); a != "" && err != nil {
			errs = append(errs, fmt.Errorf("cannot use %q: it is not host:port", a))
		}
	}
	return addr, cfg, reg, errors.Join(errs...)
}
