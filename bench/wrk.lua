-- Requests with the cookies of a file, one after the other; the outcome in JSON.
-- wrk -s wrk.lua URL -- FILE

local requests = {}
local sent = 0

function init(args)
  for cookie in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("GET", nil, { ["Cookie"] = cookie })
  end
end

function request()
  sent = sent + 1
  return requests[sent % #requests + 1]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '\nOUTCOME {"requests":%d,"us":%d,"p50us":%d,"p99us":%d,"non2xx":%d,"socketErrors":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
