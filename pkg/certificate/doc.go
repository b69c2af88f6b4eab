// Package certificate keeps the certificates that a listener shows its TLS
// clients, and follows their files: a renewed certificate is used by the next
// handshake, without a restart. A file that cannot be read, or does not fit its
// key, changes nothing but the log.
package certificate
