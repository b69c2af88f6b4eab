#!/usr/bin/env bash
# go.yaml.in/yaml/v3 v3.0.4: of zero-padded whole numbers those with digits up
# to 7 are octal and the others decimal, within one list: 08 and 010 are the same
# number, 018 is larger than 020, and a list of instances counted 07, 08, 09, 010
# has two of number 8. YAML 1.2 has 0o10 for octal and reads all of these as
# decimal.
#
# Seen: 7 8 9 8 18 16.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

func main() {
	var list []int
	if err := yaml.Unmarshal([]byte("[07, 08, 09, 010, 018, 020]"), &list); err != nil {
		fmt.Println(err)
	}
	fmt.Println(list)
}
GO
go mod init finding >/dev/null 2>&1
go get go.yaml.in/yaml/v3@v3.0.4 >/dev/null 2>&1
got=$(go run .)
want='[7 8 9 8 18 16]'
echo "$got"
[ "$got" = "$want" ] || { echo "this has changed; it was $want"; exit 1; }
