-- Arguments: the entry after which to read, and how many.
local refused = guard_complete_or_new()
if refused then return refused end
local after = tonumber(A[1])
if after + 1 < tonumber(get('first')) then return {'TRIMMED'} end
return {'OK', get('head'), redis.call('XRANGE', LOG, whole(after + 1) .. '-0', '+', 'COUNT', A[2])}
