package config

import (
	"fmt"
	"math"
	"strings"
)

// ClientRate bounds how many HTTP requests each client may make.
type ClientRate struct {
	Rate       float64 // requests a second of each client; 0: no limit
	RateBurst  int     // of them at once; 0: a second's worth, one at least
	RateHeader string  // lower case, that tells clients apart; empty: by address
}

func (r *ClientRate) keys() []string { return []string{"rate", "rate-burst", "rate-key"} }

func (r *ClientRate) set(key, value string) (err error) {
	switch key {
	case "rate":
		r.Rate, err = rate(key, value)
	case "rate-burst":
		r.RateBurst, err = count(key, value)
	case "rate-key":
		switch kind, name, _ := strings.Cut(value, ":"); {
		case value == "client":
			r.RateHeader = ""
		case kind == "header" && isToken(name):
			r.RateHeader = strings.ToLower(name)
		default:
			err = fmt.Errorf("rate-key=%q is neither client nor header:NAME", value)
		}
	}
	return err
}

func (r *ClientRate) check() error {
	if r.Rate == 0 && (r.RateBurst > 0 || r.RateHeader != "") {
		return fmt.Errorf("rate-burst= and rate-key= need rate=")
	}
	return nil
}

func (r *ClientRate) pairs() []pair {
	pairs := []pair{{"rate", number(r.Rate)}, {"rate-burst", nonzero(r.RateBurst)}}
	if r.Rate > 0 && r.Rate < 1 { // a whole number of an hour, or nearly
		pairs[0].value = number(math.Round(r.Rate*3600*1e6)/1e6) + "/h"
	}
	if r.RateHeader != "" {
		pairs = append(pairs, pair{"rate-key", "header:" + r.RateHeader})
	}
	return pairs
}

// Burst returns how many requests a client may make at once.
func (r *ClientRate) Burst() float64 {
	if r.RateBurst > 0 {
		return float64(r.RateBurst)
	}
	return max(1, r.Rate)
}
