package engine

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/engine/desired"
	"sluice/pkg/admin"
	"sluice/pkg/listen"
)

// opener is a server that tells of its open connections; f returns whether one
// is to be cut.
type opener interface {
	Open(f func(listen.Open) (cut bool))
}

// Connections returns the open connections that a filter means.
func (a asked) Connections(filter admin.ConnectionFilter, offset, limit int) (page []admin.ConnectionView, total int) {
	now := time.Now()
	var mu sync.Mutex
	var all []admin.ConnectionView
	for _, f := range a.e.fronts.everything() {
		server, ok := f.server.(opener)
		if !ok || filter.Listener != "" && filter.Listener != f.wants.Addr && filter.Listener != f.addr().String() {
			continue
		}
		server.Open(func(o listen.Open) bool {
			if !means(filter, f, o) {
				return false
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, admin.ConnectionView{
				ID: connectionID(f, o), Client: o.Client.String(), Listener: f.addr().String(), Kind: f.kind, Service: o.Service, Backend: o.Backend,
				Since: o.Since.UTC(), Age: few(now.Sub(o.Since).Seconds()),
			})
			return false
		})
	}
	slices.SortFunc(all, func(a, b admin.ConnectionView) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	from := min(offset, len(all))
	return all[from:min(from+limit, len(all))], len(all)
}

// EndConnection cuts a connection.
func (a asked) EndConnection(id string) (found bool) {
	var mu sync.Mutex
	for _, f := range a.e.fronts.everything() {
		if server, ok := f.server.(opener); ok && strings.HasPrefix(id, frontID(f)) {
			server.Open(func(o listen.Open) bool {
				if connectionID(f, o) != id {
					return false
				}
				mu.Lock()
				defer mu.Unlock()
				found = true
				return true
			})
		}
	}
	return found
}

// connectionID names a connection: no other that is open has the same listener
// and client, unless a PROXY header says so.
func connectionID(f *front, o listen.Open) string { return frontID(f) + o.Client.String() }

func frontID(f *front) string {
	_, port, _ := net.SplitHostPort(f.addr().String()) // it is one
	return fmt.Sprintf("%s-%s-", f.kind, port)
}

// means reports whether a filter means a connection.
func means(filter admin.ConnectionFilter, f *front, o listen.Open) bool {
	switch {
	case filter.Service != "" && filter.Service != o.Service,
		filter.Backend != "" && !desired.SameAddress(o.Backend, filter.Backend),
		filter.Client.IsValid() && !filter.Client.Contains(o.Client.Addr().Unmap()):
		return false
	}
	return true
}
