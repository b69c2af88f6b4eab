package engine

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

func TestFindZone(t *testing.T) {
	t.Parallel()
	knows := func(zone string) zoneAsker {
		return zoneAsker{"knows", func(context.Context) (string, error) { return zone, nil }}
	}
	f := func(want string, wantAfter time.Duration, askers ...zoneAsker) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			begin := time.Now()
			if got := findZone(ctx, askers, slog.New(slog.DiscardHandler)); got != want || time.Since(begin) != wantAfter {
				t.Fatalf("unexpected zone; got %q after %v; want %q after %v", got, time.Since(begin), want, wantAfter)
			}
		})
	}
	failing := zoneAsker{"fails", func(context.Context) (string, error) { return "", errors.New("refused") }}
	f("", 0)
	f("", 0, knows(""))
	f("b", 0, knows(""), knows("b"))
	f("b", 0, failing, knows("b"))
	f("", time.Minute, failing, knows(""))
	tries := 0
	f("c", 3*time.Second, zoneAsker{"recovers", func(context.Context) (string, error) {
		if tries++; tries < 3 {
			return "", errors.New("refused")
		}
		return "c", nil
	}})
	f("b", zoneTimeout, zoneAsker{"hangs", func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() }}, knows("b"))
}
