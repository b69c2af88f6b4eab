package discovery

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/pkg/backend"
)

// pushed is a source whose lists a test sends.
type pushed struct{ lists chan []Member }

func newPushed() pushed { return pushed{make(chan []Member)} }

func (p pushed) Watch(ctx context.Context, update func([]Member)) error {
	for {
		select {
		case l := <-p.lists:
			update(l)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p pushed) Reports() []Report { return []Report{{Source: "pushed", Trouble: "none"}} }

func (p pushed) push(ids string) {
	members := []Member{}
	for _, id := range ids {
		members = append(members, Member{Target: backend.Target{ID: string(id)}})
	}
	p.lists <- members
}

func TestUnion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := newPushed(), newPushed()
		u := Union{{"static", a}, {"dns", b}}
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		ended := make(chan error, 1)
		go func() {
			ended <- u.Watch(ctx, func(members []Member) {
				var ids []string
				for _, m := range members {
					ids = append(ids, m.ID)
				}
				got = append(got, strings.Join(ids, " "))
			})
		}()
		expect := func(want ...string) {
			t.Helper()
			synctest.Wait()
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("unexpected lists; got %q; want %q", got, want)
			}
			got = nil
		}
		a.push("x")
		expect() // the other one may come
		b.push("xy")
		expect("static/x dns/x dns/y")
		a.push("")
		expect("dns/x dns/y")
		time.Sleep(unionGrace)
		expect() // nothing new
		if reports := u.Reports(); len(reports) != 2 {
			t.Fatalf("unexpected reports: %+v", reports)
		}
		cancel()
		if err := <-ended; err != context.Canceled {
			t.Fatalf("unexpected end: %v", err)
		}
	})
}

func TestUnionDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := newPushed(), newPushed()
		ctx, cancel := context.WithCancel(t.Context())
		lists := make(chan []Member, 10)
		go func() { _ = Union{{"a", a}, {"b", b}}.Watch(ctx, func(m []Member) { lists <- m }) }()
		began := time.Now()
		a.push("x")
		if m := <-lists; len(m) != 1 || time.Since(began) != unionGrace {
			t.Fatalf("unexpected first list %+v after %s", m, time.Since(began))
		}
		b.push("y")
		if m := <-lists; len(m) != 2 {
			t.Fatalf("unexpected list %+v", m)
		}
		cancel()
		synctest.Wait()
	})
}
