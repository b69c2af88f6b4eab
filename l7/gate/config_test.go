package gate

import (
	"fmt"
	"testing"
	"time"
)

func TestWithDefaults(t *testing.T) {
	t.Parallel()
	c := Config{Timeouts: Timeouts{ConnectTimeout: -1, BodyTimeout: time.Second}}.WithDefaults()
	got := fmt.Sprint(c.ConnectTimeout, c.HeadTimeout, c.BodyTimeout, c.ResponseTimeout, c.IdleTimeout, c.MaxHeadBytes)
	if want := fmt.Sprint(Forever, 10*time.Second, time.Second, time.Minute, 75*time.Second, 32<<10); got != want {
		t.Errorf("unexpected defaults; got %s; want %s", got, want)
	}
}
