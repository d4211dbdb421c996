-- Where the snapshot is.
local refused = guard_complete_or_new()
if refused then return refused end
if not get('snapshot') then return {'NONE'} end
return {'OK', get('snapshot'), get('snapshot_number'), get('snapshot_tag'), get('snapshot_chunks')}
