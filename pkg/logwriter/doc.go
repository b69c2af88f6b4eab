// Package logwriter keeps a log from holding up those who write it. [Writer]
// takes lines into a bounded queue and never waits; one goroutine writes them
// out. What the queue has no room for, because nobody reads the output, and what
// the output refuses, because its reader is gone or its disk is full, is lost,
// counted, and said in the log itself as soon as lines pass again.
//
// [Writer.Patient] is for writers that have a queue and a count of their own,
// and rather wait: they get half of the room, so that they never take a line's
// place away.
package logwriter
