package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/pkg/config"
	"sluice/pkg/tracing"
	"sluice/pkg/tracing/otlp"
)

// traceFlush bounds how long a stop waits for the collector.
const traceFlush = 2 * time.Second

// openTracer returns what is told of requests that are sampled, or nil if nobody
// is to be. What is set for all of OpenTelemetry's exporters in the environment
// counts.
func openTracer(c *config.Config, environ []string, set *metrics.Set, logger *slog.Logger) (*tracing.Tracer, error) {
	if c.OTLP == "" {
		return nil, nil
	}
	endpoint, _ := c.OTLPEndpoint() // Validate has checked it
	env := variables(environ)
	headers, err := otlpHeaders(env["OTEL_EXPORTER_OTLP_HEADERS"])
	if err != nil {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_HEADERS: %w", err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if file := env["OTEL_EXPORTER_OTLP_CERTIFICATE"]; file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE: %w", err)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool()}
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE: %s has no certificate", file)
		}
	}
	sink := otlp.New(otlp.Config{Endpoint: endpoint, Headers: headers, Transport: transport, Version: version, Metrics: set, Logger: logger})
	return tracing.New(tracing.Config{Sink: sink, Share: float64(c.OTLPSample) / 100, Metrics: set}), nil
}

// otlpHeaders reads name=value,name=value, values as in URLs. Its errors say no
// values, which are secrets.
func otlpHeaders(list string) (http.Header, error) {
	headers := make(http.Header)
	for pair := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if name = strings.TrimSpace(name); !ok || name == "" || err != nil {
			return nil, errors.New("want name=value,name=value, with values as in URLs")
		}
		headers.Add(name, value)
	}
	return headers, nil
}

// closeTracer sends what there still is.
func closeTracer(t *tracing.Tracer, logger *slog.Logger) {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), traceFlush)
	defer cancel()
	if err := t.Close(ctx); err != nil {
		logger.Warn("the last spans could not be sent in time", "limit", traceFlush)
	}
}
