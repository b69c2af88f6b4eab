#!/usr/bin/env bash
# HAProxy 2.6 (Debian 12): a backend that dies in the middle of a chunked response
# leaves it without its last chunk, by which every HTTP/1.1 client sees that it is
# not whole. Over HTTP/2 one would expect the stream to be reset for the same
# reason. HAProxy ends it as if it were complete: the client, which has no length
# to compare with, gets a part of the answer and no error, stores half a file or
# parses half a list, and no retry is made. Responses with a Content-Length are
# safe, because clients compare. Whoever moves clients of a service that streams
# to HTTP/2 loses the signal.
#
# Seen: by HTTP/1.1 both kinds end with an error; by HTTP/2 the chunked one is
# "hello" and well.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
apt-get download -qq haproxy=2.6.* >/dev/null 2>&1
for deb in *.deb; do dpkg -x "$deb" root; done
haproxy=$PWD/root/usr/sbin/haproxy
"$haproxy" -v | sed -n 1p
cat >main.go <<'GO'
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"time"
)

// backend ends in the middle of each response.
func backend(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			r, err := http.ReadRequest(bufio.NewReader(c))
			if err != nil {
				return
			}
			head, body := "Content-Length: 10", "hello"
			if r.URL.Path == "/chunked" {
				head, body = "Transfer-Encoding: chunked", "5\r\nhello\r\n"
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"+head+"\r\n\r\n"+body)
			time.Sleep(100 * time.Millisecond) // so that the beginning is passed on
		}()
	}
}

func listen() net.Listener {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	return ln
}

func free() string {
	ln := listen()
	defer ln.Close()
	return ln.Addr().String()
}

func main() {
	ln, one, two := listen(), free(), free()
	go backend(ln)
	config := "defaults\n mode http\n timeout connect 5s\n timeout client 20s\n timeout server 20s\nlisten web\n bind " + one + "\n bind " + two + " proto h2\n server b " + ln.Addr().String() + "\n"
	if err := os.WriteFile("haproxy.cfg", []byte(config), 0o600); err != nil {
		panic(err)
	}
	p := exec.Command(os.Args[1], "-f", "haproxy.cfg", "-db")
	if err := p.Start(); err != nil {
		panic(err)
	}
	defer func() { _ = p.Process.Kill(); _ = p.Wait() }()
	for range 200 {
		c, err := net.Dial("tcp", two)
		if err == nil {
			c.Close()
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	for _, client := range []struct {
		http.Client
		addr string
	}{{http.Client{}, one}, {http.Client{Transport: &http.Transport{Protocols: &protocols}}, two}} {
		for _, path := range []string{"length", "chunked"} {
			r, err := client.Get("http://" + client.addr + "/" + path)
			if err != nil {
				panic(err)
			}
			body, err := io.ReadAll(r.Body)
			r.Body.Close()
			fmt.Printf("%s, %s: %q, an error %v\n", r.Proto, path, body, err != nil)
		}
	}
}
GO
go mod init finding >/dev/null 2>&1
got=$(go run . "$haproxy")
want='HTTP/1.1, length: "hello", an error true
HTTP/1.1, chunked: "hello", an error true
HTTP/2.0, length: "hello", an error true
HTTP/2.0, chunked: "hello", an error false'
echo "$got"
[ "$got" = "$want" ] || { echo "this has changed; it was"; echo "$want"; exit 1; }
