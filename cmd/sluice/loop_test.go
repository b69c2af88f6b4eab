package main

import (
	"strings"
	"testing"
)

// TestLoopRefused refuses to start what can only loop, and says why.
func TestLoopRefused(t *testing.T) {
	t.Parallel()
	_, err := parseCommand([]string{"--l4", "127.0.0.1:18099=web", "--backend", "web=127.0.0.1:18099"}, nil)
	if err == nil || !strings.Contains(err.Error(), "--backend: \"127.0.0.1:18099\" leads back") {
		t.Fatalf("unexpected error %v", err)
	}
	_, err = parseCommand([]string{"--l4", "127.0.0.1:18099=web", "--backend", "web=127.0.0.1:18099", "--backend", "web=127.0.0.1:18098"}, nil)
	if err != nil {
		t.Fatal(err)
	}
}
