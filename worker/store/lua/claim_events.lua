-- Claim webhooks that are due, at most a few at a time for each receiving host.
-- A host that failed several times in a row gets one attempt at a time until one succeeds. What finds no room at its
-- host is put off and queues up there: the next free place wakes it (record_attempt.lua), so it stands in nobody's way.
-- KEYS 1 due:deliver · 2 hints · 3 what this worker claimed of late
-- ARGV 1 most · 2 most to look at · 3 lease ms · 4 in flight per host · 5 failures until a host is only probed
-- Returns { now, then per event: id, flat hash, sealed record }
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local most, lease = tonumber(ARGV[1]), tonumber(ARGV[3])
if tonumber(redis.call("GET", KEYS[2]) or "0") > 0 then redis.call("DECR", KEYS[2]) end
redis.call("ZREMRANGEBYSCORE", KEYS[3], "-inf", now)
local claimed, room = { now }, {}
local due = redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", now, "WITHSCORES", "LIMIT", 0, tonumber(ARGV[2]))
for i = 1, #due, 2 do
  local id = due[i]
  if (#claimed - 1) / 3 >= most then break end
  local event = "rb:event:" .. id
  local host = redis.call("HGET", event, "h")
  if not host then
    redis.call("ZREM", KEYS[1], id)
  else
    local flight = "rb:host:" .. host
    if not room[host] then
      redis.call("ZREMRANGEBYSCORE", flight, "-inf", now)
      local fails = tonumber(redis.call("GET", flight .. ":failures") or "0")
      local cap = fails >= tonumber(ARGV[5]) and 1 or tonumber(ARGV[4])
      room[host] = cap - redis.call("ZCARD", flight)
    end
    redis.call("ZADD", KEYS[1], now + lease, id)
    if room[host] < 1 then
      redis.call("ZADD", flight .. ":waiting", "NX", due[i + 1], id)
      redis.call("PEXPIRE", flight .. ":waiting", lease * 2)
    else
      room[host] = room[host] - 1
      redis.call("ZADD", flight, now + lease, id)
      redis.call("PEXPIRE", flight, lease + 1000)
      redis.call("ZADD", KEYS[3], now + lease, id)
      redis.call("ZREM", flight .. ":waiting", id)
      claimed[#claimed + 1] = id
      claimed[#claimed + 1] = redis.call("HGETALL", event)
      claimed[#claimed + 1] = redis.call("GET", event .. ":record")
    end
  end
end
redis.call("PEXPIRE", KEYS[3], lease + 1000)
return claimed
