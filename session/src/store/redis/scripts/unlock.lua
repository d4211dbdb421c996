-- Arguments: the token.
if get('lock') == A[1] then redis.call('HDEL', META, 'lock', 'lock_until') end
return {'OK'}
