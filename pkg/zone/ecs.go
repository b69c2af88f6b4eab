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
	task, err := askECS(ctx, uri)
	return task.AvailabilityZone, err
}

// Size returns how many vCPUs and GB of memory the task has whose metadata are at
// uri; 0 for what they do not limit.
func Size(ctx context.Context, uri string) (vcpus, gigabytes float64, err error) {
	task, err := askECS(ctx, uri)
	if err != nil {
		return 0, 0, fmt.Errorf("cannot read the task metadata of ECS: %w", err)
	}
	return task.Limits.CPU, task.Limits.Memory / 1024, nil
}

// task is what is read of the metadata.
type task struct {
	AvailabilityZone string
	Limits           struct{ CPU, Memory float64 } // vCPUs, and MiB
}

func askECS(ctx context.Context, uri string) (t task, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, uri+"/task", nil)
	if err != nil {
		return t, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy: the address is link-local
	resp, err := client.Do(req)
	if err != nil {
		return t, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return t, fmt.Errorf("status %d", resp.StatusCode)
	}
	err = json.NewDecoder(io.LimitReader(resp.Body, maxMetadata)).Decode(&t)
	return t, err
}
