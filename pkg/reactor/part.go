package reactor

// Part is what a stream is made of that has no descriptor of its own, because it
// shares a connection with others of its loop, as those of HTTP/2 do. Whoever
// makes such a stream embeds a Part, adds the methods of Stream that move bytes,
// and says what becomes possible by Set and Tell. As with all streams, everything
// happens in the loop.
type Part struct{ base }

// Join makes p a stream of l, which nothing can be read of nor written to yet.
func (p *Part) Join(l *Loop) { p.loop = l }

// SetReadable and SetWritable say whether a read, or a write, is worth trying.
func (p *Part) SetReadable(is bool) { p.readable = is }

// SetWritable is for writes what SetReadable is for reads.
func (p *Part) SetWritable(is bool) { p.writable = is }

// SetBroken says that the stream is broken; see Stream.Broken.
func (p *Part) SetBroken() { p.broken, p.readable, p.writable = true, true, true }

// Closed reports whether Leave was called.
func (p *Part) Closed() bool { return p.closed }

// Leave makes p a stream that is closed: its handler is not called again.
func (p *Part) Leave() { p.closed, p.handler = true, nil }
