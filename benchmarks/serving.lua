-- Requests of wrk: random users, hour and device, one in four with three items of a session; one in ten is a GET.
local users, items, n = tonumber(os.getenv("USERS")), tonumber(os.getenv("ITEMS")), os.getenv("N") or "10"
local devices = { "phone", "tablet", "desktop" }
local json = { ["Content-Type"] = "application/json" }
local bad = 0

function init(args)
  math.randomseed(os.time() + tonumber(tostring({}):sub(8), 16) % 100000)
end

function request()
  local user = math.random(0, users - 1)
  if math.random(10) == 1 then
    return wrk.format("GET", "/v1/recommend/" .. user .. "?n=" .. n)
  end
  local history = ""
  if math.random(4) == 1 then
    history = string.format(', "history": ["i%d", "i%d", "i%d"]',
      math.random(0, items - 1), math.random(0, items - 1), math.random(0, items - 1))
  end
  local body = string.format('{"user": %d, "n": %s, "context": {"hour": %d, "device": "%s"}%s}',
    user, n, math.random(0, 23), devices[math.random(3)], history)
  return wrk.format("POST", "/v1/recommend", json, body)
end

function done(summary, latency, requests)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout
  io.write(string.format('RESULT {"requests": %d, "seconds": %f, "failed": %d, "p50": %f, "p90": %f, "p99": %f, "max": %f}\n',
    summary.requests, summary.duration / 1e6, failed, latency:percentile(50) / 1e3, latency:percentile(90) / 1e3,
    latency:percentile(99) / 1e3, latency.max / 1e3))
end
