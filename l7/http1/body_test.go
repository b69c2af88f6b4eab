package http1

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// readBody pushes text through a parser, whole or byte by byte, and returns
// the body with what follows it.
func readBody(text string, length int64, bytewise bool) (data, rest string, err error) {
	b := NewResponseBody(length)
	left := []byte(text)
	var sb strings.Builder
	for len(left) > 0 && !b.Done() {
		p := left
		if bytewise {
			p = left[:1]
		}
		data, n, err := b.Decode(p)
		sb.Write(data)
		if err != nil {
			return sb.String(), "", err
		}
		left = left[n:]
	}
	if !b.Done() && !b.End() {
		err = io.ErrUnexpectedEOF
	}
	return sb.String(), string(left), err
}

func TestBodySuccess(t *testing.T) {
	t.Parallel()
	f := func(text string, length int64, want, rest string) {
		t.Helper()
		for _, bytewise := range []bool{false, true} {
			got, left, err := readBody(text, length, bytewise)
			if err != nil || got != want || left != rest {
				t.Errorf("unexpected body of %q (bytewise %v); got %q, %q, %v; want %q, %q", text, bytewise, got, left, err, want, rest)
			}
		}
	}
	f("hello", 5, "hello", "")
	f("hello, next", 5, "hello", ", next")
	f("hello", NoLength, "hello", "")
	f("", NoLength, "", "")
	f("0\r\n\r\n", Chunked, "", "")
	f("5\r\nhello\r\n0\r\n\r\nnext", Chunked, "hello", "next")
	f("00A;x=\"y\" \r\n0123456789\r\n1 \r\nx\r\n0;z\r\nTrailer: t\r\nB: c\r\n\r\n", Chunked, "0123456789x", "")
	f("2000\r\n"+strings.Repeat("x", 0x2000)+"\r\n0\r\n\r\n", Chunked, strings.Repeat("x", 0x2000), "")
}

func TestBodyFailure(t *testing.T) {
	t.Parallel()
	f := func(text string, length int64, want error) {
		t.Helper()
		for _, bytewise := range []bool{false, true} {
			if _, _, err := readBody(text, length, bytewise); !errors.Is(err, want) {
				t.Errorf("unexpected error for %q (bytewise %v); got %v; want %v", text, bytewise, err, want)
			}
		}
	}
	f("hell", 5, io.ErrUnexpectedEOF)
	for _, text := range []string{"", "5", "5\r", "5\r\n", "5\r\nhello", "5\r\nhello\r\n", "5\r\nhello\r\n0", "5\r\nhello\r\n0\r\n", "0\r\nA: b\r\n"} {
		f(text, Chunked, io.ErrUnexpectedEOF)
	}
	for _, text := range []string{
		"x\r\n", "\r\n", " 5\r\nhello\r\n", "+5\r\nhello\r\n", "-1\r\n", "0x5\r\nhello\r\n", "5_0\r\n", "5 x\r\n", "5\nhello\n", "5;a\x00\r\n", "5;a\rb\r\n",
		"1000000000000000\r\n", "5;" + strings.Repeat("a", MaxChunkLine) + "\r\n",
	} {
		f(text, Chunked, errChunkLine)
	}
	f("5\r\nhelloX", Chunked, errChunkEnd)
	f("5\r\nhelloXX", Chunked, errChunkEnd)
	f("5\r\nhello\n0\r\n\r\n", Chunked, errChunkEnd)
	f("0\r\nbad trailer\r\n\r\n", Chunked, errTrailer)
	f("0\r\n"+strings.Repeat("A: b\r\n", MaxTrailer), Chunked, errTrailer)
}

func FuzzBody(f *testing.F) {
	for _, s := range []string{"5\r\nhello\r\n0\r\n\r\n", "1;a=b\r\nx\r\n0\r\nA: b\r\n\r\nnext", "0\r\n\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, rest, err := readBody(text, Chunked, false)
		got1, rest1, err1 := readBody(text, Chunked, true)
		if got != got1 && err == nil || (err == nil) != (err1 == nil) || err == nil && rest != rest1 {
			t.Fatalf("the split matters: %q, %q, %v and %q, %q, %v", got, rest, err, got1, rest1, err1)
		}
		if len(got) > len(text) {
			t.Fatalf("%d bytes came out of %d", len(got), len(text))
		}
	})
}
