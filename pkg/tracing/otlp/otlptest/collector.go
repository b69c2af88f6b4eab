// Package otlptest has a collector for tests that takes spans over OTLP and decodes
// them.
package otlptest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	pb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Collector is one.
type Collector struct {
	t   *testing.T
	srv *httptest.Server

	// mu protects the fields below.
	mu       sync.Mutex
	spans    []*pb.Span
	resource map[string]string
	headers  http.Header
	answers  []func(http.ResponseWriter)
}

// Start runs a collector until the test ends.
func Start(t *testing.T) *Collector {
	c := &Collector{t: t}
	c.srv = httptest.NewServer(http.HandlerFunc(c.take))
	t.Cleanup(c.srv.Close)
	return c
}

// URL returns where it is.
func (c *Collector) URL() string { return c.srv.URL }

// Answer has the next posts answered by these instead of being taken.
func (c *Collector) Answer(answers ...func(http.ResponseWriter)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers = answers
}

func (c *Collector) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.headers = r.Header
	if len(c.answers) > 0 {
		answer := c.answers[0]
		c.answers = c.answers[1:]
		answer(w)
		return
	}
	var data pb.TracesData
	switch err := proto.Unmarshal(body, &data); {
	case r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf":
		c.t.Errorf("unexpected request: %s %s of %s", r.Method, r.URL, r.Header.Get("Content-Type"))
	case err != nil:
		c.t.Errorf("what came is no protobuf: %v", err)
	}
	for _, rs := range data.ResourceSpans {
		c.resource = Attributes(rs.Resource.Attributes)
		for _, ss := range rs.ScopeSpans {
			c.spans = append(c.spans, ss.Spans...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// Spans waits until there are n spans and returns all that there are.
func (c *Collector) Spans(n int) []*pb.Span {
	c.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c.mu.Lock()
		spans := c.spans
		c.mu.Unlock()
		if len(spans) >= n {
			return spans
		}
		if time.Now().After(end) {
			c.t.Fatalf("%d spans have come; want %d", len(spans), n)
		}
	}
}

// Resource returns the attributes of what sent them, and the headers that came with
// them.
func (c *Collector) Resource() (map[string]string, http.Header) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resource, c.headers
}

// Attributes returns attributes as text.
func Attributes(kvs []*common.KeyValue) map[string]string {
	all := make(map[string]string)
	for _, kv := range kvs {
		value := kv.Value.String()
		if s, ok := kv.Value.Value.(*common.AnyValue_StringValue); ok {
			value = s.StringValue
		}
		_, number, found := strings.Cut(value, "_value:")
		if found {
			value = number
		}
		all[kv.Key] = value
	}
	return all
}
