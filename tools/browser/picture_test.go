package browser

import (
	"math/rand/v2"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestPicture takes the picture that README shows, of some minutes of load in which
// backends fail and are drained. SLUICE_DASHBOARD_PICTURE=4m says how long.
func TestPicture(t *testing.T) {
	long, err := time.ParseDuration(os.Getenv("SLUICE_DASHBOARD_PICTURE"))
	if err != nil {
		t.Skip("SLUICE_DASHBOARD_PICTURE=4m takes the picture, into SLUICE_SCREENSHOTS")
	}
	quick, addrs := echos(t, 3, "--latency", "4ms")
	_, more := echos(t, 2, "--latency", "15ms")
	args := []string{"--l7=127.0.0.1:0", "--l4=127.0.0.1:0=queue", "--route=/=web", "--route=/api=api", "--admin=127.0.0.1:0", "--service=api,strategy=p2c_ewma"}
	for _, a := range addrs {
		args = append(args, "--backend=web="+a, "--backend=queue="+a)
	}
	for _, a := range more {
		args = append(args, "--backend=api="+a)
	}
	s := start(t, "sluice", args...)
	for _, path := range []string{"/", "/", "/api/orders", "/status/404"} {
		load(t, "http://"+s.addr("l7")+path, 3)
	}
	load(t, "http://"+s.addr("l4")+"/", 2)
	b := open(t, dashboard(s))
	b.do(chromedp.EmulateViewport(1280, 1000))
	begin := time.Now()
	until := func(part float64) { time.Sleep(time.Until(begin.Add(time.Duration(part * float64(long))))) }
	until(0.3)
	resp, err := http.PostForm("http://"+s.addr("admin")+"/admin/services/api/backends/"+more[1]+"/drain?reason=deploy&by=maria&ttl=30m", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	until(0.55)
	quick[rand.IntN(len(quick))].kill()
	until(0.7)
	for range 3 {
		resp, err := http.Get("http://" + s.addr("l7") + "/status/503")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	until(1)
	b.await("what changed", `document.querySelector("#main").innerText.includes("drain")`)
	b.picture("dashboard")
	b.theme("dark")
	b.picture("dashboard-dark")
	b.page("services")
	b.picture("dashboard-services")
	b.page("advice")
	b.picture("dashboard-advice")
}
