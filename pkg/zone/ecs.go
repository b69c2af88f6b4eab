package zone

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// ECSVariable is the environment variable in which ECS gives each container
// the address of its metadata (version 4).
const ECSVariable = "ECS_CONTAINER_METADATA_URI_V4"

// maxMetadata bounds what is read of an answer, in bytes.
const maxMetadata = 1 << 20

// ECS returns the zone of the task whose metadata are at uri; it is empty if
// they name none. It gives up when ctx ends.
func ECS(ctx context.Context, uri string) (zone string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot read the task metadata of ECS: %w", err)
		}
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, uri+"/task", nil)
	if err != nil {
		return "", err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy: the address is link-local
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %d", resp.StatusCode)
	}
	var task struct{ AvailabilityZone string }
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxMetadata)).Decode(&task); err != nil {
		return "", err
	}
	return task.AvailabilityZone, nil
}
