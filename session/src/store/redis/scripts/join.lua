-- Arguments: the run and its record.
local refused = guard_complete()
if refused then return refused end
if redis.call('SISMEMBER', FORGOTTEN, string.match(A[2], '^[^\t]*')) == 1 then return {'FORGOTTEN'} end
redis.call('HSET', RUNS, A[1], A[2] .. '\t' .. whole(now_ms()))
return {'OK'}
