package file

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/discovery"
)

const patience = 30 * time.Second

func text(members []discovery.Member) string {
	var parts []string
	for _, m := range members {
		parts = append(parts, fmt.Sprintf("%s=%s*%d%s:%s%s%s%v", m.ID, m.Address, m.Weight, m.Zone, m.Status, m.Check, m.Protocol, m.Tags))
	}
	return strings.Join(parts, " ")
}

func TestParseSuccess(t *testing.T) {
	t.Parallel()
	f := func(content, want string) {
		t.Helper()
		members, err := parse([]byte(content))
		if err != nil || text(members) != want || members == nil {
			t.Fatalf("unexpected members of %q; got %q, %v; want %q", content, text(members), err, want)
		}
	}
	f("[]", "")
	f("- 10.0.0.1:80", "10.0.0.1:80=10.0.0.1:80*1:passing[]")
	f("- a.example.com:80\n- '[::1]:81'\n", "a.example.com:80=a.example.com:80*1:passing[] [::1]:81=[::1]:81*1:passing[]")
	f("- {addr: '10.0.0.1:80', id: one, weight: 0, zone: b, status: maintenance, check: 'http:/up', protocol: http, tags: [x, y]}",
		"one=10.0.0.1:80*0b:maintenancehttp:/uphttp[x y]")
	f(`["10.0.0.1:80", {"addr": "10.0.0.2:80", "weight": 65535}]`, "10.0.0.1:80=10.0.0.1:80*1:passing[] 10.0.0.2:80=10.0.0.2:80*65535:passing[]")
	f("- {addr: 'h:1', id: a}\n- {addr: 'h:1', id: b}", "a=h:1*1:passing[] b=h:1*1:passing[]")
}

func TestParseFailure(t *testing.T) {
	t.Parallel()
	f := func(content, want string) {
		t.Helper()
		members, err := parse([]byte(content))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("unexpected reading of %q; got %q, %v; want an error with %q", content, text(members), err, want)
		}
	}
	f("", "it is empty")
	f(" \n", "it is empty")
	f("# nothing\n", "it has no list")
	f("null", "it has no list")
	f("web: 1", "cannot unmarshal")
	f("- [1]", "cannot unmarshal")
	f("- {addr", "line 1")
	f("- 10.0.0.1", "entry 1: address")
	f("- h:80\n- h:0", "entry 2: port")
	f("- ':80'", "is not a host")
	f("- 0.0.0.0:80", "is not a host")
	f("- h:80\n- h:80", `entry 2: "h:80" is listed twice`)
	f("- {addr: 'h:80', wieght: 3}", `unknown key "wieght"`)
	f("- {addr: 'h:80', weight: -1}", "weight -1")
	f("- {addr: 'h:80', weight: much}", "cannot unmarshal")
	f("- {addr: 'h:80', status: well}", `status "well"`)
	f("- {addr: 'h:80', check: ping}", `check "ping"`)
	f("- {addr: 'h:80', check: 'http:/%zz'}", "cannot be asked for")
	f("- {addr: 'h:80', check: 'http://:8008/primary'}", "no host and no port")
	f("- {addr: 'h:80', protocol: gopher}", `protocol "gopher"`)
	f("-\n", "it is nothing")
	f("- h:80\n---\n- h:81\n", "more than one list")
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"[]", "- h:80", "- {addr: 'h:80', weight: 3, status: warning}", "{}", "- &a h:1\n- *a"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		members, err := parse(data)
		if err != nil {
			return
		}
		for _, m := range members {
			if m.ID == "" || m.Weight < 0 || !strings.Contains(m.Address, ":") {
				t.Fatalf("%q was read as %+v", data, m)
			}
		}
	})
}

type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) count(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), part)
}

// watch follows the file at path until the test ends.
func watch(t *testing.T, path string) (s *Source, expect func(want string), l *logs) {
	t.Helper()
	l = &logs{}
	s = New(Config{Service: "web", Path: path, Logger: slog.New(slog.NewTextHandler(l, nil))})
	ctx, cancel := context.WithCancel(context.Background())
	updates, ended := make(chan string, 100), make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Watch(ctx, func(members []discovery.Member) { // its error is ctx's
			var ids []string
			for _, m := range members {
				ids = append(ids, m.ID)
			}
			updates <- strings.Join(ids, " ")
		})
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return s, func(want string) {
		t.Helper()
		select {
		case got := <-updates:
			if got != want {
				t.Fatalf("unexpected members; got %q; want %q", got, want)
			}
		case <-time.After(patience):
			t.Fatalf("no update; want %q", want)
		}
	}, l
}

// replace writes a file beside path and renames it over it.
func replace(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("does not happen: %s", what)
		}
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "web.yaml")
	s, expect, l := watch(t, path)
	trouble := func(want string, kept int) {
		t.Helper()
		until(t, "the report says "+want, func() bool {
			r := s.Reports()[0]
			return strings.Contains(r.Trouble, want) && (want == "") == (r.Trouble == "") && r.Kept == kept
		})
	}
	trouble("no such file", 0) // it may still come
	replace(t, path, "- a:1")
	expect("a:1")
	trouble("", 0)
	replace(t, path, "- a:1\n- b:1")
	expect("a:1 b:1")
	for i, broken := range []string{"", "- c:1\n- d", "{"} {
		replace(t, path, broken)
		until(t, "it is judged", func() bool { return s.errors.Get() == uint64(i+1) })
	}
	trouble("line 1", 2)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	trouble("no such file", 2)
	replace(t, path, "- a:1\n- b:1 # as before")
	trouble("", 0)
	replace(t, path, "[]")
	expect("") // nothing came in between
	for _, want := range []string{"it is empty", "entry 2", "line 1"} {
		if n := l.count(want); n != 1 {
			t.Fatalf("unexpected log; got %d lines with %q; want 1", n, want)
		}
	}
}

// TestSwappedLink replaces the file as Kubernetes does, by swapping a link to
// its directory.
func TestSwappedLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "web.yaml")
	swap := func(version, content string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, version, "web.yaml"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(version, filepath.Join(dir, "..new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..new"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	swap("..1", "- a:1")
	if err := os.Symlink(filepath.Join("..data", "web.yaml"), path); err != nil {
		t.Fatal(err)
	}
	_, expect, _ := watch(t, path)
	expect("a:1")
	swap("..2", "- b:1")
	expect("b:1")
}

// TestLooks checks that half a file does not count. Each letter is what a look
// sees, in capitals where it is to be judged.
func TestLooks(t *testing.T) {
	t.Parallel()
	f := func(first bool, want string) {
		t.Helper()
		var l looks
		got := ""
		for _, c := range want {
			seen := strings.ToLower(string(c))
			if l.judge([]byte(seen), first) {
				seen, first = strings.ToUpper(seen), false
			}
			got += seen
		}
		if got != want {
			t.Fatalf("unexpected looks; got %q; want %q", got, want)
		}
	}
	f(true, "AaabcdDdd")
	f(true, "Aaabababaa") // back to what it was
	f(true, "AabBbaAa")
	f(true, "AabBcCc")
	f(false, "aAa")
}
