package zone

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestECS(t *testing.T) {
	t.Parallel()
	f := func(status int, body, want, wantErr string) {
		t.Helper()
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v4/id/task" {
				t.Errorf("unexpected path %q", r.URL.Path)
			}
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}))
		defer s.Close()
		got, err := ECS(t.Context(), s.URL+"/v4/id")
		if got != want || (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
			t.Fatalf("unexpected zone of %d %q; got %q, %v; want %q, %q", status, body, got, err, want, wantErr)
		}
	}
	f(200, `{"Cluster":"default","AvailabilityZone":"us-east-2b","Containers":[{"DockerId":"x"}]}`, "us-east-2b", "")
	f(200, `{"Cluster":"default"}`, "", "")
	f(404, `{}`, "", "status 404")
	f(200, `<html>`, "", "invalid character")
	f(200, `{"AvailabilityZone":1}`, "", "cannot unmarshal")
	f(200, `{"A":"`+strings.Repeat("x", maxMetadata)+`"}`, "", "unexpected EOF")

	hang := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer s.Close()
	defer close(hang)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := ECS(ctx, s.URL); err == nil {
		t.Fatal("unexpected success of an endpoint that hangs")
	}
}
