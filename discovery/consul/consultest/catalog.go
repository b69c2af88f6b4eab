package consultest

import (
	"testing"

	"github.com/hashicorp/consul/api"
)

// Option changes a registration before it is sent.
type Option func(*api.AgentServiceRegistration)

// WithTags sets the tags of an instance.
func WithTags(tags ...string) Option {
	return func(r *api.AgentServiceRegistration) { r.Tags = tags }
}

// WithMeta sets the metadata of an instance.
func WithMeta(meta map[string]string) Option {
	return func(r *api.AgentServiceRegistration) { r.Meta = meta }
}

// WithWeights sets the weights of an instance.
func WithWeights(passing, warning int) Option {
	return func(r *api.AgentServiceRegistration) {
		r.Weights = &api.AgentWeights{Passing: passing, Warning: warning}
	}
}

// Register registers an instance of the service called name on the agent's
// node, or changes it if the ID is known. It is passing until SetStatus says
// otherwise.
func (a *Agent) Register(t testing.TB, id, name, addr string, port int, options ...Option) {
	t.Helper()
	r := &api.AgentServiceRegistration{
		ID:      id,
		Name:    name,
		Address: addr,
		Port:    port,
		Check: &api.AgentServiceCheck{
			CheckID: checkID(id),
			TTL:     "24h", // it changes when a test says so, and never by itself
			Status:  api.HealthPassing,
		},
	}
	for _, o := range options {
		o(r)
	}
	if err := a.client.Agent().ServiceRegister(r); err != nil {
		t.Fatalf("cannot register %q: %v", id, err)
	}
}

// Deregister removes an instance that Register added.
func (a *Agent) Deregister(t testing.TB, id string) {
	t.Helper()
	if err := a.client.Agent().ServiceDeregister(id); err != nil {
		t.Fatalf("cannot deregister %q: %v", id, err)
	}
}

// SetStatus sets the check of an instance that Register added to
// api.HealthPassing, api.HealthWarning or api.HealthCritical.
func (a *Agent) SetStatus(t testing.TB, id, status string) {
	t.Helper()
	if err := a.client.Agent().UpdateTTL(checkID(id), "set by a test", status); err != nil {
		t.Fatalf("cannot set the status of %q to %s: %v", id, status, err)
	}
}

// Maintenance puts an instance that Register added into maintenance, or takes
// it out again.
func (a *Agent) Maintenance(t testing.TB, id string, on bool) {
	t.Helper()
	var err error
	if on {
		err = a.client.Agent().EnableServiceMaintenance(id, "set by a test")
	} else {
		err = a.client.Agent().DisableServiceMaintenance(id)
	}
	if err != nil {
		t.Fatalf("cannot set maintenance of %q to %v: %v", id, on, err)
	}
}

func checkID(service string) string { return "ttl:" + service }
