package otlp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

const (
	firstPause, lastPause = 500 * time.Millisecond, 4 * time.Second
	maxAnswer             = 64 << 10
)

// client posts spans as OTLP over HTTP with protobuf (opentelemetry.io/docs/specs/otlp).
type client struct {
	endpoint string
	headers  http.Header
	http     http.Client
	rejected func(spans int, why string)
}

func (c *client) Start(context.Context) error { return nil }

func (c *client) Stop(context.Context) error {
	c.http.CloseIdleConnections()
	return nil
}

// UploadTraces posts spans, and again while the collector asks for that, until ctx
// ends.
func (c *client) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	// The same bytes as an ExportTraceServiceRequest, whose package needs gRPC.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return err
	}
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		after, err := c.post(ctx, body)
		if after < 0 || err == nil {
			return err
		}
		select {
		case <-time.After(max(after, pause)):
		case <-ctx.Done():
			return err
		}
	}
}

// post posts body once. After an error, after is how long to wait at least before it
// is tried again, or below 0 if it is not to be.
func (c *client) post(ctx context.Context, body []byte) (after time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, bytes.NewReader(body))
	if err != nil {
		return -1, err
	}
	for name, values := range c.headers {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("User-Agent", "sluice")
	resp, err := c.http.Do(req)
	if err != nil {
		return -1, err // the next batch will tell whether it is back
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch resp.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		if err != nil {
			return -1, err
		}
		if n, why := partialSuccess(answer); n > 0 {
			c.rejected(n, why)
		}
		return 0, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // a date is rare, and is as none
		after = time.Duration(min(max(seconds, 0), 3600)) * time.Second
	default:
		after = -1
	}
	return after, fmt.Errorf("status %s", resp.Status)
}

// partialSuccess reads an ExportTraceServiceResponse: how many spans were rejected,
// and why. What it cannot read says nothing.
func partialSuccess(b []byte) (rejected int, why string) {
	eachField(b, func(field protowire.Number, _ uint64, part []byte) {
		if field != 1 || part == nil {
			return
		}
		eachField(part, func(field protowire.Number, n uint64, text []byte) {
			switch field {
			case 1:
				rejected = int(min(n, 1<<30))
			case 2:
				why = string(text)
			}
		})
	})
	return rejected, why
}

// eachField calls f for the fields of a message that are numbers or bytes, until
// one cannot be read.
func eachField(b []byte, f func(field protowire.Number, n uint64, bytes []byte)) {
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return
		}
		b = b[n:]
		switch kind {
		case protowire.VarintType:
			v, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return
			}
			f(field, v, nil)
			b = b[n:]
		case protowire.BytesType:
			v, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return
			}
			f(field, 0, v)
			b = b[n:]
		default:
			n := protowire.ConsumeFieldValue(field, kind, b)
			if n < 0 {
				return
			}
			b = b[n:]
		}
	}
}
