package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/pkg/control"
)

// params are the parameters of a request: those of its query and those of its
// body, which may be a JSON object or a form. What the path says counts first.
type params struct {
	values   url.Values
	problems control.Problems
	known    []string // those that were asked for
}

// errUnsupported says that a body is in a form that is not read.
var errUnsupported = errors.New("the body is neither JSON nor a form")

// readParams reads the parameters of r.
func readParams(r *http.Request) (*params, error) {
	p := &params{values: url.Values{}}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		p.add("query", r.URL.RawQuery, "it cannot be read: "+err.Error())
	}
	for k, v := range query {
		if len(v) > 1 && !slices.Contains(lists(), k) {
			p.add(k, strings.Join(v, ","), "it is given twice")
		}
		p.values[k] = v
	}
	if r.Body == nil || r.ContentLength == 0 {
		return p, nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if len(body) == 0 {
		return p, nil
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	trimmed := strings.TrimSpace(string(body))
	switch {
	case kind != "" && kind != "application/json" && kind != "application/x-www-form-urlencoded" && !strings.HasSuffix(kind, "+json"):
		return nil, errUnsupported // among them those that a web page may send without being asked
	case strings.HasPrefix(trimmed, "{"): // whatever curl calls it
		p.readJSON(trimmed)
	case kind == "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(trimmed)
		if err != nil {
			p.add("body", control.Shorten(trimmed), "it is no form: "+err.Error())
		}
		for k, v := range form {
			p.set(k, v...)
		}
	default:
		p.add("body", control.Shorten(trimmed), "it is not a JSON object")
	}
	return p, nil
}

// lists are the parameters that may be given several times.
func lists() []string { return []string{"header", "undo"} }

// set adds a value of the body; the same as in the query is fine.
func (p *params) set(k string, v ...string) {
	if old, ok := p.values[k]; ok && !slices.Equal(old, v) {
		p.add(k, strings.Join(v, ","), fmt.Sprintf("the query has %q", strings.Join(old, ",")))
		return
	}
	p.values[k] = v
}

func (p *params) readJSON(body string) {
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	var object map[string]any
	if err := d.Decode(&object); err != nil {
		p.add("body", control.Shorten(body), "it is not a JSON object: "+err.Error())
		return
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		p.add("body", control.Shorten(body), "something follows the JSON object")
		return
	}
	for k, v := range object {
		switch v := v.(type) {
		case string:
			p.set(k, v)
		case bool:
			p.set(k, strconv.FormatBool(v))
		case json.Number:
			p.set(k, v.String())
		case nil:
		case []any:
			var all []string
			for _, x := range v {
				b, _ := json.Marshal(x) // it was JSON
				if s, ok := x.(string); ok {
					b = []byte(s)
				}
				all = append(all, string(b))
			}
			p.set(k, all...)
		default:
			b, _ := json.Marshal(v)
			p.set(k, string(b))
		}
	}
}

func (p *params) add(field, value, reason string, allowed ...string) {
	p.problems = append(p.problems, control.Problem{Field: field, Value: value, Reason: reason, Allowed: allowed})
}

// text returns the first of several names of a parameter that is given, and
// whether one is. That several are given with other values is a problem.
func (p *params) text(names ...string) (value string, ok bool) {
	p.known = append(p.known, names...)
	for _, n := range names {
		v, there := p.values[n]
		if !there {
			continue
		}
		if ok && v[0] != value {
			p.add(n, v[0], fmt.Sprintf("another name of it has %q", value))
		}
		value, ok = v[0], true
	}
	return value, ok
}

// get is text without whether.
func (p *params) get(names ...string) string {
	v, _ := p.text(names...)
	return strings.TrimSpace(v)
}

// all returns every value of a parameter.
func (p *params) all(name string) []string {
	p.known = append(p.known, name)
	return p.values[name]
}

// flag returns a boolean parameter; given without a value it is true.
func (p *params) flag(name string) bool {
	v, ok := p.text(name)
	switch strings.ToLower(v) {
	case "true", "1", "yes", "on":
		return true
	case "false", "0", "no", "off":
		return false
	case "":
		return ok
	}
	p.add(name, control.Shorten(v), "it is neither true nor false", "true", "false")
	return false
}

// count returns a parameter that is a number from least to most.
func (p *params) count(name string, otherwise, least, most int) int {
	v := p.get(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most {
		p.add(name, control.Shorten(v), fmt.Sprintf("it is not a number from %d to %d", least, most))
		return otherwise
	}
	return n
}

// expires returns when a change undoes itself, as ttl= or for= say; zero if
// they do not.
func (p *params) expires(now time.Time) time.Time {
	v := p.get("ttl", "for")
	if v == "" {
		return time.Time{}
	}
	d, err := control.ParseDuration(v)
	if err != nil || d <= 0 || d > maxTTL {
		p.add("ttl", control.Shorten(v), fmt.Sprintf("it is not a duration above 0 and up to %v", maxTTL), "10m", "1h30m", "2d")
		return time.Time{}
	}
	return now.Add(d)
}

// maxTTL is the longest time to live of a change; longer is for ever.
const maxTTL = 366 * 24 * time.Hour

// finish reports what is wrong, what nobody asked for included.
func (p *params) finish() control.Problems {
	slices.Sort(p.known)
	known := slices.Compact(p.known)
	for k := range p.values {
		if !slices.Contains(known, k) {
			p.add(control.Shorten(k), control.Shorten(strings.Join(p.values[k], ",")), "there is no such parameter", known...)
		}
	}
	slices.SortStableFunc(p.problems, func(a, b control.Problem) int { return strings.Compare(a.Field, b.Field) })
	return p.problems
}

// page is which part of a list is asked for.
type page struct{ offset, limit int }

const (
	defaultPage = 1000
	maxPage     = 10_000
)

func (p *params) page() page {
	return page{p.count("offset", 0, 0, 1<<30), p.count("limit", defaultPage, 1, maxPage)}
}

// listing is what is said of a list beside its entries.
type listing struct {
	Total      int  `json:"total"`
	Offset     int  `json:"offset"`
	Limit      int  `json:"limit"`
	NextOffset *int `json:"next_offset"` // null: that was the last part
}

// cut returns the part of a list that is asked for.
func cut[T any](all []T, p page) ([]T, listing) {
	from := min(p.offset, len(all))
	to := min(from+p.limit, len(all))
	part := all[from:to:to]
	if part == nil {
		part = []T{}
	}
	return part, p.of(len(all))
}

// of returns what is said of a list of so many.
func (p page) of(total int) listing {
	l := listing{Total: total, Offset: p.offset, Limit: p.limit}
	if next := p.offset + p.limit; next < total {
		l.NextOffset = &next
	}
	return l
}

// read reads the parameters of a request and has f take those that it knows.
// It answers with what is wrong and reports false, unless nothing is.
func read(w http.ResponseWriter, r *http.Request, f func(*params)) bool {
	p, err := readParams(r)
	// The deadline is that of the body; met later, it would end the request.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		w.Header().Set("Connection", "close")
		writeError(w, http.StatusRequestEntityTooLarge, "the body is too large")
		return false
	case errors.Is(err, errUnsupported):
		writeError(w, http.StatusUnsupportedMediaType, err.Error())
		return false
	case err != nil:
		writeError(w, http.StatusBadRequest, "the body cannot be read: "+err.Error())
		return false
	}
	f(p)
	if problems := p.finish(); len(problems) > 0 {
		refuseFields(w, problems)
		return false
	}
	return true
}
