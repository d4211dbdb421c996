-- Gives back entries that this server has lost. Arguments: its head and that entry's tag, then four values for each entry:
-- number, tag, format and clock lead, and then the changes.
local refused = guard()
if refused then return refused end
local list, unknown, count = missing()
if #list == 0 and unknown == 0 and count > 0 then return {'STRAY'} end
if get('head') ~= A[1] or get('tag') ~= A[2] then return {'RACED'} end
for i = 3, #A, 5 do add(A[i], A[i + 1], A[i + 2], A[i + 3], A[i + 4]) end
return {'OK'}
