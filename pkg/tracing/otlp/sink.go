package otlp

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"sluice/pkg/throttle"
	"sluice/pkg/tracing"
)

const (
	// batchDelay is how long spans are gathered before they are sent together.
	batchDelay = time.Second
	// exportTimeout bounds what is done for a batch, retries included.
	exportTimeout = 10 * time.Second
	// While the collector takes nothing, spans are dropped before they are made, but
	// for those of one batch after a time that doubles from the first of these to the
	// second.
	firstRest, lastRest = time.Second, 16 * time.Second
)

// Config describes where spans go.
type Config struct {
	// Endpoint is the URL that they are posted to, such as
	// http://127.0.0.1:4318/v1/traces.
	Endpoint string
	// Headers go with each post. They are not for the log.
	Headers http.Header
	// Transport carries them. Nil means http.DefaultTransport.
	Transport http.RoundTripper
	// Version is that of the program.
	Version string
	// Metrics takes the counters of spans, and Logger what an operator should
	// know. Neither may be nil.
	Metrics *metrics.Set
	Logger  *slog.Logger
}

// Sink is a tracing.Sink.
type Sink struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	exporter *exporter
}

// New returns a Sink. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES in the
// environment say what spans are of; without them, the service is sluice.
func New(cfg Config) *Sink {
	ctx := context.Background()
	// What cannot be found out is left out.
	res, _ := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "sluice"), attribute.String("service.version", cfg.Version)),
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithProcessPID(), resource.WithFromEnv())
	client := &client{endpoint: cfg.Endpoint, headers: cfg.Headers, http: http.Client{Transport: cmp.Or(cfg.Transport, http.DefaultTransport)}}
	e := &exporter{
		exporter: otlptrace.NewUnstarted(client), endpoint: cfg.Endpoint, logger: cfg.Logger, begun: time.Now(),
		sent:     cfg.Metrics.GetOrCreateCounter("sluice_otlp_spans_total"),
		failed:   cfg.Metrics.GetOrCreateCounter(tracing.Dropped + `{reason="export"}`),
		rejected: cfg.Metrics.GetOrCreateCounter(tracing.Dropped + `{reason="rejected"}`),
	}
	client.rejected = e.reject
	_ = e.exporter.Start(ctx) // which only looks whether it was started before
	p := sdk.NewTracerProvider(sdk.WithResource(res), sdk.WithIDGenerator(identifiers{}), sdk.WithSampler(sdk.AlwaysSample()),
		sdk.WithBatcher(e, sdk.WithBlocking(), sdk.WithBatchTimeout(batchDelay), sdk.WithExportTimeout(exportTimeout)))
	return &Sink{provider: p, tracer: p.Tracer("sluice"), exporter: e}
}

// Close sends what there is, or returns ctx's error if that takes longer.
func (s *Sink) Close(ctx context.Context) error { return s.provider.Shutdown(ctx) }

// exporter counts what becomes of spans. It returns no errors, which the SDK would
// only write to stderr.
type exporter struct {
	exporter *otlptrace.Exporter
	endpoint string
	logger   *slog.Logger
	quiet    throttle.Throttle
	rest     time.Duration // after the last failure; 0 after a success
	begun    time.Time
	until    atomic.Int64 // when it ends, in ns since begun

	sent, failed, rejected *metrics.Counter
}

func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	if err := e.exporter.ExportSpans(ctx, spans); err != nil {
		e.failed.Add(len(spans))
		e.rest = min(max(firstRest, 2*e.rest), lastRest)
		e.until.Store(int64(time.Since(e.begun) + e.rest))
		if ok, more := e.quiet.Allow(time.Now()); ok {
			e.logger.Warn("spans were dropped: the collector did not take them", "endpoint", e.endpoint, "spans", len(spans), "err", err, "more", more)
		}
		return nil
	}
	e.sent.Add(len(spans))
	e.rest = 0
	e.until.Store(0)
	return nil
}

// drops reports whether spans would be for nothing now, and counts n of them.
func (e *exporter) drops(n int) bool {
	if int64(time.Since(e.begun)) >= e.until.Load() {
		return false
	}
	e.failed.Add(n)
	return true
}

// reject counts spans that the collector did not want, of those that were sent.
func (e *exporter) reject(n int, why string) {
	e.rejected.Add(n)
	if ok, more := e.quiet.Allow(time.Now()); ok {
		e.logger.Warn("spans were dropped: the collector rejected them", "endpoint", e.endpoint, "spans", n, "err", why, "more", more)
	}
}

func (e *exporter) Shutdown(ctx context.Context) error { return e.exporter.Shutdown(ctx) }
