-- Arguments: the name of a replica that will not come back.
local refused = guard(true)
if refused then return refused end
if redis.call('HEXISTS', NAMES, A[1]) == 0 then return {'UNKNOWN'} end
for _, record in ipairs(redis.call('HVALS', RUNS)) do
  if string.match(record, '^([^\t]*)\t') == A[1] then return {'ALIVE'} end
end
redis.call('SADD', FORGOTTEN, A[1])
redis.call('HDEL', NAMES, A[1])
redis.call('SREM', REPORTED, A[1])
return {'OK'}
