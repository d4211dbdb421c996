-- What begins every script. Keys: meta, log, names, reported, forgotten, runs. The first arguments are the store's id, the
-- counter and the lineage of the caller's epoch, and the channel of news; `A` has the others.
--
-- An answer is a list that begins with a word. Everything that a script does, it does at once or not at all, and Redis
-- replicates it as one.
local META, LOG, NAMES, REPORTED, FORGOTTEN, RUNS = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local CHANNEL = ARGV[4]
local A = {}
for i = 5, #ARGV do A[i - 4] = ARGV[i] end

local function get(field)
  return redis.call('HGET', META, field) or nil
end

local function set(...)
  redis.call('HSET', META, ...)
end

local function whole(number)
  return string.format('%.0f', number)
end

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- The id of this life of this server: promoted or restarted, it has another one, and may lack its last writes.
local info = redis.call('INFO', 'replication')
if not string.find(info, 'role:master', 1, true) then return {'REPLICA'} end
local lineage = string.match(info, 'master_replid:(%x+)')
if not lineage then return {'REPLICA'} end

-- The epoch of this life. One that is not recorded, or that a caller has outrun, begins a new epoch, in which every
-- replica has to report before anything is taken.
local function epoch_is(counter, name)
  local current = tonumber(get('epoch'))
  if get('lineage') ~= lineage or counter > current or (counter == current and counter > 0 and name ~= lineage) then
    current = math.max(current, counter) + 1
    set('epoch', whole(current), 'lineage', lineage)
    redis.call('HDEL', META, 'lock', 'lock_until', 'snapshot_token', 'snapshot_until')
    redis.call('DEL', REPORTED, RUNS)
  end
  return counter == current and name == lineage, current
end

-- The replicas that have not reported in this epoch, how many of those that there should be are not even known, and how
-- many are known.
local function missing()
  local names = redis.call('HGETALL', NAMES)
  local wanted, list, count = 0, {}, 0
  for i = 1, #names, 2 do
    count = count + 1
    wanted = math.max(wanted, tonumber(names[i + 1]))
    if redis.call('SISMEMBER', REPORTED, names[i]) == 0 then list[#list + 1] = names[i] end
  end
  return list, math.max(wanted - count, 0), count
end

local function field_of(fields, name)
  for i = 1, #fields, 2 do
    if fields[i] == name then return fields[i + 1] end
  end
end

local function add(number, tag, format, lead, changes)
  redis.call('XADD', LOG, number .. '-0', 'tag', tag, 'format', format, 'lead', lead, 'changes', changes)
  set('head', number, 'tag', tag)
  redis.call('HINCRBY', META, 'bytes', #changes)
end

-- Makes a store where there is none: before its id is known.
local function guard(is_open_to_all)
  local id = get('id')
  if not id then return {'EMPTY'} end
  if ARGV[1] ~= '' and id ~= ARGV[1] then return {'OTHER', id} end
  local fits, current = epoch_is(tonumber(ARGV[2]), ARGV[3])
  if is_open_to_all then return nil end
  if not fits then return {'EPOCH', whole(current), lineage} end
  return nil
end

local function guard_complete()
  local refused = guard()
  if refused then return refused end
  local list, unknown, count = missing()
  if #list > 0 or unknown > 0 or count == 0 then return {'WAITING', whole(unknown), unpack(list)} end
  return nil
end

-- For who restores into a store that no replica has used yet.
local function guard_complete_or_new()
  local refused = guard()
  if refused then return refused end
  local list, unknown, count = missing()
  if #list > 0 or unknown > 0 then return {'WAITING', whole(unknown), unpack(list)} end
  return nil
end
