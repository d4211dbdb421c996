-- Arguments: the run, its record, and how far it has applied the log.
local refused = guard_complete()
if refused then return refused end
if redis.call('SISMEMBER', FORGOTTEN, string.match(A[2], '^[^\t]*')) == 1 then return {'FORGOTTEN'} end
local old = redis.call('HGET', RUNS, A[1])
local now = whole(now_ms())
if old then
  redis.call('HSET', RUNS, A[1], A[2] .. '\t' .. now)
  if string.match(old, '^[^\t]*\t[^\t]*\t(%d+)') ~= A[3] then redis.call('PUBLISH', CHANNEL, 'settled ' .. A[1]) end
end
return {
  'OK', old and '1' or '0', get('head'), get('first'), now, redis.call('HGETALL', NAMES),
  redis.call('SMEMBERS', FORGOTTEN), redis.call('HGETALL', RUNS),
}
