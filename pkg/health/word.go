package health

import (
	"strconv"
	"strings"

	"sluice/pkg/backend"
)

// WordHeader is the header of an HTTP check's response in which a backend says
// how it wants to be used, in the words of HAProxy's agent check: "drain" and
// "maint" for no new connections, "50%" for half of its weight, "ready" and "up"
// to have them back; several are separated by commas or spaces. "down",
// "failed" and "stopped" are a check that failed, and what follows a "#" says
// why. A response without the header means "ready". "0%" is "drain".
const WordHeader = "X-Sluice-State"

// parseWord reads the value of WordHeader. down is how the backend says that it
// fails, empty if it does not. What it does not understand is left out and
// returned as bad.
func parseWord(s string) (w backend.Word, down, bad string) {
	words, why, _ := strings.Cut(s, "#")
	for _, word := range strings.FieldsFunc(strings.ToLower(words), func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
		digits, percent := strings.CutSuffix(word, "%")
		n, err := strconv.ParseUint(digits, 10, 31)
		switch {
		case word == "ready", word == "up":
			w.Drain = false
		case word == "drain", word == "maint", word == "maintenance", percent && err == nil && n == 0:
			w.Drain = true
		case word == "down", word == "fail", word == "failed", word == "stopped":
			if down = word; strings.TrimSpace(why) != "" {
				down += ": " + strings.TrimSpace(why)
			}
		case percent && err == nil && n <= 100:
			w.Weight = int(n)
		default:
			bad = s
		}
	}
	return w, down, bad
}
