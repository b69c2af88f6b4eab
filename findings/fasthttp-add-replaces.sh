#!/usr/bin/env bash
# github.com/valyala/fasthttp v1.78.0: Header.Add is documented to add a value
# beside those that are there, but for six fields that it names. There is a seventh,
# Content-Encoding, in responses: of two Content-Encoding lines added to a response the
# first is lost, while two of Via or Link stay two. A proxy that copies a
# backend's header line by line, as one would, turns "gzip" and "br" (RFC 9110
# allows a list to be split) into "br" alone, and the client fails to decode a
# body that was sound. Join the values with a comma first, or use the raw header.
#
# Seen: of two lines each of four fields added to a response, Content-Encoding
# comes out as the last alone; added to a request it is both.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"fmt"

	"github.com/valyala/fasthttp"
)

func main() {
	for _, name := range []string{"Content-Encoding", "Via", "Link", "Cache-Control"} {
		var r fasthttp.Response
		var q fasthttp.Request
		for _, value := range []string{"first", "second"} {
			r.Header.Add(name, value)
			q.Header.Add(name, value)
		}
		fmt.Printf("%s: response %s, request %s\n", name, r.Header.PeekAll(name), q.Header.PeekAll(name))
	}
}
GO
go mod init finding >/dev/null 2>&1
go get github.com/valyala/fasthttp@v1.78.0 >/dev/null 2>&1
got=$(go run -mod=mod .)
want='Content-Encoding: response [second], request [first second]
Via: response [first second], request [first second]
Link: response [first second], request [first second]
Cache-Control: response [first second], request [first second]'
echo "$got"
[ "$got" = "$want" ] || { echo "this has changed; it was"; echo "$want"; exit 1; }
