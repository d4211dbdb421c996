-- Keeps others from committing for a while. Arguments: a token, for how many milliseconds, and the entry after which to read.
local refused = guard_complete_or_new()
if refused then return refused end
local held, now = get('lock'), now_ms()
if held and held ~= A[1] and tonumber(get('lock_until')) > now then return {'LOCKED'} end
local after = tonumber(A[3])
if after + 1 < tonumber(get('first')) then return {'TRIMMED'} end
set('lock', A[1], 'lock_until', whole(now + tonumber(A[2])))
local lead = 0
for _, record in ipairs(redis.call('HVALS', RUNS)) do
  lead = math.max(lead, tonumber(string.match(record, '(-?%d+)\t%d+$')) or 0)
end
return {'OK', get('head'), whole(lead), redis.call('XRANGE', LOG, whole(after + 1) .. '-0', '+', 'COUNT', A[4])}
