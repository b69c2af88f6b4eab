package main

import (
	"strings"
	"testing"
)

func TestParseTools(t *testing.T) {
	t.Parallel()
	f := func(name, out string, want toolResult) {
		t.Helper()
		for _, tool := range loadTools() {
			if tool.name != name {
				continue
			}
			if name == "k6" {
				got, err := parseK6([]byte(out))
				if err != nil || got != want {
					t.Errorf("unexpected result of k6; got %+v, %v; want %+v", got, err, want)
				}
				continue
			}
			got, err := tool.read(out, "")
			if err != nil || got != want {
				t.Errorf("unexpected result of %s; got %+v, %v; want %+v", name, got, err, want)
			}
			if _, err := tool.read("nothing", ""); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("unexpected error of %s without a result: %v", name, err)
			}
		}
	}
	f("hey", "Latency distribution:\n  50% in 0.0050 secs\n  90% in 0.0600 secs\n  99% in 0.0625 secs\n\nStatus code distribution:\n  [200]\t590 responses\n  [503]\t10 responses\n\nError distribution:\n  [3]\tGet \"http://127.0.0.1:1/\": EOF\n", toolResult{603, 13, 5, 62.5})
	f("ab", "Complete requests:      377\nFailed requests:        12\n   (Connect: 0, Receive: 0, Length: 12, Exceptions: 0)\nNon-2xx responses:      5\n\n  50%      6\n  66%      7\n  99%     62\n 100%     62 (longest request)\n", toolResult{377, 5, 6, 62})
	f("k6", `{"metrics":{"http_reqs":{"count":600,"rate":200},"http_req_failed":{"passes":4,"fails":596,"value":0.0066},"http_req_duration":{"med":5.2,"p(95)":7,"p(99)":61.5,"max":62}}}`, toolResult{600, 4, 5.2, 61.5})
	f("wrk", wrkMark+`{"requests":900,"bytes":1,"duration_us":3000000,"p50_us":5200,"p99_us":61000,"p999_us":1,"max_us":1,"errors":{"status":2}}`, toolResult{900, 2, 5.2, 61})
}

func TestChooseTools(t *testing.T) {
	t.Parallel()
	if tools, err := chooseTools(""); err != nil || tools != nil {
		t.Errorf("unexpected tools: %v, %v", tools, err)
	}
	if _, err := chooseTools("siege"); err == nil || !strings.Contains(err.Error(), `"siege": it knows wrk, hey, ab and k6`) {
		t.Errorf("unexpected error: %v", err)
	}
}
