package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"sluice/pkg/echo"
)

// run is the command: it serves until ctx ends or a SIGINT or SIGTERM comes
// and returns the exit code, 0 after a clean end, 1 after a failure, 2 for
// wrong flags.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	addr, cfg, reg, err := parseFlags(args, stdout)
	if errors.Is(err, pflag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "%v\nSee echo --help.\n", err)
		return 2
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	s, err := echo.Listen(addr, cfg)
	if err != nil {
		log.Error("cannot start", "err", err)
		return 1
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	log.Info("listening", "addr", s.Addr().String())
	if reg.consul != "" {
		reg.name = cmp.Or(cfg.Name, s.Addr().String())
		reg.address = cmp.Or(reg.address, s.Addr().String())
		registered := make(chan struct{})
		go func() { defer close(registered); reg.keep(ctx, log) }()
		defer func() { stop(); <-registered }()
	}

	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	select {
	case err = <-served:
	case <-ctx.Done():
		stop() // a second signal ends the process at once
		log.Info("stopping")
	}
	s.Close()
	if err != nil {
		log.Error("cannot serve", "err", err)
		return 1
	}
	return 0
}
