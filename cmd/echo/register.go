package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"
)

const (
	// registerEvery is how often a registration is tried, and looked after, for an
	// agent that loses its data.
	registerEvery = 2 * time.Second
	// registerTimeout bounds one request to the agent.
	registerTimeout = 2 * time.Second
)

// registration is this process as a service in Consul, by the agent's HTTP
// interface.
type registration struct {
	consul        string // host:port of the agent
	service, name string
	address       string // host:port that clients are told
}

// keep registers until ctx ends, and then takes the registration back.
func (r registration) keep(ctx context.Context, log *slog.Logger) {
	host, text, _ := net.SplitHostPort(r.address)
	port, _ := strconv.Atoi(text)
	id := r.service + "-" + r.name
	body, err := json.Marshal(map[string]any{
		"ID": id, "Name": r.service, "Address": host, "Port": port,
		"Check": map[string]string{"TCP": r.address, "Interval": "2s", "Timeout": "1s", "Status": "passing", "DeregisterCriticalServiceAfter": "1m"},
	})
	if err != nil {
		log.Error("cannot describe the service", "err", err)
		return
	}
	known := false
	for {
		// Not again while the agent knows it: that would begin its check anew.
		var err error
		if known {
			err = r.send(ctx, http.MethodGet, "/v1/agent/service/"+id, nil)
		}
		if !known || err != nil {
			err = r.send(ctx, http.MethodPut, "/v1/agent/service/register", body)
		}
		if (err == nil) != known && ctx.Err() == nil {
			known = err == nil
			log.Info("registration in Consul", "service", r.service, "address", r.address, "registered", known, "err", err)
		}
		select {
		case <-time.After(registerEvery):
			continue
		case <-ctx.Done():
		}
		break
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), registerTimeout)
	defer cancel()
	if err := r.send(last, http.MethodPut, "/v1/agent/service/deregister/"+id, nil); err != nil {
		log.Warn("cannot deregister", "err", err)
	}
}

// send sends a request to the agent.
func (r registration) send(ctx context.Context, method, path string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+r.consul+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", resp.Status)
	}
	return nil
}
