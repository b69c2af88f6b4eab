package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long a page may take for anything on a busy machine.
const patience = 60 * time.Second

// tab is a page in a browser, with what went wrong in it.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	origin   string
	problems []string
}

// open starts a browser of its own and leads it to a page.
func open(t *testing.T, address string) *tab {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("there is no Chromium")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.Flag("disable-dev-shm-usage", true), chromedp.DisableGPU)
	alloc, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	b.origin = u.Scheme + "://" + u.Host
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("cannot start the browser: %v", err)
	}
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.EmulateViewport(1280, 900), chromedp.Navigate(address))
	return b
}

// hear notes errors of the console, exceptions, and requests elsewhere.
func (b *tab) hear(ev any) {
	note := func(format string, args ...any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.problems = append(b.problems, fmt.Sprintf(format, args...))
	}
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		note("exception: %+v", ev.ExceptionDetails)
	case *runtime.EventConsoleAPICalled:
		if ev.Type == "error" || ev.Type == "warning" {
			note("console: %v", ev.Args)
		}
	case *network.EventRequestWillBeSent:
		if u := ev.Request.URL; !strings.HasPrefix(u, b.origin+"/") && !strings.HasPrefix(u, "blob:"+b.origin) && !strings.HasPrefix(u, "data:") {
			note("a request to another origin: %s", u)
		}
	}
}

// clean fails if anything went wrong in the page.
func (b *tab) clean() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.problems) > 0 {
		b.t.Fatalf("the page has problems: %s", strings.Join(b.problems, "\n"))
	}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("the browser says: %v", err)
	}
}

// eval returns the value of an expression in the page.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// await waits until an expression is true in the page. While what it looks at is
// not there, it is not.
func (b *tab) await(what, expression string) {
	b.t.Helper()
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if eval[bool](b, "(() => { try { return !!("+expression+"); } catch (e) { if (e instanceof TypeError) return false; throw e; } })()") {
			return
		}
		if time.Since(begin) > patience {
			b.picture("failed")
			b.t.Fatalf("does not happen in the page: %s\n%s", what, eval[string](b, "document.body.innerText.slice(0, 3000)"))
		}
	}
}

// page shows another page of the dashboard and waits until it is there.
func (b *tab) page(key string) {
	b.t.Helper()
	eval[bool](b, `(location.hash = "#/`+key+`", true)`)
	key, _, _ = strings.Cut(key, "?")
	b.await("page "+key, `document.querySelector('#main [data-page="`+key+`"]') && document.querySelector('#main [data-page="`+key+`"]').children.length > 0`)
}

// press presses the button with a text, once it is there and can be pressed: that
// of the dialog on top, if there is one.
func (b *tab) press(text string) {
	b.t.Helper()
	find := `[...(document.querySelector("#ask[open]") || document.querySelector("#dialog[open]") || document).querySelectorAll("button")].filter((x) => x.textContent === "` + text + `" && !x.disabled && x.checkVisibility()).pop()`
	b.await("a button "+text, find)
	eval[bool](b, `(`+find+`.click(), true)`)
}

// set writes into a field, as somebody who types does.
func (b *tab) set(selector, value string) {
	b.t.Helper()
	b.await("a field "+selector, `document.querySelector("`+selector+`")`)
	text, err := json.Marshal(value)
	if err != nil {
		b.t.Fatal(err)
	}
	eval[bool](b, `((e) => { e.value = `+string(text)+`; for (const type of ["input", "change"]) e.dispatchEvent(new Event(type, {bubbles: true})); return true; })(document.querySelector("`+selector+`"))`)
}

// theme sets what the system prefers.
func (b *tab) theme(name string) {
	b.t.Helper()
	b.do(func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}})
		return chromedp.Void{}, err
	})
}

// picture keeps a picture of the page, if somebody wants to look.
func (b *tab) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("SLUICE_SCREENSHOTS")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600)
	}
	if err != nil {
		b.t.Logf("no picture: %v", err)
	}
}
