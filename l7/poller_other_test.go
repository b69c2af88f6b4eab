//go:build !linux || portable

package l7

const atOnce = false
