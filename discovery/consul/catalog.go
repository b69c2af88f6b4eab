package consul

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"sluice/discovery"
)

// The catalogue's index moves with every registration in the whole cluster,
// so it is followed at a slower pace than a service.
const catalogInterval = 5 * rateInterval

// Catalog follows which services there are that carry certain tags. It is one
// blocking query for their names and tags; their instances are asked for by
// Client.Service.
type Catalog struct {
	client  *Client
	prefix  string
	metrics *queryMetrics
	contact *contact
}

// Catalog returns what follows the names of the services that have an instance
// with a tag that begins with prefix. It does not connect. It is watched once.
func (c *Client) Catalog(prefix string) *Catalog {
	return &Catalog{
		client:  c,
		prefix:  prefix,
		metrics: newCatalogMetrics(c.config.Metrics),
		contact: &contact{log: c.config.Logger.With("catalog", prefix, "consul", c.address)},
	}
}

// Reports tells of lost contact.
func (c *Catalog) Reports() []discovery.Report {
	r := discovery.Report{Source: "consul " + c.client.address + " tags " + c.prefix}
	if r.Trouble, r.Since = c.contact.trouble(); r.Trouble != "" {
		r.Trouble = "lost contact: " + r.Trouble
	}
	return []discovery.Report{r}
}

// Watch calls update with the names of the services, in order, as
// discovery.Source does with members. An answer that is empty or lacks more
// than half of the services is confirmed by Consul's leader before it is
// believed.
func (c *Catalog) Watch(ctx context.Context, update func(names []string)) error {
	var last []string
	reported := false
	run := &watch[[]string]{
		client:  c.client,
		turns:   always{},
		metrics: c.metrics,
		contact: c.contact,
		bucket:  bucket{interval: catalogInterval, burst: rateBurst},
		question: question[[]string]{
			what: "the catalogue's services",
			ask: func(consul *api.Client, options *api.QueryOptions) ([]string, *api.QueryMeta, error) {
				tags, meta, err := consul.Catalog().Services(options)
				if err == nil && len(tags) == 0 && meta.ResultsFilteredByACLs {
					err = errHidden
				}
				if err != nil {
					return nil, nil, err
				}
				return withTag(tags, c.prefix), meta, nil
			},
			doubt: func(names []string) bool {
				return (!reported || !slices.Equal(names, last)) && fewer(last, names)
			},
			accept: func(names []string, _ *api.QueryMeta, _ bool) bool {
				if reported && slices.Equal(names, last) {
					return false
				}
				last, reported = names, true
				update(slices.Clone(names))
				return true
			},
			kept: func() int { return len(last) },
		},
	}
	return run.run(ctx, nil)
}

// withTag returns the names of services that have a tag with prefix, in order.
// Of names that differ by case alone the first one stands for all: Consul looks
// names up without regard to it.
func withTag(tags map[string][]string, prefix string) (names []string) {
	known := make(map[string]bool)
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		if known[strings.ToLower(name)] {
			continue
		}
		if slices.ContainsFunc(tags[name], func(t string) bool { return strings.HasPrefix(strings.TrimSpace(t), prefix) }) {
			known[strings.ToLower(name)] = true
			names = append(names, name)
		}
	}
	return names
}

// fewer reports whether next is empty or lacks more than half of last.
func fewer(last, next []string) bool {
	missing := 0
	for _, n := range last {
		if !slices.Contains(next, n) {
			missing++
		}
	}
	return len(next) == 0 || 2*missing > len(last)
}
