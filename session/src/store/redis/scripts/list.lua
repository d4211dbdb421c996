local refused = guard_complete()
if refused then return refused end
return {'OK', whole(now_ms()), redis.call('HGETALL', RUNS)}
