package gate

import (
	"encoding/binary"
	"encoding/hex"
	"time"
)

const uuidLen = 36

// appendUUID appends a UUID of version 7 (RFC 9562 5.7): the time in ms, then
// 74 bits of r1 and r2, which are random. UUIDs of this version sort by time.
func appendUUID(dst []byte, now time.Time, r1, r2 uint64) []byte {
	var u [16]byte
	binary.BigEndian.PutUint64(u[:], uint64(now.UnixMilli())<<16|0x7000|r1&0xfff)
	binary.BigEndian.PutUint64(u[8:], 1<<63|r2>>2)
	var text [uuidLen]byte
	hex.Encode(text[:8], u[:4])
	hex.Encode(text[9:13], u[4:6])
	hex.Encode(text[14:18], u[6:8])
	hex.Encode(text[19:23], u[8:10])
	hex.Encode(text[24:], u[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return append(dst, text[:]...)
}
