package admin

import (
	"fmt"
	"net/http"
)

// Prices are what /admin/cost reckons with, in one currency.
type Prices struct {
	Currency  string  `json:"currency"`
	VCPUHour  float64 `json:"per_vcpu_hour"`
	GBHour    float64 `json:"per_gb_hour"` // of memory
	GBOut     float64 `json:"per_gb_out"`  // sent to clients
	GBZone    float64 `json:"per_gb_cross_zone"`
	Date      string  `json:"date"` // of the prices
	TaskVCPUs float64 `json:"-"`    // of this task; 0: what the process may use
	TaskGB    float64 `json:"-"`
	// Size says how the size of the task is known.
	Size string `json:"-"`
}

const gigabyte = 1 << 30

type costItem struct {
	Item    string  `json:"item"`
	Amount  float64 `json:"amount"`
	Unit    string  `json:"unit"`
	Price   float64 `json:"price"`
	Cost    float64 `json:"cost"`
	Formula string  `json:"formula"`
}

// cost answers with what this task has cost, by the prices that were set.
func (a *api) cost(w http.ResponseWriter, r *http.Request) {
	if !read(w, r, func(*params) {}) {
		return
	}
	t, p := a.totals(), Prices{}
	if a.Prices != nil {
		p = a.Prices()
	}
	hours := t.UptimeSeconds / 3600
	var items []costItem
	add := func(item string, amount float64, unit string, price float64, formula string) {
		items = append(items, costItem{item, round(amount), unit, price, round(amount * price), formula})
	}
	add("cpu", p.TaskVCPUs*hours, "vCPU hours", p.VCPUHour, fmt.Sprintf("%g vCPU × %.4f h × %g", p.TaskVCPUs, hours, p.VCPUHour))
	add("memory", p.TaskGB*hours, "GB hours", p.GBHour, fmt.Sprintf("%g GB × %.4f h × %g", p.TaskGB, hours, p.GBHour))
	add("traffic to clients", t.BytesOut/gigabyte, "GB", p.GBOut, fmt.Sprintf("%.0f bytes / 2^30 × %g", t.BytesOut, p.GBOut))
	add("traffic across zones", t.CrossZoneBytes/gigabyte, "GB", p.GBZone, fmt.Sprintf("%.0f bytes / 2^30 × %g", t.CrossZoneBytes, p.GBZone))
	var total float64
	for _, i := range items {
		total += i.Cost
	}
	perHour := p.TaskVCPUs*p.VCPUHour + p.TaskGB*p.GBHour
	perMillion := 0.0
	if t.Requests > 0 {
		perMillion = total / t.Requests * 1e6
	}
	writeJSON(w, http.StatusOK, struct {
		Estimate      float64    `json:"estimated_cost"`
		Currency      string     `json:"currency"`
		UptimeSeconds float64    `json:"uptime_seconds"`
		PerHour       float64    `json:"per_hour"` // of the task, without traffic
		PerMonth      float64    `json:"per_month"`
		PerMillion    float64    `json:"per_million_requests"`
		Requests      float64    `json:"total_requests"`
		VCPUs         float64    `json:"task_vcpus"`
		GB            float64    `json:"task_memory_gb"`
		Size          string     `json:"task_size_from"`
		Items         []costItem `json:"items"`
		Prices        Prices     `json:"prices"`
		Formula       string     `json:"formula"`
	}{round(total), p.Currency, t.UptimeSeconds, round(perHour), round(perHour * 730), round(perMillion), t.Requests,
		p.TaskVCPUs, p.TaskGB, p.Size, items, p, "sum over items of amount × price; a month has 730 hours; prices are those that --prices states"})
}
