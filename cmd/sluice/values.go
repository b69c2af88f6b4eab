package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"sluice/pkg/config"
)

// decimal is the value of a flag that is a whole number. pflag's own reads 010
// as octal, and 0x10 and 1_0 as numbers too, which nobody means who types them
// into an environment variable.
type decimal struct {
	dst  *int
	unit string // that may follow, empty for none
}

func decimalVar(f *pflag.FlagSet, dst *int, name string, value int, usage string) {
	*dst = value
	f.Var(&decimal{dst: dst}, name, usage)
}

// percentVar declares a flag that is a number of percent, with or without the
// sign.
func percentVar(f *pflag.FlagSet, dst *int, name string, value int, usage string) {
	*dst = value
	f.Var(&decimal{dst: dst, unit: "%"}, name, usage)
}

// percent is a flag's value that may have a fraction, too.
type percent struct{ dst *config.Percent }

func (p *percent) Set(s string) (err error) {
	n, err := config.ParsePercent(s)
	if err == nil {
		*p.dst = n
	}
	return err
}

func (p *percent) Type() string   { return "number" }
func (p *percent) String() string { return p.dst.String() }

func (d *decimal) Set(s string) error {
	n, err := strconv.Atoi(strings.TrimSuffix(s, d.unit))
	switch {
	case err == nil:
		*d.dst = n
		return nil
	case errors.Is(err, strconv.ErrRange):
		return err
	case d.unit != "":
		return fmt.Errorf("want a whole number, such as 50 or 50%s", d.unit)
	}
	return errors.New("want a whole number, such as 10")
}

func (d *decimal) Type() string   { return "int" }
func (d *decimal) String() string { return strconv.Itoa(*d.dst) }

// maxShown is how many bytes of a flag's value are shown in a label or a line;
// a thousand backends have more.
const maxShown = 200

// bounded returns s, or the beginning of it and how much is left out.
func bounded(s string) string {
	if len(s) <= maxShown {
		return s
	}
	cut := strings.ToValidUTF8(s[:maxShown], "")
	if i := strings.LastIndexByte(cut, ';'); i > 0 {
		return fmt.Sprintf("%s;... and %d more", cut[:i], strings.Count(s[i:], ";"))
	}
	return fmt.Sprintf("%s... (%d bytes)", cut, len(s))
}

// nearest returns the name that is fewest edits away from name, if those are
// few for its length (Levenshtein, "Binary codes capable of correcting
// deletions, insertions, and reversals", 1966); else nothing.
func nearest(name string, names []string) string {
	best, least := "", 1+len(name)/3
	for _, n := range names {
		if d := edits(name, n); d < least {
			best, least = n, d
		}
	}
	return best
}

// edits returns how many bytes must be put in, taken out or changed to make b
// of a.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// splitList splits the value of a repeatable flag's variable at semicolons and
// new lines. A semicolon that belongs to a value is written as \;.
func splitList(value string) (all []string) {
	const kept = "\x00" // no variable has one
	value = strings.ReplaceAll(value, `\;`, kept)
	for _, v := range strings.FieldsFunc(value, func(c rune) bool { return c == '\n' || c == ';' }) {
		all = append(all, strings.ReplaceAll(v, kept, ";"))
	}
	return all
}
