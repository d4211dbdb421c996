-- Arguments: the run, and the number of the beat that was its last one.
local refused = guard_complete()
if refused then return refused end
local record = redis.call('HGET', RUNS, A[1])
if not record or string.match(record, '^[^\t]*\t[^\t]*\t%d+\t%d+\t(%d+)') ~= A[2] then return {'OK', '0'} end
redis.call('HDEL', RUNS, A[1])
return {'OK', '1'}
