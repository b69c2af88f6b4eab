package health

import (
	"strconv"
	"strings"

	"sluice/pkg/backend"
)

// WordHeader is the header of an HTTP check's response in which a backend says
// how it wants to be used, in the words of HAProxy's agent check: "drain" for
// no new connections, "50%" for half of its weight, "ready" to have them
// back; several are separated by commas or spaces. A response without it means
// "ready". "0%" is "drain".
const WordHeader = "X-Sluice-State"

// parseWord reads the value of WordHeader. What it does not understand is left
// out and returned as bad.
func parseWord(s string) (w backend.Word, bad string) {
	for _, word := range strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
		digits, percent := strings.CutSuffix(word, "%")
		n, err := strconv.ParseUint(digits, 10, 31)
		switch {
		case word == "ready":
			w.Drain = false
		case word == "drain", percent && err == nil && n == 0:
			w.Drain = true
		case percent && err == nil && n <= 100:
			w.Weight = int(n)
		default:
			bad = s
		}
	}
	return w, bad
}
