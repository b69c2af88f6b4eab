package l7

import "sluice/l7/http1"

// PathPolicy says how the paths of requests are read; see http1.PathPolicy.
type PathPolicy = http1.PathPolicy

// PathRule says what becomes of a byte that servers read differently; see
// http1.PathRule.
type PathRule = http1.PathRule

// The rules.
const (
	PathCheck  = http1.PathCheck
	PathKeep   = http1.PathKeep
	PathDecode = http1.PathDecode
	PathReject = http1.PathReject
)
