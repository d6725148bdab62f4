-- Sends the requests of a folder, one after the other, each with events of its own: wrk -s … URL -- FOLDER
local requests, next_one = {}, 0

function init(arguments)
  local bodies = io.open(arguments[1] .. "/bodies", "rb")
  for size in io.lines(arguments[1] .. "/sizes") do
    local headers = { ["Content-Type"] = "application/json", ["Content-Encoding"] = "gzip" }
    requests[#requests + 1] = wrk.format("POST", "/batch/", headers, bodies:read(tonumber(size)))
  end
  bodies:close()
end

function request()
  next_one = next_one + 1
  return requests[(next_one - 1) % #requests + 1]
end

function done(summary, latency)
  local failed = summary.errors.status + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format("\nresult %d %d %.3f %.3f %.3f\n", summary.requests, failed, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
