package control

import "time"

// Task is a sluice of the fleet.
type Task struct {
	ID      string    `json:"id"`
	Host    string    `json:"host"`
	Address string    `json:"admin_address"` // of its control plane
	Zone    string    `json:"zone"`
	Version string    `json:"version"` // of the program
	Started time.Time `json:"started"`
	Ready   bool      `json:"ready"`
	Reasons []string  `json:"reasons,omitempty"` // why it is not ready
	// Applied is the version of the overlay that it runs, and Local how many
	// changes it has for itself alone.
	Applied uint64 `json:"applied_version"`
	Local   int    `json:"local_changes"`
	// Trouble is why it could not apply the latest version; empty if it has.
	Trouble string  `json:"trouble,omitempty"`
	Figures Figures `json:"figures"`
	// Beat counts what it has written, so that each is another.
	Beat uint64 `json:"beat"`

	// Silent says that it has written nothing for a while; it is set by who
	// reads.
	Silent bool `json:"silent"`
	// Self says that it is the one that was asked.
	Self bool `json:"self"`
}

// Figures are what a task does.
type Figures struct {
	OpenConnections   int64   `json:"open_connections"`
	Connections       uint64  `json:"connections_total"`
	Requests          uint64  `json:"requests_total"`
	Failed            uint64  `json:"failed_total"`
	RequestsPerSecond float64 `json:"requests_per_second"`
	Backends          int     `json:"backends"`
	BackendsUsable    int     `json:"backends_usable"`
	MemoryBytes       uint64  `json:"memory_bytes"`
	CPUSeconds        float64 `json:"cpu_seconds_total"`
}

// Ready counts the tasks that take clients.
func Ready(tasks []Task) (n int) {
	for _, t := range tasks {
		if t.Ready && !t.Silent {
			n++
		}
	}
	return n
}
