-- Gives back everything: this server's history is not that of the replicas, or too old. Arguments: its head and that entry's
-- tag; the number and tag of the entry up to which the snapshot has everything, its key, chunks and bytes.
local refused = guard()
if refused then return refused end
local list, unknown, count = missing()
if #list == 0 and unknown == 0 and count > 0 then return {'STRAY'} end
if get('head') ~= A[1] or get('tag') ~= A[2] then return {'RACED'} end
local old = get('snapshot')
redis.call('PERSIST', A[5])
redis.call('DEL', LOG)
set('head', A[3], 'tag', A[4], 'first', whole(tonumber(A[3]) + 1), 'bytes', '0')
set('snapshot', A[5], 'snapshot_number', A[3], 'snapshot_tag', A[4], 'snapshot_chunks', A[6], 'snapshot_bytes', A[7])
if old and old ~= A[5] then redis.call('UNLINK', old) end
return {'OK'}
