package fast_test

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"

	"sluice/l7/fast"
	"sluice/l7/gate"
	"sluice/l7/plain"
	"sluice/pkg/backend"
	"sluice/pkg/balance"
)

// Somebody's own server, with a middleware of theirs before sluice's routing.
func ExampleNew() {
	// A backend that tells what it was asked.
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s for %s", r.Method, r.URL.Path, r.Header.Get("X-Tenant"))
	}))
	defer app.Close()

	// A service with one backend, and a route that leads there.
	pool := backend.NewPool("app")
	pool.Set([]backend.Target{{ID: "1", Address: strings.TrimPrefix(app.URL, "http://"), Weight: 1}})
	balancer, err := balance.New(pool, "p2c")
	if err != nil {
		fmt.Println(err)
		return
	}
	balanced, err := fast.New(plain.Config{Config: gate.Config{
		Routes:  []gate.Route{{Path: "/", Balancer: balancer}},
		Logger:  slog.New(slog.DiscardHandler),
		Metrics: metrics.NewSet(),
	}})
	if err != nil {
		fmt.Println(err)
		return
	}

	// The middleware: it turns away who has no tenant, tells backends of it, and
	// signs responses.
	handler := func(ctx *fasthttp.RequestCtx) {
		tenant := ctx.QueryArgs().Peek("tenant")
		if len(tenant) == 0 {
			ctx.Error("who are you?", fasthttp.StatusUnauthorized)
			return
		}
		ctx.Request.Header.SetBytesV("X-Tenant", tenant)
		balanced(ctx)
		ctx.Response.Header.Set("X-Served-By", "us")
	}

	server := &fasthttp.Server{Handler: handler, StreamRequestBody: true, DisablePreParseMultipartForm: true, NoDefaultServerHeader: true}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() { _ = server.Serve(ln) }()
	defer func() { _ = server.Shutdown() }()

	for _, path := range []string{"/orders", "/orders?tenant=acme"} {
		resp, err := http.Get("http://" + ln.Addr().String() + path)
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Printf("%d %q %s\n", resp.StatusCode, resp.Header.Get("X-Served-By"), body)
	}
	http.DefaultClient.CloseIdleConnections()
	// Output:
	// 401 "" who are you?
	// 200 "us" GET /orders for acme
}
