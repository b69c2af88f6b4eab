//go:build !linux || portable

package l4

const atOnce = false
