-- Arguments: the token of the lock, the head that the caller has seen, the run, and the entry: tag, format, clock lead and changes.
local refused = guard_complete_or_new()
if refused then return refused end
if get('lock') ~= A[1] or get('head') ~= A[2] then return {'RACED'} end
local number = whole(tonumber(A[2]) + 1)
add(number, A[4], A[5], A[6], A[7])
redis.call('HDEL', META, 'lock', 'lock_until')
redis.call('PUBLISH', CHANNEL, 'appended ' .. A[3])
return {'OK', number, whole(now_ms()), redis.call('HGETALL', RUNS)}
