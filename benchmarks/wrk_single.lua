-- Sends one event a request, each another one: wrk -s … URL -- KEY
local template, headers, number = "", { ["Content-Type"] = "application/json" }, 0

function init(arguments)
  local properties = {}
  for each = 1, 38 do properties[each] = string.format('"property_%d": "x%07d"', each, each * 7919) end
  template = '{"api_key": "' .. arguments[1] .. '", "event": "hit", "uuid": "' .. math.random(1e15) .. '-%d", ' ..
    '"distinct_id": "user-%d", "timestamp": "2026-01-01T00:00:00.123Z", "properties": {' ..
    table.concat(properties, ", ") .. '}}'
end

function request()
  number = number + 1
  return wrk.format("POST", "/capture/", headers, string.format(template, number, number % 50000))
end

function done(summary, latency)
  local failed = summary.errors.status + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format("\nresult %d %d %.3f %.3f %.3f\n", summary.requests, failed, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
