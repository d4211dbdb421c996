-- Drops what every replica has applied and the snapshot has; says whether the caller is to make another snapshot.
-- Arguments: a token, for how long it is the only one to do so, and from how many bytes of log on.
local refused = guard_complete()
if refused then return refused end
local last = tonumber(get('snapshot_number') or '0')
for _, record in ipairs(redis.call('HVALS', RUNS)) do
  last = math.min(last, tonumber(string.match(record, '^[^\t]*\t[^\t]*\t(%d+)')))
end
if last >= tonumber(get('first')) then
  redis.call('XTRIM', LOG, 'MINID', whole(last + 1) .. '-0')
  set('first', whole(last + 1))
end
local now = now_ms()
local is_due = tonumber(get('bytes')) > math.max(tonumber(A[3]), tonumber(get('snapshot_bytes') or '0'))
if not is_due or tonumber(get('snapshot_until') or '0') > now then return {'OK', '0'} end
set('snapshot_token', A[1], 'snapshot_until', whole(now + tonumber(A[2])))
return {'OK', '1'}
