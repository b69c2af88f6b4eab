// Package htpasswd tells who the clients of HTTP's basic authentication are (RFC
// 7617), by a file of names and hashes of passwords as Apache's htpasswd writes
// it: bcrypt, apr1 (MD5), SHA, SSHA, and crypt's SHA-256 and SHA-512.
//
// A hash that is slow by design, as bcrypt's, takes longer than an event loop has.
// A [File] therefore answers at once what it has found before, and all else later,
// from goroutines of its own, whose number is bounded, and so is how many may
// wait for one. What it remembers are keyed digests of credentials, never
// credentials; with a new content of the file, all of that is forgotten.
//
//	users.go  content → users, strictly
//	file.go   the file, read again when it changes
//	check.go  credentials → a user, now or later
package htpasswd
