package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"sluice/pkg/config"
)

// maxProbed is how much of an answer healthcheck shows.
const maxProbed = 4 << 10

// healthcheck is the command of that name, for containers whose image has
// nothing else that could ask: it asks the sluice that runs beside it, and
// returns exitOK if that answers well, exitFailed if it does not, and exitUsage
// if it cannot be known where to ask.
func healthcheck(args, environ []string, stdout, stderr io.Writer) int {
	f := pflag.NewFlagSet("sluice healthcheck", pflag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.SortFlags = false
	addr := f.String("addr", "", "HOST:PORT, or unix:PATH, of --health-addr or --admin of the sluice to ask (default what "+envName("health-addr")+", "+envName("admin")+" or the file of "+envName("config")+" say, or "+config.Default().Admin+")")
	ready := f.Bool("ready", false, "ask whether it is ready (/readyz), not only whether it answers (/healthz); it is not while it drains")
	timeout := f.Duration("timeout", 2*time.Second, "time that it may take")
	err := f.Parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprintf(stdout, "sluice healthcheck asks a sluice that runs on this machine how it is.\n\n%s\nExit codes: 0 it is well, 1 it is not, 2 wrong flags.\n", f.FlagUsagesWrapped(92))
		return exitOK
	case err == nil && f.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", f.Arg(0))
	case err == nil && *timeout <= 0:
		err = fmt.Errorf("--timeout: %v is not above 0", *timeout)
	}
	if err == nil {
		*addr, err = probedAddr(*addr, environ)
	}
	if err != nil {
		fmt.Fprintf(stderr, "sluice healthcheck: %v\n", err)
		return exitUsage
	}
	path := "/healthz"
	if *ready {
		path = "/readyz"
	}
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	answer, err := probe(ctx, *addr, path)
	if err != nil {
		fmt.Fprintf(stderr, "sluice healthcheck: %v\n", err)
		return exitFailed
	}
	fmt.Fprintln(stdout, answer)
	return exitOK
}

// probedAddr returns where to ask: at given or, if that is empty, where the
// settings in the environment say that a sluice listens.
func probedAddr(given string, environ []string) (string, error) {
	addr := given
	if addr == "" {
		cmd, _ := parseCommand(nil, environ) // what else is wrong with it is not asked
		if addr = cmd.config.HealthAddr; addr == "" {
			addr = cmd.config.Admin
		}
	}
	if _, isUnix, err := config.ParseUnix(addr); isUnix {
		return addr, err
	}
	host, port, err := net.SplitHostPort(addr)
	switch {
	case addr == config.Off:
		return "", errors.New("the control plane is off and there is no --health-addr; nothing can be asked")
	case err != nil:
		return "", fmt.Errorf("--addr: %q is not HOST:PORT", addr)
	case port == "0":
		return "", fmt.Errorf("%q has a port that the system chooses; give it by --addr", addr)
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost" // who listens at all addresses does there, by whichever protocol
	}
	return net.JoinHostPort(host, port), nil
}

// probe asks for a path and returns the answer, which is an error if its status
// is not 200.
func probe(ctx context.Context, addr, path string) (string, error) {
	transport := &http.Transport{DisableKeepAlives: true} // no proxy: it is this machine
	if unix, isUnix, _ := config.ParseUnix(addr); isUnix {
		addr = "localhost"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", unix.Path)
		}
	}
	url := "http://" + addr + path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	client := http.Client{Transport: transport}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxProbed))
	if err != nil {
		return "", fmt.Errorf("%s breaks off: %w", url, err)
	}
	answer := strings.TrimSpace(string(body))
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s: %s", url, resp.Status, answer)
	}
	return answer, nil
}
