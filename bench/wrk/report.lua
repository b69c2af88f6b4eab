-- Ends a run with one line that a program can read: counts, the time in
-- microseconds, latencies in microseconds, and errors by their kind.
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'sluice-bench {"requests":%d,"bytes":%d,"duration_us":%d,' ..
    '"p50_us":%d,"p99_us":%d,"p999_us":%d,"max_us":%d,' ..
    '"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}\n',
    summary.requests, summary.bytes, summary.duration,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max,
    e.connect, e.read, e.write, e.status, e.timeout))
end
