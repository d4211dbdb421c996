-- Notes proofs of possession as used, and says for each whether it is by its asker. Arguments: for each its id, its asker, and
-- for how many milliseconds it is kept. The keys have the tag of the others, and so are on the same node.
local refused = guard(true)
if refused then return refused end
local answer = {'OK'}
for i = 1, #A, 3 do
  local key = string.gsub(META, 'meta$', 'proof:') .. A[i]
  local is_new = redis.call('SET', key, A[i + 1], 'NX', 'PX', A[i + 2])
  answer[#answer + 1] = (is_new or redis.call('GET', key) == A[i + 1]) and '1' or '0'
end
return answer
