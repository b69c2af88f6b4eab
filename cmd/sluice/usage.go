package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"sluice/pkg/config"
)

// usage writes the help.
func usage(w io.Writer) {
	r := newReader(config.Default())
	fmt.Fprint(w, `sluice balances TCP and HTTP over services registered in Consul.

  sluice --demo
  sluice --l4 :5432=postgres --consul 127.0.0.1:8500
  sluice --l7 :80 --route /=web --backend web=10.0.0.1:8000 --backend web=10.0.0.2:8000
  sluice ctl              asks and changes a sluice that runs, see its --help
  sluice healthcheck      asks the sluice of this machine how it is, see its --help

Every flag is also an environment variable, --l4-idle-timeout as
`+envName("l4-idle-timeout")+`; the values of repeatable flags are separated there by
a semicolon or a new line.

`)
	told := make(map[key]bool)
	r.flags.VisitAll(func(f *pflag.Flag) {
		head := "  --" + f.Name
		if f.Shorthand != "" {
			head = "  -" + f.Shorthand + ", --" + f.Name
		}
		kind := f.Value.Type()
		if kind == "string" || kind == "int" || kind == "duration" {
			kind = strings.ToUpper(kind)
		}
		if kind != "bool" {
			head += " " + kind
			if f.DefValue != "" {
				head += "   (default " + f.DefValue + ")"
			}
		}
		fmt.Fprintf(w, "%s\n%s\n", head, wrap(f.Usage, 8, 92))
		var again []string
		for _, k := range keysOf(f.Name) {
			if told[k] {
				again = append(again, k.form)
				continue
			}
			told[k] = true
			fmt.Fprintln(w, wrap(k.form+": "+k.usage, 10, 92))
		}
		if len(again) > 0 {
			fmt.Fprintln(w, wrap("and, as above, "+strings.Join(again, ", "), 10, 92))
		}
	})
	fmt.Fprint(w, `
Exit codes: 0 stopped as asked, 1 failed while running, 2 bad configuration.
`)
}

// wrap breaks text into lines of at most width columns, each indented.
func wrap(text string, indent, width int) string {
	var lines []string
	line := strings.Repeat(" ", indent-1)
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = strings.Repeat(" ", indent-1)
		}
		line += " " + word
	}
	return strings.Join(append(lines, line), "\n")
}
