-- For people.
local refused = guard(true)
if refused then return refused end
local list, unknown = missing()
return {
  'OK', get('layout'), get('head'), get('epoch'), whole(unknown), list, redis.call('HKEYS', NAMES), whole(now_ms()),
  redis.call('HGETALL', RUNS),
}
