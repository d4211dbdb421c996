-- Arguments: the run.
local refused = guard()
if refused then return refused end
redis.call('HDEL', RUNS, A[1])
redis.call('PUBLISH', CHANNEL, 'settled ' .. A[1])
return {'OK'}
