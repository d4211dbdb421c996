-- A snapshot is there. Arguments: the token of its maker, the number and tag of the entry up to which it has everything, its
-- key, chunks and bytes.
local refused = guard_complete()
if refused then return refused end
if get('snapshot_token') ~= A[1] then return {'RACED'} end
local old = get('snapshot')
redis.call('PERSIST', A[4])
set('snapshot', A[4], 'snapshot_number', A[2], 'snapshot_tag', A[3], 'snapshot_chunks', A[5], 'snapshot_bytes', A[6], 'bytes', '0')
redis.call('HDEL', META, 'snapshot_token', 'snapshot_until')
if old and old ~= A[4] then redis.call('UNLINK', old) end
return {'OK'}
