#!/usr/bin/env bash
# github.com/spf13/pflag v1.0.10: whole numbers are read as Go's literals by Int
# and as decimal numbers by UintSlice, so that one string is two numbers in one
# command line: 050 is 40 to --workers and 50 to --ports, 0x10 is 16 to the one
# and an error to the other. And a value that cannot be read leaves 0, not the
# default, behind the error. Who fills flags from environment variables
# (WORKERS=050) meets it.
#
# Seen: "050 40 [50]": the value, Int's reading, UintSlice's, and whether Int
# complained.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"fmt"

	"github.com/spf13/pflag"
)

func main() {
	for _, s := range []string{"50", "050", "08", "0x10", "1_000"} {
		f := pflag.NewFlagSet("x", pflag.ContinueOnError)
		n := f.Int("workers", 1, "")
		u := f.UintSlice("ports", nil, "")
		err := f.Parse([]string{"--workers=" + s})
		_ = f.Parse([]string{"--ports=" + s})
		fmt.Println(s, *n, *u, err != nil)
	}
}
GO
go mod init finding >/dev/null 2>&1
go get github.com/spf13/pflag@v1.0.10 >/dev/null 2>&1
got=$(go run .)
want='50 50 [50] false
050 40 [50] false
08 0 [8] true
0x10 16 [] false
1_000 1000 [] false'
echo "$got"
[ "$got" = "$want" ] || { echo "this has changed; it was"; echo "$want"; exit 1; }
