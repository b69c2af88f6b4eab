package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseH2load(t *testing.T) {
	t.Parallel()
	r, err := parseH2load("finished in 801.70ms\nrequests: 15 total, 14 started, 13 done, 9 succeeded, 1 failed, 2 errored, 3 timeout\nstatus codes: 9 2xx\n")
	if err != nil || r.Requests != 9 || r.Errors != (loadErrors{Status: 1, Read: 2, Timeout: 3}) {
		t.Errorf("unexpected result: %+v, %v", r, err)
	}
	if _, err := parseH2load("Could not resolve"); err == nil || !strings.Contains(err.Error(), "Could not") {
		t.Errorf("unexpected error: %v", err)
	}
	file := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(file, []byte("1795982622479906\t200\t201\n1795982622479908\t200\t20\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if took, err := parseH2loadLog(file); err != nil || len(took) != 2 || took[0] != 20 || took[1] != 201 {
		t.Errorf("unexpected times: %v, %v", took, err)
	}
}
