-- Arguments: the id and the secret of a store to make where there is none (empty: none is made), and the epoch that the caller
-- has seen.
if not get('id') and A[1] ~= '' then
  set('id', A[1], 'secret', A[2], 'layout', '1', 'head', '0', 'tag', '0', 'first', '1', 'epoch', A[3], 'lineage', '', 'bytes', '0')
end
local refused = guard(true)
if refused then return refused end
return {'OK', get('id'), get('secret'), get('layout'), get('epoch'), lineage, get('head')}
