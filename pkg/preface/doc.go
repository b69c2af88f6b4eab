// Package preface awaits what must come of a connection before it can be
// served: a PROXY header, a ClientHello, the first message of a protocol.
//
// A [Parser] looks at all that has come and says whether it is content. It is
// fed by [Await] in an event loop, and by [Read] in a goroutine that may block;
// both end with the same outcomes:
//
//   - nil: the parser is content. What has come is handed on whole, for the
//     parser decides what of it was the preface.
//   - [ErrLeft]: the peer has gone without a word, however it went. Balancers do
//     so that look whether somebody listens.
//   - os.ErrDeadlineExceeded: it took too long. If nothing has come, the peer may
//     be one that waits for the other side to speak first.
//   - io.ErrUnexpectedEOF, or how else reading failed: it went in the middle.
//   - the parser's error.
package preface
