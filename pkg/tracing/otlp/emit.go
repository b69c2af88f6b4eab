package otlp

import (
	"context"
	"net"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"sluice/pkg/tracing"
)

// wanted is what a span is to be identified by, in the context that it is started
// with.
type wanted struct {
	trace tracing.TraceID
	span  tracing.SpanID
}

type wantedKey struct{}

// identifiers gives spans the identifiers that are wanted: backends were told them
// before the spans were made.
type identifiers struct{}

func (identifiers) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	w := ctx.Value(wantedKey{}).(wanted)
	return trace.TraceID(w.trace), trace.SpanID(w.span)
}

func (i identifiers) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	_, span := i.NewIDs(ctx)
	return span
}

// Emit makes the spans of s, by OpenTelemetry's conventions for HTTP servers and
// clients, and has them exported. It blocks while the exporter has no room, and drops
// s while the collector takes nothing.
func (s *Sink) Emit(sp *tracing.Span) {
	if s.exporter.drops(sp.Count()) {
		return
	}
	ctx := context.WithValue(context.Background(), wantedKey{}, wanted{sp.Trace, sp.ID})
	if sp.Parent != (tracing.SpanID{}) {
		state, _ := trace.ParseTraceState(sp.State) // a bad one is none
		ctx = trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID(sp.Trace), SpanID: trace.SpanID(sp.Parent), TraceFlags: trace.FlagsSampled, TraceState: state, Remote: true,
		}))
	}
	name := sp.Request.Method
	if name == "" {
		name = "HTTP" // none could be read
	}
	full := name
	if sp.Request.Route != "" {
		full += " " + sp.Request.Route
	}
	ctx, server := s.tracer.Start(ctx, full, trace.WithTimestamp(sp.Start), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(serverAttributes(sp)...))
	if up := &sp.Upstream; !up.Start.IsZero() {
		ctx = context.WithValue(ctx, wantedKey{}, wanted{sp.Trace, up.ID})
		_, client := s.tracer.Start(ctx, name, trace.WithTimestamp(up.Start), trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(clientAttributes(sp)...))
		for _, r := range up.Retries {
			client.AddEvent("retry", trace.WithTimestamp(r.At), trace.WithAttributes(
				attribute.String("sluice.backend", r.Backend), attribute.String("sluice.reason", r.Reason), attribute.String("exception.message", r.Err)))
		}
		if sp.Outcome.Failed || sp.Outcome.Status >= 400 {
			client.SetStatus(codes.Error, sp.Outcome.Err)
		}
		client.End(trace.WithTimestamp(sp.End))
	}
	if sp.Outcome.Failed || sp.Outcome.Status >= 500 {
		server.SetStatus(codes.Error, sp.Outcome.Err)
	}
	server.End(trace.WithTimestamp(sp.End))
}

// common are the attributes that both spans have.
func common(sp *tracing.Span) []attribute.KeyValue {
	r, o := &sp.Request, &sp.Outcome
	a := make([]attribute.KeyValue, 0, 28)
	a = append(a, attribute.String("http.request.method", r.Method), attribute.Int("http.response.status_code", o.Status))
	switch {
	case o.Reason != "" && (o.Failed || o.Status >= 400):
		a = append(a, attribute.String("error.type", o.Reason))
	case o.Status >= 500:
		a = append(a, attribute.String("error.type", strconv.Itoa(o.Status)))
	}
	if o.GRPC >= 0 {
		a = append(a, attribute.String("rpc.system", "grpc"), attribute.Int("rpc.grpc.status_code", o.GRPC))
	}
	return a
}

func serverAttributes(sp *tracing.Span) []attribute.KeyValue {
	r, o := &sp.Request, &sp.Outcome
	a := append(common(sp),
		attribute.String("url.scheme", scheme(r.Secure)), attribute.String("url.path", r.Path),
		attribute.String("network.protocol.name", "http"), attribute.String("network.protocol.version", r.Protocol),
		attribute.Int64("http.request.body.size", o.In), attribute.Int64("http.response.body.size", o.Out),
		attribute.String("sluice.listener", r.Listener),
	)
	optional := func(key, value string) {
		if value != "" {
			a = append(a, attribute.String(key, value))
		}
	}
	if host, port, err := net.SplitHostPort(r.Host); err == nil {
		a = append(a, attribute.String("server.address", host), number("server.port", port))
	} else {
		optional("server.address", strings.Trim(r.Host, "[]"))
	}
	if r.Client.IsValid() {
		a = append(a, attribute.String("network.peer.address", r.Client.Addr().Unmap().String()), attribute.Int("network.peer.port", int(r.Client.Port())))
		client := r.Client.Addr()
		if r.For.IsValid() {
			client = r.For
		}
		a = append(a, attribute.String("client.address", client.Unmap().String()))
	}
	optional("url.query", r.Query)
	optional("user_agent.original", r.UserAgent)
	optional("http.route", r.Route)
	optional("sluice.service", r.Service)
	optional("sluice.reason", o.Reason)
	optional("http.request.header.x-request-id", r.ID)
	if o.Upgraded {
		a = append(a, attribute.Bool("sluice.upgraded", true))
	}
	return a
}

func clientAttributes(sp *tracing.Span) []attribute.KeyValue {
	up := &sp.Upstream
	a := append(common(sp), attribute.String("sluice.service", sp.Request.Service), attribute.String("sluice.strategy", up.Strategy),
		attribute.String("sluice.backend.protocol", up.Protocol))
	if host, port, err := net.SplitHostPort(up.Backend); err == nil {
		a = append(a, attribute.String("server.address", host), number("server.port", port), attribute.String("network.peer.address", host), number("network.peer.port", port))
	}
	if n := len(up.Retries); n > 0 {
		a = append(a, attribute.Int("http.request.resend_count", n))
	}
	return a
}

func scheme(secure bool) string {
	if secure {
		return "https"
	}
	return "http"
}

func number(key, port string) attribute.KeyValue {
	n, _ := strconv.Atoi(port)
	return attribute.Int(key, n)
}
