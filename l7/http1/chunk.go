package http1

import "bytes"

// HeadRoom and TailRoom are what is left free in the memory before and after
// what is read of a body, for Frame.
const HeadRoom, TailRoom = 32, 256

// AppendChunks appends data as a chunk, and the end of the body if that has
// come.
func AppendChunks(dst, data []byte, b *Body) []byte {
	if len(data) > 0 {
		dst = appendSize(dst, len(data))
		dst = append(append(dst, data...), "\r\n"...)
	}
	if b.Done() {
		dst = appendLast(dst, b)
	}
	return dst
}

// appendSize appends the line that comes before the n bytes of a chunk.
func appendSize(dst []byte, n int) []byte {
	return append(appendHex(dst, n), "\r\n"...)
}

func appendHex(dst []byte, n int) []byte {
	if n >= 16 {
		dst = appendHex(dst, n>>4)
	}
	return append(dst, "0123456789abcdef"[n&15])
}

// appendLast appends the end of a chunked body.
func appendLast(dst []byte, b *Body) []byte {
	dst = append(dst, "0\r\n"...)
	return append(appendTrailer(dst, b.Trailer, b.Own), "\r\n"...)
}

// Frame makes of data, a part of scratch with HeadRoom before and TailRoom after
// it, what is sent on of a chunked body.
func Frame(scratch, data []byte, b *Body) []byte {
	from := cap(scratch) - cap(data)
	out := scratch[from:from]
	if len(data) > 0 {
		var line [maxDigits + 2]byte
		size := appendSize(line[:0], len(data))
		copy(scratch[from-len(size):], size)
		out = append(scratch[from-len(size):from+len(data)], "\r\n"...)
	}
	if b.Done() {
		out = appendLast(out, b)
	}
	return out
}

// AppendTrailer appends the fields of the trailer section that may be passed on,
// as lines.
func (b *Body) AppendTrailer(dst []byte) []byte { return appendTrailer(dst, b.Trailer, b.Own) }

// appendTrailer appends the fields of a trailer section that may be passed on,
// without the empty line that ends it.
func appendTrailer(dst, trailer []byte, own Settler) []byte {
	for len(trailer) > 0 {
		n := bytes.IndexByte(trailer, '\n')
		line := trailer[:n-1]
		trailer = trailer[n+1:]
		if f, ok := ParseField(line); ok && f.mayTrail() && (own == nil || !own.Settles(f.Name)) {
			dst = AppendField(dst, &f)
		}
	}
	return dst
}

// EachLine calls f for each field of a trailer section, as Body.Trailer has it.
func EachLine(trailer []byte, f func(*Field)) {
	for len(trailer) > 0 {
		n := bytes.IndexByte(trailer, '\n')
		if n < 1 {
			return
		}
		if x, ok := ParseField(trailer[:n-1]); ok {
			f(&x)
		}
		trailer = trailer[n+1:]
	}
}
