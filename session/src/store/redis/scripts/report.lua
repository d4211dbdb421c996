-- Arguments: the replica's name, how many replicas there are, its place in the log and that entry's tag, what it knows of
-- the names of others (JSON), and its run and record if it may be giving verdicts.
local refused = guard()
if refused then return refused end
local name, wanted, number, tag = A[1], A[2], tonumber(A[3]), A[4]
local roster = cjson.decode(A[5])
for _, gone in ipairs(roster.forgotten) do
  redis.call('SADD', FORGOTTEN, gone)
  redis.call('HDEL', NAMES, gone)
  redis.call('SREM', REPORTED, gone)
end
for _, pair in ipairs(roster.names) do
  if redis.call('SISMEMBER', FORGOTTEN, pair[1]) == 0 then redis.call('HSETNX', NAMES, pair[1], pair[2]) end
end
if redis.call('SISMEMBER', FORGOTTEN, name) == 1 then return {'FORGOTTEN'} end
local list, unknown, count = missing()
local is_complete = #list == 0 and unknown == 0 and count > 0
if redis.call('HEXISTS', NAMES, name) == 0 and count >= tonumber(wanted) then
  return {'FULL', unpack(redis.call('HKEYS', NAMES))}
end
local head, head_tag = tonumber(get('head')), get('tag')
local is_stray = false
if number == head then
  is_stray = number > 0 and tag ~= head_tag
elseif number > 0 and number < head then
  local entry = redis.call('XRANGE', LOG, A[3] .. '-0', A[3] .. '-0')[1]
  -- One that was dropped is in a snapshot, so it is what the replica has.
  is_stray = entry ~= nil and field_of(entry[2], 'tag') ~= tag
end
if number > head or is_stray then
  -- In a complete epoch this can only be the journal of another history.
  if is_complete then return {'STRAY'} end
  return {is_stray and 'DIFFERS' or 'BEHIND', whole(head), head_tag}
end
redis.call('HSET', NAMES, name, wanted)
redis.call('SADD', REPORTED, name)
if A[6] ~= '' then redis.call('HSET', RUNS, A[6], A[7] .. '\t' .. whole(now_ms())) end
redis.call('PUBLISH', CHANNEL, 'settled ' .. name)
return {'OK', whole(head)}
