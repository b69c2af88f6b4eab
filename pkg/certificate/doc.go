// Package certificate keeps the certificates that a listener shows its TLS
// clients, and follows their files: a renewed certificate is used by the next
// handshake, without a restart.
//
// In a directory it goes by what files hold, not by what they are called
// ([pair] is the pure part of it): each certificate goes with the private key
// that fits, wherever that is. What is none, such as a ca.crt, a chain.pem or a
// README, is left out. So certbot's live directory, a Kubernetes secret and a
// HAProxy crt directory can be used as they are.
//
// Each certificate is renewed alone. A file that cannot be read, or has no key
// that fits, leaves the last good certificate of that file in use, and is a
// [Trouble] until it is mended; the others are not touched.
package certificate
