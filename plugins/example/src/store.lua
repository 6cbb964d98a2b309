-- The operations on one cluster, each of which happens at once or not at all.
--
-- KEYS[1]: what all keys of the cluster begin with. ARGV[1]: the operation; ARGV[2]: the member who asks.
--
-- PREFIX index      the names of the keys that are there, or were until they ended
-- PREFIX key:NAME   a hash: value, revision, session; it ends by itself where it has a ttl
-- PREFIX revision   counts changes; no version is ever given twice
-- PREFIX news       by member, the revision of its last change that others must hear of; '' for what ended
local prefix, op, who = KEYS[1], ARGV[1], ARGV[2]
local index, counter, news = prefix .. 'index', prefix .. 'revision', prefix .. 'news'

local function at(name)
    return prefix .. 'key:' .. name
end

local function count(writer, matters)
    local revision = redis.call('INCR', counter)
    if matters then
        redis.call('HSET', news, writer, revision)
        redis.call('PUBLISH', prefix .. 'changes', writer)
    end
    return revision
end

-- What ended leaves the index, which is news to everybody.
local function sweep()
    local gone = false
    for _, name in ipairs(redis.call('SMEMBERS', index)) do
        if redis.call('EXISTS', at(name)) == 0 then
            redis.call('SREM', index, name)
            gone = true
        end
    end
    if gone then
        count('', true)
    end
end

local function get(name, field)
    return redis.call('HGET', at(name), field)
end

-- The same but for figures: a heartbeat, which nobody has to hear of before its next reading.
local function beats(name, value)
    local before = get(name, 'value')
    if not before or not (name == 'status' or string.sub(name, 1, 8) == 'members/') then
        return false
    end
    return string.gsub(before, '%d+', '0') == string.gsub(value, '%d+', '0')
end

local function put(name, value, session, ttl)
    local revision = count(who, not beats(name, value))
    redis.call('DEL', at(name))
    redis.call('HSET', at(name), 'value', value, 'revision', revision, 'session', session)
    if ttl > 0 then
        redis.call('PEXPIRE', at(name), ttl)
    end
    redis.call('SADD', index, name)
    return revision
end

-- A key that says so already only lives longer.
local function keep(name, value, session, ttl)
    if get(name, 'value') == value and get(name, 'session') == session then
        redis.call('PEXPIRE', at(name), ttl)
        return tonumber(get(name, 'revision'))
    end
    return put(name, value, session, ttl)
end

local function remove(name)
    redis.call('SREM', index, name)
    if redis.call('DEL', at(name)) == 0 then
        return false
    end
    count(who, true)
    return true
end

local function also(from)
    for i = from, #ARGV, 2 do
        if get(ARGV[i], 'value') ~= ARGV[i + 1] then
            put(ARGV[i], ARGV[i + 1], '', 0)
        end
    end
end

local function is(name, expect)
    local revision = get(name, 'revision')
    return expect == '' or (expect == '-' and not revision) or (revision and revision == expect)
end

sweep()

if op == 'load' then
    local answer = {}
    for _, name in ipairs(redis.call('SMEMBERS', index)) do
        local found = redis.call('HMGET', at(name), 'value', 'revision', 'session')
        answer[#answer + 1] = { name, found[1], found[2], found[3] }
    end
    return { tonumber(redis.call('GET', counter) or 0), answer }
elseif op == 'look' then
    -- ARGV[3]: a cursor. Whether there is news after it, and when the next key ends: in milliseconds, or -1.
    local found = redis.call('HGETALL', news)
    for i = 1, #found, 2 do
        if found[i] ~= who and tonumber(found[i + 1]) > tonumber(ARGV[3]) then
            return { 1, -1 }
        end
    end
    if tonumber(redis.call('GET', counter) or 0) < tonumber(ARGV[3]) then
        return { 1, -1 }
    end
    local soonest = -1
    for _, name in ipairs(redis.call('SMEMBERS', index)) do
        local left = redis.call('PTTL', at(name))
        if left >= 0 and (soonest < 0 or left < soonest) then
            soonest = left
        end
    end
    return { 0, soonest }
elseif op == 'acquire' then
    -- ARGV: value, session, ttl, then what goes with it
    local held = get('leader', 'value')
    if held and held ~= ARGV[3] then
        return false
    end
    local revision = keep('leader', ARGV[3], ARGV[4], tonumber(ARGV[5]))
    also(6)
    return revision
elseif op == 'renew' then
    -- ARGV: the lease's session, ttl, then what goes with it
    if get('leader', 'session') ~= ARGV[3] then
        return false
    end
    redis.call('PEXPIRE', at('leader'), tonumber(ARGV[4]))
    also(5)
    return tonumber(get('leader', 'revision'))
elseif op == 'release' then
    -- ARGV: the lease's session, then what goes with it
    if get('leader', 'session') ~= ARGV[3] then
        return 0
    end
    also(4)
    return remove('leader') and 1 or 0
elseif op == 'touch' then
    -- ARGV: name, value, ttl
    return keep(ARGV[3], ARGV[4], '-', tonumber(ARGV[5]))
elseif op == 'put' then
    -- ARGV: name, value, what is expected
    return is(ARGV[3], ARGV[5]) and put(ARGV[3], ARGV[4], '', 0)
elseif op == 'delete' then
    -- ARGV: name, what is expected
    return is(ARGV[3], ARGV[4]) and remove(ARGV[3]) and 1 or 0
elseif op == 'clear' then
    for _, name in ipairs(redis.call('SMEMBERS', index)) do
        redis.call('DEL', at(name))
    end
    redis.call('DEL', index)
    count(who, true)
    -- Whoever still holds an old version must not meet it again soon.
    redis.call('EXPIRE', counter, 86400)
    redis.call('EXPIRE', news, 86400)
    return 1
end
return redis.error_reply('ERR there is no such operation')
