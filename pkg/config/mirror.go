package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Mirror is another service that gets copies of a route's requests.
type Mirror struct {
	To      string // empty: none
	Percent float64
	MaxBody int64 // bytes of a request's body; 0: 64 KiB
}

// maxMirrorBody bounds MaxBody, for bodies are held in memory.
const maxMirrorBody = 1 << 20

func (m *Mirror) keys() []string { return []string{"mirror", "mirror-body"} }

func (m *Mirror) set(key, value string) (err error) {
	if key == "mirror-body" {
		if m.MaxBody, err = size(key, value); err == nil && m.MaxBody > maxMirrorBody {
			err = fmt.Errorf("mirror-body=%q is more than 1m", value)
		}
		return err
	}
	name, share, given := strings.Cut(value, ":")
	m.To, m.Percent = name, 100
	if given {
		if m.Percent, err = percentage(key, share); err != nil {
			return fmt.Errorf("mirror=%q is not SERVICE or SERVICE:PERCENT", value)
		}
	}
	if err := serviceName(m.To); err != nil {
		return fmt.Errorf("mirror: %w", err)
	}
	return nil
}

func (m *Mirror) check() error {
	if m.To == "" && m.MaxBody > 0 {
		return fmt.Errorf("mirror-body= needs mirror=")
	}
	return nil
}

func (m *Mirror) pairs() (pairs []pair) {
	if m.To != "" {
		pairs = append(pairs, pair{"mirror", m.To + ":" + strconv.FormatFloat(m.Percent, 'g', -1, 64)})
	}
	if m.MaxBody > 0 {
		pairs = append(pairs, pair{"mirror-body", strconv.FormatInt(m.MaxBody, 10)})
	}
	return pairs
}
