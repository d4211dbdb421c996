-- The load of every row: GET requests, each with a token of a list. Arguments: the list's file, with `PATH TOKEN` on each
-- line; the host; the number of wrk's threads, which share the list; and how many requests of the list were sent before,
-- so that a list of cold tokens continues where it stopped.

local started = 0

function setup(thread)
  thread:set("number", started)
  started = started + 1
end

function init(args)
  local file, threads = args[1], tonumber(args[3])
  local count, index = 0, 0
  for _ in io.lines(file) do count = count + 1 end
  -- Built now, so that nothing but the sending is left for later; and only what this thread sends, as lists may be long.
  requests = {}
  for line in io.lines(file) do
    index = index + 1
    if count < threads or index % threads == number then
      local path, token = line:match("^(%S+) (%S+)$")
      requests[#requests + 1] =
        "GET " .. path .. " HTTP/1.1\r\nHost: " .. args[2] .. "\r\nAuthorization: Bearer " .. token .. "\r\n\r\n"
    end
  end
  at = math.floor(tonumber(args[4]) / threads) % #requests
end

function request()
  at = at % #requests + 1
  return requests[at]
end

-- One line that the bench reads. Latencies and the duration are microseconds.
function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    'RESULT {"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"refused":%d,"socket_errors":%d}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
