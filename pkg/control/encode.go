package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// format is the form in which overlays are written. A reader refuses a higher
// one and leaves it as it is.
const format = 1

// maxEncoded is how large an encoded overlay may be, in bytes; a key of
// Consul's KV holds 512 KiB.
const maxEncoded = 480 << 10

// rawChange is a change as it is written.
type rawChange struct {
	Target   Kind       `json:"target"`
	Service  string     `json:"service,omitempty"`
	Backend  string     `json:"backend,omitempty"`
	Route    string     `json:"route,omitempty"`
	Listener string     `json:"listener,omitempty"`
	What     What       `json:"what"`
	Value    string     `json:"value"`
	Reason   string     `json:"reason"`
	By       string     `json:"by"`
	At       time.Time  `json:"at"`
	Expires  *time.Time `json:"expires"`
	Version  uint64     `json:"version"`
	Local    Local      `json:"local,omitempty"`
}

// MarshalJSON writes c in the form in which it is kept and shown.
func (c Change) MarshalJSON() ([]byte, error) { return json.Marshal(c.raw()) }

func (c Change) raw() rawChange {
	r := rawChange{
		Target: c.Target.Kind, Service: c.Target.Service, What: c.What, Value: c.Value,
		Reason: c.Reason, By: c.By, At: c.At.UTC(), Version: c.Version, Local: c.Local,
	}
	switch c.Target.Kind {
	case OfBackend:
		r.Backend = c.Target.Name
	case OfRoute:
		r.Route = c.Target.Name
	case OfListener:
		r.Listener = c.Target.Name
	}
	if !c.Expires.IsZero() {
		t := c.Expires.UTC()
		r.Expires = &t
	}
	return r
}

// UnmarshalJSON reads what MarshalJSON writes.
func (c *Change) UnmarshalJSON(b []byte) error {
	var r rawChange
	if err := json.Unmarshal(b, &r); err != nil {
		return err
	}
	*c = r.change()
	return nil
}

func (r rawChange) change() Change {
	c := Change{
		Target: Target{Kind: r.Target, Service: r.Service, Name: r.Backend + r.Route + r.Listener}, What: r.What, Value: r.Value,
		Reason: r.Reason, By: r.By, At: r.At, Version: r.Version, Local: r.Local,
	}
	if r.Expires != nil {
		c.Expires = *r.Expires
	}
	return c
}

// record is a Record as it is written.
type record struct {
	Version uint64    `json:"version"`
	At      time.Time `json:"at"`
	Op      Op        `json:"op"`
	By      string    `json:"by"`
	Reason  string    `json:"reason"`
	Change  Change    `json:"change"`
}

// document is an overlay as it is written.
type document struct {
	Format  int         `json:"format"`
	Lineage string      `json:"lineage"`
	Version uint64      `json:"version"`
	Changes []rawChange `json:"changes"`
	Recent  []record    `json:"recent"`
}

// Encode returns o as JSON, or ErrFull if it is too large to be kept.
func Encode(o Overlay) ([]byte, error) {
	d := document{Format: format, Lineage: o.Lineage, Version: o.Version, Changes: []rawChange{}, Recent: []record{}}
	for _, c := range o.changes {
		d.Changes = append(d.Changes, c.raw())
	}
	d.Changes = append(d.Changes, o.unknown...)
	for _, r := range o.recent {
		d.Recent = append(d.Recent, record(r))
	}
	b, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("cannot encode the changes: %w", err)
	}
	if len(d.Changes) > maxChanges || len(b) > maxEncoded {
		return nil, fmt.Errorf("%w: %d, %d bytes", ErrFull, len(d.Changes), len(b))
	}
	return append(b, '\n'), nil
}

// Decode reads what Encode has written. It returns ErrNewer if a newer sluice
// has, in a form that this one does not know. Changes of kinds that it does not
// know, in a form that it does, are kept and have no effect.
func Decode(b []byte) (Overlay, error) {
	var head struct {
		Format *int `json:"format"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return Overlay{}, fmt.Errorf("it is no JSON: %w", err)
	}
	switch {
	case head.Format == nil || *head.Format < 1:
		return Overlay{}, errors.New("it does not say which format it has")
	case *head.Format > format:
		return Overlay{}, fmt.Errorf("%w: format %d, while %d is known", ErrNewer, *head.Format, format)
	}
	var d document
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&d); err != nil {
		return Overlay{}, err
	}
	if dec.More() {
		return Overlay{}, errors.New("something follows the JSON")
	}
	o := Overlay{Version: d.Version, Lineage: d.Lineage}
	known := rules()
	for _, r := range d.Changes {
		c := r.change()
		checked, problems := check(c, time.Time{}, known)
		if len(problems) > 0 {
			o.unknown = append(o.unknown, r)
			continue
		}
		o.put(checked)
	}
	for _, r := range d.Recent {
		o.recent = append(o.recent, Record(r))
	}
	if n := len(o.recent) - maxRecent; n > 0 {
		o.recent = o.recent[n:]
	}
	return o, nil
}

// Unknown returns, in words, the changes that a newer sluice has made and that
// this one does not understand.
func (o Overlay) Unknown() (all []string) {
	for _, r := range o.unknown {
		all = append(all, r.change().String())
	}
	slices.Sort(all)
	return all
}
