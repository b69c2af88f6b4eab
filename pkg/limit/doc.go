// Package limit holds what keeps trouble from growing: bounds that are asked
// before something is done, decide at once, and block nobody.
//
// They are told what time it is, and reckon in differences to an epoch of their
// own: where times have a reading of the monotonic clock, as those of time.Now
// have, setting the system's clock changes nothing. Where they have none, one
// that was put back keeps nobody waiting for as long.
package limit

import "time"

// clockSlack is by how much a time may lie before another one that was taken
// earlier, for want of order among goroutines.
const clockSlack = time.Second
