package htpasswd

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

const patience = 30 * time.Second

func basic(user, password string) []byte {
	return []byte(base64.StdEncoding.EncodeToString([]byte(user + ":" + password)))
}

func bcrypted(t *testing.T, password string) string {
	t.Helper()
	b, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The hashes are of "sesame"; those of apr1 and crypt were made by openssl.
const others = `
# a comment
apr1:$apr1$saltsalt$1wcO0UXrrrYuRqru5simD1
sha256:$5$saltsalt$Arv3XkXcPR5LHLrzVCBdKV5hwRocYIyFvUvGa9tbc06
sha512:$6$saltsalt$g3uPFdehVnKoLXdidvSAg1zlVgYomPr0X/xgdXSBn2LuxZUOGgYW4IULZkguZ77fzYteIur49AGHmF9iek6Sf1
sha:{SHA}CEo1Ae3vaEXy8eQZjsOiuBz1xrw=
`

func open(t *testing.T, content string) *File {
	t.Helper()
	path := t.TempDir() + "/users"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// ask waits for the verdict.
func ask(t *testing.T, f *File, credentials []byte) (user string, first Verdict) {
	t.Helper()
	later := make(chan string, 1)
	user, first = f.Check(credentials, func(user string) { later <- user })
	if first != Pending {
		return user, first
	}
	select {
	case user = <-later:
	case <-time.After(patience):
		t.Fatal("no verdict")
	}
	return user, first
}

func TestCheck(t *testing.T) {
	t.Parallel()
	f := open(t, "bcrypt:"+bcrypted(t, "sesame")+":a comment\n2y:"+strings.Replace(bcrypted(t, "sesame"), "$2a$", "$2y$", 1)+others)
	for _, name := range []string{"bcrypt", "2y", "apr1", "sha", "sha256", "sha512"} {
		for _, x := range []struct {
			password, want string
			first          Verdict
		}{{"sesame", name, Pending}, {"sesame", name, Right}, {"wrong", "", Pending}, {"wrong", "", Wrong}} {
			if user, first := ask(t, f, basic(name, x.password)); user != x.want || first != x.first {
				t.Errorf("unexpected verdict on %s with %q; got %q, %v; want %q, %v", name, x.password, user, first, x.want, x.first)
			}
		}
	}
	for what, credentials := range map[string][]byte{
		"a name that there is not": basic("nobody", "sesame"), "no name": basic("", ""), "no colon": []byte("YWJj"), "no base64": []byte("%%%"), "nothing": nil,
		"too much": []byte(strings.Repeat("a", maxCredentials+1)),
	} {
		if user, _ := ask(t, f, credentials); user != "" {
			t.Errorf("unexpected user of %s: %q", what, user)
		}
	}
}

func TestParseFailure(t *testing.T) {
	t.Parallel()
	good := bcrypted(t, "x")
	for content, want := range map[string]string{
		"a":                         "line 1 is not NAME:HASH",
		"\n:" + good:                "line 2 has no name",
		"a:" + good + "\na:" + good: "comes twice",
		"a:plain":                   "of no kind",
		"a:":                        "of no kind",
		"a:{SHA}xx":                 "malformed",
		"a:" + good[:50]:            "bcrypt",
		"a:$2y$99$" + good[7:]:      "bcrypt",
		"a\x01b:" + good:            "no name",
	} {
		if _, err := parse(content); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), good[:20]) {
			t.Errorf("unexpected error for %q; got %v; want one with %q", content, err, want)
		}
	}
	if u, err := parse(""); err != nil || u.match("a", "") {
		t.Errorf("unexpected result of an empty file: %v", err)
	}
}

// TestFollow has the file replaced, broken and replaced again.
func TestFollow(t *testing.T) {
	t.Parallel()
	f := open(t, "a:"+bcrypted(t, "old"))
	go f.Follow(t.Context())
	write := func(content string) {
		if err := os.WriteFile(f.path, []byte(content), 0o600); err != nil {
			t.Error(err)
		}
	}
	await := func(what, password, want string) {
		t.Helper()
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			if user, _ := ask(t, f, basic("a", password)); user == want {
				return
			}
		}
		t.Fatalf("%s: user never was %q", what, want)
	}
	await("at first", "old", "a")
	write("a:" + bcrypted(t, "new"))
	await("after a change", "new", "a")
	await("after a change", "old", "")
	if err := f.set("a:broken"); err == nil {
		t.Error("unexpected success of a broken file")
	}
	await("while it is broken", "new", "a")
}

// TestSharedVerification has many ask for the same at once.
func TestSharedVerification(t *testing.T) {
	t.Parallel()
	f := open(t, "a:{SHA}CEo1Ae3vaEXy8eQZjsOiuBz1xrw=")
	for range cap(f.workers) { // nobody is served yet
		f.workers <- struct{}{}
	}
	var wg sync.WaitGroup
	ok := make(chan string, 100)
	for range 100 {
		wg.Add(1)
		if _, v := f.Check(basic("a", "sesame"), func(user string) { ok <- user; wg.Done() }); v != Pending {
			t.Fatalf("unexpected verdict: %v", v)
		}
	}
	f.mu.Lock()
	if len(f.pending) != 1 {
		t.Errorf("unexpected number of verifications: %d", len(f.pending))
	}
	f.mu.Unlock()
	// More than may wait are turned away.
	var busy int
	for i := range maxPending {
		wg.Add(1)
		if _, v := f.Check(basic("a", fmt.Sprint(i)), func(string) { wg.Done() }); v == Busy {
			busy++
			wg.Done()
		}
	}
	if busy != 1 {
		t.Errorf("unexpected number turned away; got %d; want 1", busy)
	}
	for range cap(f.workers) {
		<-f.workers
	}
	wg.Wait()
	close(ok)
	for user := range ok {
		if user != "a" {
			t.Errorf("unexpected user %q", user)
		}
	}
}

func TestRecentIsBounded(t *testing.T) {
	t.Parallel()
	var r recent
	first := digest{31: 1}
	r.put(first, "first")
	for i := range 10 * maxRecent {
		r.put(digest{byte(i), byte(i >> 8), byte(i >> 16)}, "x")
		if i%1000 == 0 {
			if user, ok := r.get(first); !ok || user != "first" {
				t.Fatal("what is asked for is forgotten")
			}
		}
	}
	if n := len(r.young) + len(r.old); n > 2*maxRecent {
		t.Errorf("unexpected number remembered: %d", n)
	}
}
