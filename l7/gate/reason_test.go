package gate

import (
	"os"
	"strings"
	"testing"
)

// TestReasonsDocumented wants every reason in the manual.
func TestReasonsDocumented(t *testing.T) {
	t.Parallel()
	manual, err := os.ReadFile("../../docs/logs.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(manual), "| reason of a request |")
	for r := None + 1; r < reasons; r++ {
		if !strings.Contains(table, "`"+r.String()+"`") {
			t.Errorf("docs/logs.md does not have the reason %s", r)
		}
	}
}
