package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"sluice/pkg/admin"
	"sluice/pkg/config"
	"sluice/pkg/metricset"
	"sluice/pkg/tracing"
)

// planeServer is one listener of the control plane.
type planeServer struct {
	name   string // admin or health
	addr   string // as configured
	kept   bool   // systemd has its socket, too
	server *admin.Server
}

// plane is the control plane: everything that is not the data path.
type plane struct {
	servers []planeServer
	ready   func() admin.Readiness
	logger  *slog.Logger
	wg      sync.WaitGroup
}

// bindPlane binds what of the control plane is configured, or nothing.
func bindPlane(e *Engine, version string, sets *metricset.Sets) (*plane, error) {
	c, logger := e.config, e.logger
	ready := e.readiness
	maxConns := e.fronts.files.control
	sets.Main.NewGauge("sluice_ready", func() float64 {
		if ready().Ready {
			return 1
		}
		return 0
	})
	settings, err := c.Settings()
	if err != nil {
		return nil, err
	}
	p := &plane{ready: ready, logger: logger}
	var problems []error
	bind := func(name, flag, addr string, listen func(*net.TCPListener) (*admin.Server, error)) {
		passed, kept, err := e.fronts.sockets.Take(offered(name, addr), addr)
		if err != nil {
			problems = append(problems, fmt.Errorf("--%s: %w", flag, err))
			return
		}
		s, err := listen(passed)
		if err != nil {
			problems = append(problems, fmt.Errorf("--%s: %w", flag, err))
			return
		}
		p.servers = append(p.servers, planeServer{name, addr, kept, s})
	}
	if c.Admin != config.Off {
		pages, err := e.pages(version, ready)
		if err != nil {
			return nil, err
		}
		bind("admin", "admin", c.Admin, func(ln *net.TCPListener) (*admin.Server, error) {
			cfg := admin.Config{
				Address: c.Admin, Listener: ln, Successor: e.fronts.sockets != nil, AllowInsecure: c.AdminInsecure, Version: version, Started: e.began,
				Token: string(c.AdminToken), TokenFile: c.AdminTokenFile, ReadToken: string(c.AdminReadToken), ReadTokenFile: c.AdminReadTokenFile,
				Services: e.services.shown, Settings: settings, Ready: ready, MaxConns: maxConns, Metrics: sets, Exemplar: exemplars(e.fronts.records.tracer.Exemplars()), Counters: sets.Main, Logger: logger,
				Plane: asked{ran{e}}, Book: e.operators.book, Prices: sync.OnceValue(e.prices), Copilot: newCopilot(e),
				Beside: pages, Fleet: e.tasks,
			}
			shown, err := e.fronts.certs.open([]config.Certificate{c.AdminCertificate()})
			if err != nil {
				return nil, err
			}
			if shown != nil {
				cfg.TLS = shown.tls
				negotiate(cfg.TLS, "l7", nil)
			}
			return admin.New(cfg)
		})
	}
	if c.HealthAddr != "" {
		bind("health", "health-addr", c.HealthAddr, func(ln *net.TCPListener) (*admin.Server, error) {
			return admin.NewHealth(c.HealthAddr, ln, maxConns, ready, logger)
		})
	}
	if len(problems) > 0 {
		p.close()
		return nil, errors.Join(problems...)
	}
	return p, nil
}

// exemplars finds requests of histograms by their traces.
func exemplars(all *tracing.Exemplars) metricset.Exemplar {
	if all == nil {
		return nil
	}
	return func(histogram string, over, most float64) string {
		x, ok := all.Find(histogram, over, most)
		if !ok {
			return ""
		}
		return fmt.Sprintf(`{trace_id="%s",span_id="%s"} %g %.3f`, x.Trace, x.Span, x.Value, float64(x.At.UnixMilli())/1000)
	}
}

// WriteMetrics writes what /metrics says, in Prometheus' text format.
func (e *Engine) WriteMetrics(b *bytes.Buffer) {
	admin.WriteMetrics(b, e.fronts.sets, e.services.shown)
}

// serve starts to answer. A server that breaks calls failed.
func (p *plane) serve(failed func(error)) {
	for _, s := range p.servers {
		p.logger.Info("listening", "listener", s.name, "name", s.name, "addr", s.server.Addr().String())
		p.wg.Go(func() {
			if err := s.server.Serve(); err != nil {
				failed(fmt.Errorf("%s listener ended: %w", s.name, err))
			}
		})
	}
}

// close stops answering at once.
func (p *plane) close() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, s := range p.servers {
		_ = s.server.Shutdown(ctx) // what is under way is cut
	}
	p.wg.Wait()
}

// shutdown lets answers under way finish for a second and then stops.
func (p *plane) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, s := range p.servers {
		if err := s.server.Shutdown(ctx); err != nil {
			p.logger.Warn("control plane was cut", "listener", s.name, "err", err)
		}
	}
	p.wg.Wait()
}
