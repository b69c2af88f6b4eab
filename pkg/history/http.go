package history

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxWidth is the longest time that one value may stand for, in seconds.
const maxWidth = 300

// ServeHTTP answers a question as JSON: service (a name, nothing, or * for
// each), metrics (names, with commas between), since (number of a step), width
// (seconds that a value stands for). An answer has at most as many values as are
// kept.
func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	q, err := question(r)
	if err != nil {
		b, _ := json.Marshal(map[string]string{"error": err.Error()}) // it is a string
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write(append(b, '\n')) // a failure is the client's own
		return
	}
	b := s.Ask(q).append(nil, q.Metrics)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b) // a failure is the client's own
}

func question(r *http.Request) (q Question, err error) {
	values := r.URL.Query()
	for name, v := range values {
		if len(v) > 1 {
			return q, fmt.Errorf("%s is given twice", name)
		}
		switch name {
		case "service":
			q.Service = v[0]
		case "metrics":
			for _, m := range strings.Split(v[0], ",") {
				i := slices.Index(Names(), m)
				if i < 0 {
					return q, fmt.Errorf("metrics: there is no %q; there are %s", m, strings.Join(Names(), ", "))
				}
				q.Metrics = append(q.Metrics, Metric(i))
			}
		case "since":
			if q.Since, err = strconv.Atoi(v[0]); err != nil || q.Since < 0 {
				return q, fmt.Errorf("since: %q is not the number of a step", v[0])
			}
		case "width":
			if q.Width, err = strconv.Atoi(v[0]); err != nil || q.Width < 1 || q.Width > maxWidth {
				return q, fmt.Errorf("width: %q is not a number of seconds from 1 to %d", v[0], maxWidth)
			}
		default:
			return q, fmt.Errorf("there is no parameter %q; there are service, metrics, since, width", name)
		}
	}
	if q.Since > 1<<40 {
		return q, fmt.Errorf("since: %d is not the number of a step", q.Since)
	}
	return q, nil
}

// append appends the answer as JSON.
func (a Answer) append(b []byte, metrics []Metric) []byte {
	if len(metrics) == 0 {
		for m := range Metrics {
			metrics = append(metrics, Metric(m))
		}
	}
	b = fmt.Appendf(b, `{"from":%q,"first":%d,"next":%d,"width_seconds":%d,"omitted_services":%d,"series":[`, a.From.UTC().Format(time.RFC3339Nano), a.First, a.Next, a.Width, a.Omitted)
	for i, s := range a.Series {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"service":`...)
		b = appendString(b, s.Service)
		for _, m := range metrics {
			b = append(append(append(b, `,"`...), m.String()...), `":[`...)
			for j := range s.Steps {
				if j > 0 {
					b = append(b, ',')
				}
				b = AppendValue(b, s.Steps[j][m])
			}
			b = append(b, ']')
		}
		b = append(b, '}')
	}
	b = append(b, `],"marks":`...)
	marks, _ := json.Marshal(a.Marks) // they are times and strings
	return append(append(b, marks...), "}\n"...)
}

func appendString(b []byte, s string) []byte {
	quoted, _ := json.Marshal(s) // a string always can be
	return append(b, quoted...)
}

// AppendValue appends a value as JSON with 5 digits; null if it is unknown.
func AppendValue(b []byte, v float32) []byte {
	f := float64(v)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, "null"...)
	}
	return strconv.AppendFloat(b, f, 'g', 5, 64)
}
