package consul

import (
	"context"
	"fmt"

	"github.com/hashicorp/consul/api"
)

// ZoneMeta is the key of a node's metadata that names the node's zone.
const ZoneMeta = "sluice-zone"

// Zone returns the zone of the agent that is asked, which runs where this
// process does: from its node's metadata, or else its locality. It is empty if
// neither says. The token needs agent:read and node:read.
func (c *Client) Zone(ctx context.Context) (string, error) {
	options := (&api.QueryOptions{Token: c.token()}).WithContext(ctx)
	var self struct {
		Config struct{ NodeName string }
		Meta   map[string]string
	}
	if _, err := c.agents[0].register.Raw().Query("/v1/agent/self", &self, options); err != nil {
		return "", fmt.Errorf("cannot ask Consul's agent for its zone: %w", err)
	}
	if zone := self.Meta[ZoneMeta]; zone != "" {
		return zone, nil
	}
	n, _, err := c.agents[0].register.Catalog().Node(self.Config.NodeName, options)
	if err != nil {
		return "", fmt.Errorf("cannot ask Consul for the locality of node %q: %w", self.Config.NodeName, err)
	}
	if n == nil || n.Node == nil || n.Node.Locality == nil {
		return "", nil
	}
	return n.Node.Locality.Zone, nil
}
